//! PostgreSQL, a file per table or view of several; nothing but SQL.

use uuid::Uuid;

pub mod accounts;
pub mod actions;
pub mod addresses;
pub mod aliases;
pub mod allowances;
pub mod api_keys;
pub mod audit_events;
pub mod audit_seals;
pub mod autoreply;
pub mod changes;
pub mod control_plane;
pub mod credentials;
pub mod departments;
pub mod directory;
pub mod domain_aliases;
pub mod domain_names;
pub mod domains;
pub mod group_members;
pub mod groups;
pub mod idempotency_keys;
pub mod import_blocks;
pub mod import_errors;
pub mod import_hashes;
pub mod imports;
pub mod join_tokens;
pub mod load;
pub mod lockouts;
pub mod login_links;
pub mod mail_certificates;
pub mod mailbox_removals;
pub mod node_certificates;
pub mod node_status;
pub mod nodes;
pub mod operations;
pub mod operators;
pub mod placements;
pub mod plans;
pub mod recovery_codes;
pub mod role_assignments;
mod searches;
pub mod seats;
pub mod secrets;
pub mod services;
pub mod sessions;
pub mod settings;
pub mod totps;
pub mod traffic;
pub mod usage;

/// What a statement is given of ids that a list is narrowed to, if it is.
fn uuids<T: Copy + Into<Uuid>>(ids: Option<&[T]>) -> Option<Vec<Uuid>> {
    ids.map(|ids| ids.iter().map(|id| (*id).into()).collect())
}
