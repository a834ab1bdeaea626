//! Join tokens: admission of new nodes.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::JoinTokenId;
use utoipa::ToSchema;

use crate::nodes::Role;

/// A join token. Its text is shown once, to whoever made it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// Identifies the token.
    pub id: JoinTokenId,
    /// The node that it makes.
    pub node_name: String,
    /// The roles of that node.
    pub roles: Vec<Role>,
    /// The end of its life.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was used; null: it was not.
    #[serde(with = "time::serde::rfc3339::option")]
    pub used_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A join token that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJoinToken {
    /// Host name of the node that it makes. A node of this name may be there: it enrols once
    /// more then, and what certificate it had is no longer good.
    #[schema(example = "mx-1", min_length = 1, max_length = 200)]
    pub node_name: String,
    /// The roles of that node: at least one.
    #[schema(min_items = 1, max_items = 3)]
    pub roles: Vec<Role>,
    /// How long it can be used; 900 when absent.
    #[serde(default = "longest")]
    #[schema(minimum = 1, maximum = 900)]
    pub expires_in_seconds: u32,
}

const fn longest() -> u32 {
    900
}

/// A join token that was made, with all that `umail-agent join` needs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MadeJoinToken {
    /// Identifies the token.
    pub id: JoinTokenId,
    /// The token. It is shown only here.
    pub token: String,
    /// SHA-256 of the root certificate, in hexadecimal: what the node trusts.
    pub ca_fingerprint: String,
    /// The node that it makes.
    pub node_name: String,
    /// The roles of that node.
    pub roles: Vec<Role>,
    /// The end of its life.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}
