//! What the system can do: authorize, then rules, then rows and their audit in one transaction.

pub mod audit;
pub mod desired_state;
pub mod enrolment;
pub mod fields;
pub mod join_tokens;
pub mod mail_certificates;
pub mod me;
pub mod nodes;
pub mod operators;
pub mod services;
pub mod sessions;
