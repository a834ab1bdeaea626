//! The API, each test on a database of its own.

mod me;
mod operators;
mod sessions;
