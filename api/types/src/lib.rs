//! Bodies of the REST API, shared by the server, its clients and the tests.

pub mod me;
pub mod operators;
pub mod page;
pub mod patch;
pub mod problem;
pub mod sessions;
