//! What the system can do: authorize, then rules, then rows and their audit in one transaction.

pub mod actions;
pub mod aliases;
pub mod app_passwords;
pub mod audit;
pub mod departments;
pub mod desired_state;
pub mod directory;
pub mod domains;
pub mod enrolment;
pub mod fields;
pub mod flushes;
pub mod forwarding;
pub mod join_tokens;
pub mod mail_certificates;
pub mod me;
pub mod moves;
pub mod nodes;
pub mod operations;
pub mod operators;
pub mod reports;
pub mod role_assignments;
pub mod services;
pub mod sessions;
pub mod settings;
pub mod traffic;
pub mod users;
