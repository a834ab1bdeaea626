//! The change log, the streams to nodes and the reports from them, on a real database.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod accepted;
mod compromised;
mod feed;
mod fixture;
mod moves;
mod purges;
mod reports;
mod sequencer;
mod steering;
mod streams;
mod transactions;
