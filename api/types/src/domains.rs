//! Hosted mail domains.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::DomainId;
use utoipa::{IntoParams, ToSchema};

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
    /// Until when mail for the suspended domain is deferred, and refused then; null: it is not
    /// suspended, or was suspended before there was such a time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub deferred_until: Option<OffsetDateTime>,
    /// When it was deleted; null: it was not. The status is the one that holds again when it is
    /// restored.
    #[serde(with = "time::serde::rfc3339::option")]
    pub deleted_at: Option<OffsetDateTime>,
    /// When it can no longer be restored and is removed with all in it; null: it was not deleted.
    #[serde(with = "time::serde::rfc3339::option")]
    pub purge_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Which domains are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DomainFilter {
    /// Those that were deleted and can be restored still, for system administrators; the others
    /// when absent or false.
    #[param(nullable = false)]
    pub deleted: Option<bool>,
    /// Only domains whose name has this: three characters or more anywhere in it, fewer at its
    /// beginning; international names in either spelling, of those whole labels.
    #[param(nullable = false, min_length = 1, max_length = 254)]
    pub search: Option<String>,
    /// Whether to say how many there are, up to 10,000.
    #[param(nullable = false)]
    pub count: Option<bool>,
}

/// A domain to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    /// The name; international names in either spelling.
    #[schema(example = "example.com", max_length = 189)]
    pub name: String,
}

/// How a domain is to be changed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DomainQuery {
    /// Whether a domain that is renamed keeps its old name as a domain alias; it does when absent.
    #[param(nullable = false)]
    pub keep_old_name: Option<bool>,
}

/// What of a domain is to change (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainPatch {
    /// The name, by which all addresses in the domain change at once; for system administrators.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 189)]
    pub name: Option<String>,
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
