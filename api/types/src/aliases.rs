//! Aliases: other addresses.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{AliasId, DomainId, UserId};
use utoipa::{IntoParams, ToSchema};

use crate::patch::present;

/// Which aliases of a domain are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AliasFilter {
    /// Only aliases whose address has this, as in the list of users.
    #[param(nullable = false, min_length = 1, max_length = 254)]
    pub search: Option<String>,
    /// Whether to say how many there are, up to 10,000.
    #[param(nullable = false)]
    pub count: Option<bool>,
}

/// Another address.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Alias {
    /// Identifies the alias.
    pub id: AliasId,
    /// The domain.
    pub domain_id: DomainId,
    /// The address.
    #[schema(example = "sales@example.com")]
    pub address: String,
    /// Where its mail goes.
    pub targets: Vec<String>,
    /// The user that it stands for, who may send as this address: the one that is its only
    /// target. Null when there are other targets.
    pub user_id: Option<UserId>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// An alias to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAlias {
    /// What stands before the `@`; lower-case, without `+`.
    #[schema(example = "sales", min_length = 1, max_length = 64)]
    pub local_part: String,
    /// Where its mail goes.
    #[schema(min_items = 1, max_items = 100)]
    pub targets: Vec<String>,
}

/// What of an alias is to change (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasPatch {
    /// Where its mail goes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, min_items = 1, max_items = 100)]
    pub targets: Option<Vec<String>>,
}
