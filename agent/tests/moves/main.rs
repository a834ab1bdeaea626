//! Mailbox moves between two storage nodes with real Dovecot, over the agents' own mTLS.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod lmtp;
mod node;
mod purge;
mod repeat;
mod traffic;
