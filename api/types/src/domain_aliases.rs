//! Other names of domains.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{DomainAliasId, DomainId};
use utoipa::ToSchema;

/// Another name of a domain: every address of the domain is one under this name, too.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DomainAlias {
    /// Identifies the domain alias.
    pub id: DomainAliasId,
    /// The domain.
    pub domain_id: DomainId,
    /// The canonical name: lower-case ASCII, international labels as `xn--`.
    #[schema(example = "example.net")]
    pub name: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A domain alias to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDomainAlias {
    /// The name; international names in either spelling.
    #[schema(example = "example.net", max_length = 189)]
    pub name: String,
}
