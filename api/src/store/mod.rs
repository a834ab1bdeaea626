//! PostgreSQL, a file per table or view of several; nothing but SQL.

pub mod changes;
pub mod directory;
