//! What is true whoever asks: types that cannot hold what is wrong. Pure, no async.

pub mod address;
pub mod alias;
pub mod allowance;
pub mod credential;
pub mod deletion;
pub mod department;
pub mod domain;
pub mod domain_alias;
pub mod entitlements;
pub mod functions;
pub mod join_token;
pub mod moves;
pub mod node;
pub mod operator;
pub mod overview;
pub mod page;
pub mod password;
pub mod plan;
pub mod revision;
pub mod role;
pub mod role_assignment;
pub mod settings;
pub mod text;
pub mod user;
