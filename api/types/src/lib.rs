//! Bodies of the REST API, shared by the server, its clients and the tests.

pub mod directory;
pub mod join_tokens;
pub mod me;
pub mod nodes;
pub mod operations;
pub mod operators;
pub mod page;
pub mod patch;
pub mod problem;
pub mod services;
pub mod sessions;
pub mod traffic;
