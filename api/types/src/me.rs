//! The caller itself.

use serde::{Deserialize, Serialize};
use umail_proto::ids::{ApiKeyId, DepartmentId, DomainId};
use utoipa::ToSchema;
use uuid::Uuid;

/// What the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// A staff account without mail.
    Operator,
    /// A person's account with an address.
    User,
}

/// A role and where it is good.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldRole {
    /// `system_admin`, `super_domain_admin`, `domain_admin`, `department_admin` or `user`.
    #[schema(example = "domain_admin")]
    pub role: String,
    /// The domain that it is good for; null: all of them.
    pub domain_id: Option<DomainId>,
    /// The department whose subtree it is good for; null: all of the domain.
    pub department_id: Option<DepartmentId>,
}

/// What a session is good for that is not good for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// Changing the password, which somebody else set.
    PasswordChange,
    /// Enrolling a second factor, which is required.
    TotpEnrolment,
}

/// The caller.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Identifies the operator or user.
    pub id: Uuid,
    /// What the caller is.
    pub kind: CallerKind,
    /// Name of the operator, or address of the user.
    #[schema(example = "root")]
    pub name: String,
    /// What the caller may do.
    pub roles: Vec<HeldRole>,
    /// What the session is good for, beside signing out, until it is done; null: everything.
    pub confined_to: Option<Confinement>,
    /// The API key by which the request was made; null: a session.
    pub api_key_id: Option<ApiKeyId>,
}

/// A change of one's own password.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password that is good now.
    #[schema(format = Password, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub current_password: String,
    /// As the settings want it: at least 10 characters, unless they say otherwise.
    #[schema(format = Password, min_length = 8, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub new_password: String,
}
