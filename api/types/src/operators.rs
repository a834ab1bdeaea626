//! Operators: staff accounts without mail.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::OperatorId;
use utoipa::ToSchema;

use crate::patch::present;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    /// Everything.
    SystemAdmin,
    /// Everything inside any domain; no nodes, no settings, no operators.
    SuperDomainAdmin,
}

impl OperatorRole {
    /// The name in the API and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SystemAdmin => "system_admin",
            Self::SuperDomainAdmin => "super_domain_admin",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::SystemAdmin, Self::SuperDomainAdmin].into_iter().find(|role| role.name() == name)
    }
}

/// An operator.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Operator {
    /// Identifies the operator.
    pub id: OperatorId,
    /// Signs in with this name.
    #[schema(example = "root")]
    pub name: String,
    /// What the operator may do.
    pub role: OperatorRole,
    /// Whether the operator may sign in.
    pub active: bool,
    /// Whether somebody else set the password: the operator has to change it first.
    pub must_change_password: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// An operator to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOperator {
    /// Lower-case letters, digits, `.`, `_` and `-`; begins with a letter.
    #[schema(example = "alice", pattern = "^[a-z][a-z0-9._-]{0,62}$", max_length = 63)]
    pub name: String,
    /// What the operator may do.
    pub role: OperatorRole,
    /// As the settings want it: at least 10 characters, unless they say otherwise.
    #[schema(format = Password, min_length = 8, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub password: String,
}

/// What of an operator is to change (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorPatch {
    /// What the operator may do.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub role: Option<OperatorRole>,
    /// Whether the operator may sign in.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub active: Option<bool>,
    /// A new password; ends the sessions of the operator, who has to change it first.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, format = Password, min_length = 8, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub password: Option<String>,
}
