//! Bodies of the REST API, shared by the server, its clients and the tests.

pub mod aliases;
pub mod allowances;
pub mod app_passwords;
pub mod convergence;
pub mod departments;
pub mod directory;
pub mod domains;
pub mod entitlements;
pub mod functions;
pub mod join_tokens;
pub mod limit;
pub mod me;
pub mod nodes;
pub mod operations;
pub mod operators;
pub mod page;
pub mod patch;
pub mod plans;
pub mod problem;
pub mod role_assignments;
pub mod services;
pub mod sessions;
pub mod settings;
pub mod status;
pub mod traffic;
pub mod users;
