//! The API, each test on a database of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod directory;
mod join_tokens;
mod me;
mod moves;
mod nodes;
mod operations;
mod operators;
mod services;
mod sessions;
