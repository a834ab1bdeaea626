//! The end-to-end suite: real daemons, real namespaces, real mail.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by them")]

mod autoreply;
mod demo;
mod faults;
mod groups;
mod harness;
mod imports;
mod life;
mod migration;
mod restore;
mod single;
mod stage;
