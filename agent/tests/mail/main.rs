//! The drivers and the replica under real Postfix and Dovecot, in private instances.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests say what fails"
)]

mod client;
mod compromised;
mod counting;
mod directory;
mod faults;
mod fleet;
mod groups;
mod hostile;
mod installing;
mod names;
mod node;
mod outage;
mod replica;
mod replies;
mod rules;
mod sending;
mod session;
mod sessions;
mod single;
mod statuses;
