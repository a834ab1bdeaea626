//! PostgreSQL, a file per table or view of several; nothing but SQL.

pub mod accounts;
pub mod actions;
pub mod audit_events;
pub mod changes;
pub mod control_plane;
pub mod credentials;
pub mod departments;
pub mod directory;
pub mod idempotency_keys;
pub mod join_tokens;
pub mod load;
pub mod mail_certificates;
pub mod node_certificates;
pub mod node_status;
pub mod nodes;
pub mod operations;
pub mod operators;
pub mod placements;
pub mod role_assignments;
pub mod secrets;
pub mod services;
pub mod sessions;
pub mod traffic;
pub mod usage;
