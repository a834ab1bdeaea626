//! The agent of U-Mail: one on every mail node.
//!
//! What the server wishes arrives over the link, is written to the ledger and made true by
//! the reconciler through the [`drivers`]. The directory goes into the replica, which
//! Postfix and Dovecot read themselves. What the meters count waits in the spool until the
//! server has committed it.

pub mod actions;
mod address;
pub mod agent;
pub mod commands;
pub mod config;
pub mod desired;
pub mod drivers;
pub mod durable;
pub mod exec;
pub mod faults;
pub mod identity;
pub mod layout;
pub mod ledger;
pub mod link;
pub mod meters;
pub mod metrics;
pub mod moves;
pub mod reconciler;
pub mod replica;
pub mod sending;
pub mod sessions;
pub mod spool;
pub mod state;
pub mod status;
pub mod supervisors;
pub mod telemetry;
pub mod throttle;
pub mod verbs;
pub mod watchers;
