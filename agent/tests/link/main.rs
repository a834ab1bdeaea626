//! The agent against a scripted server, over real mTLS and with fake services.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod actions;
mod desired;
mod directory;
mod disk;
mod fake;
mod identity;
mod lifecycle;
mod node;
mod pki;
mod reports;
mod server;
