//! Hosted mail domains.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::DomainId;
use utoipa::ToSchema;

use crate::{functions::FunctionName, patch::present, status::Status};

/// A hosted mail domain.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Domain {
    /// Identifies the domain.
    pub id: DomainId,
    /// The canonical name: lower-case ASCII, international labels as `xn--`.
    #[schema(example = "example.com")]
    pub name: String,
    /// What mail and sign-in do.
    pub status: Status,
    /// What users of the domain may use at most.
    pub functions: Vec<FunctionName>,
    /// Where mail for unknown local parts goes; null: it is refused.
    pub catch_all: Option<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A domain to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    /// The name; international names in either spelling.
    #[schema(example = "example.com", max_length = 253)]
    pub name: String,
}

/// What of a domain is to change (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainPatch {
    /// What mail and sign-in do; for system administrators.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
    /// What users of the domain may use at most; for system administrators.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub functions: Option<Vec<FunctionName>>,
    /// Where mail for unknown local parts goes; null: it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 320)]
    pub catch_all: Option<Option<String>>,
}
