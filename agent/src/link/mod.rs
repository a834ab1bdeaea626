//! The link: everything that is said between this node and the API servers.

mod connect;

pub use self::connect::{ConnectError, connect};
