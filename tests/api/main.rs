//! The API, each test on a database of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aliases;
mod allowances;
mod api_keys;
mod app_passwords;
mod audit_events;
mod autoreply;
mod bulk_changes;
mod contract;
mod departments;
mod directory;
mod domain_aliases;
mod domains;
mod exports;
mod forwarding;
mod groups;
mod imports;
mod join_tokens;
mod layers;
mod login_links;
mod matrix;
mod me;
mod migration;
mod moves;
mod nodes;
mod operations;
mod operators;
mod plans;
mod role_assignments;
mod rpcs;
mod services;
mod sessions;
mod settings;
mod tasks;
mod users;
