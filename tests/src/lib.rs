//! The harness for tests that need more than one crate.
#![expect(clippy::expect_used, reason = "a harness that cannot start has nobody to tell")]

pub mod agents;
pub mod api;
pub mod database;
pub mod demo;
pub mod harness;
pub mod nodes;
pub mod plans;
pub mod random;
pub mod scale;
