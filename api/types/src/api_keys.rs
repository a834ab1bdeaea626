//! API keys: secrets by which programs act on behalf of whoever made them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{ApiKeyId, DepartmentId, DomainId};
use utoipa::ToSchema;

use crate::patch::present;

/// As whom a key acts; never as more than its maker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    /// As a system administrator.
    SystemAdmin,
    /// As an administrator of all domains.
    SuperDomainAdmin,
    /// As an administrator of one domain.
    DomainAdmin,
    /// As an administrator of one department with all below it.
    DepartmentAdmin,
    /// As the user, in what concerns the own account only.
    User,
}

/// An API key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Identifies the key, also in audit events.
    pub id: ApiKeyId,
    /// What the maker calls it.
    #[schema(example = "HR system")]
    pub name: String,
    /// The beginning of the secret, to recognise it.
    #[schema(example = "umk_Q29mZmVl")]
    pub prefix: String,
    /// As whom it acts; null: as its maker.
    pub role: Option<KeyRole>,
    /// The domain that the role is good for; null: the role is not of a domain.
    pub domain_id: Option<DomainId>,
    /// The department that the role is good for; null: the role is not of a department.
    pub department_id: Option<DepartmentId>,
    /// Whether it reads and changes nothing.
    pub read_only: bool,
    /// Whether it makes login links, by which others sign in as users.
    pub login_links: bool,
    /// The addresses that it is good from, in CIDR notation; empty: all.
    #[schema(example = json!(["192.0.2.0/24"]))]
    pub networks: Vec<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was used last, to the minute; null: never.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// Until when the secret before the last rotation is good; null: it is not.
    #[serde(with = "time::serde::rfc3339::option")]
    pub former_until: Option<OffsetDateTime>,
}

/// An API key with its secret, which is shown this once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyCreated {
    /// The key.
    #[serde(flatten)]
    pub api_key: ApiKey,
    /// Send it as `Authorization: Bearer …`.
    pub secret: String,
}

/// An API key to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What you call it.
    #[schema(min_length = 1, max_length = 100, example = "HR system")]
    pub name: String,
    /// As whom it shall act; absent: as you.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub role: Option<KeyRole>,
    /// The domain, for a `domain_admin` and for nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub domain_id: Option<DomainId>,
    /// The department, for a `department_admin` and for nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub department_id: Option<DepartmentId>,
    /// Whether it shall read and change nothing.
    #[serde(default)]
    pub read_only: bool,
    /// Whether it shall make login links, by which others sign in as users; not with `read_only`.
    #[serde(default)]
    pub login_links: bool,
    /// The addresses that it shall be good from, in CIDR notation; absent or empty: all.
    #[serde(default)]
    #[schema(max_items = 50, example = json!(["192.0.2.0/24"]))]
    pub networks: Vec<String>,
    /// Until when it shall be good, a year ahead at most; absent: for 90 days.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schema(nullable = false)]
    pub expires_at: Option<OffsetDateTime>,
}

/// A new secret for an API key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// How long the secret that is good now stays so, 7 days at most; absent: for a day.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 0, maximum = 604_800)]
    pub overlap_seconds: Option<u32>,
}
