//! What the system can do: authorize, then rules, then rows and their audit in one transaction.

pub mod audit;
pub mod fields;
pub mod me;
pub mod operators;
pub mod sessions;
