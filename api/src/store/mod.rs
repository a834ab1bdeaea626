//! PostgreSQL, a file per table or view of several; nothing but SQL.

pub mod accounts;
pub mod actions;
pub mod audit_events;
pub mod changes;
pub mod credentials;
pub mod departments;
pub mod directory;
pub mod idempotency_keys;
pub mod load;
pub mod node_status;
pub mod operations;
pub mod operators;
pub mod placements;
pub mod role_assignments;
pub mod secrets;
pub mod sessions;
pub mod traffic;
pub mod usage;
