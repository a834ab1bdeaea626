//! What is true whoever asks: types that cannot hold what is wrong. Pure, no async.

pub mod address;
pub mod join_token;
pub mod moves;
pub mod node;
pub mod operator;
pub mod overview;
pub mod page;
pub mod password;
pub mod revision;
pub mod text;
