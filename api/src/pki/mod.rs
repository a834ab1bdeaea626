//! The internal certificate authority: who is the server, who is a node, and what its mail daemons show.

mod authority;
mod identity;
pub mod verifier;

pub use self::{
    authority::{Authority, Issued, IssuedWithKey, MAIL_LIFETIME, NODE_LIFETIME},
    identity::NodeCertificate,
};

/// The name in the certificate of every API server.
pub const SERVER_NAME: &str = "umail-api";
/// An expired certificate may be renewed for so long.
pub const GRACE: time::Duration = time::Duration::days(30);
