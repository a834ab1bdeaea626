//! The drivers and the replica under real Postfix and Dovecot, in private instances.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests say what fails"
)]

mod client;
#[expect(dead_code, reason = "the suites that follow use the rest")]
mod directory;
#[expect(dead_code, reason = "the suites that follow use the rest")]
mod node;
mod single;
