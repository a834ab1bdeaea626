//! PostgreSQL, a file per table or view of several; nothing but SQL.

pub mod actions;
pub mod changes;
pub mod directory;
pub mod load;
pub mod node_status;
pub mod operations;
pub mod placements;
pub mod traffic;
pub mod usage;
