//! Join tokens: what lets a machine become a node, once.

use serde::Serialize;
use time::OffsetDateTime;
use umail_proto::ids::JoinTokenId;

use crate::model::node::Role;

/// A join token; its text is known to whoever made it only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinToken {
    /// Its id.
    pub id: JoinTokenId,
    /// The node that it makes.
    pub node_name: String,
    /// The roles of that node; sorted.
    pub roles: Vec<Role>,
    /// The end of its life.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was used.
    #[serde(with = "time::serde::rfc3339::option")]
    pub used_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}
