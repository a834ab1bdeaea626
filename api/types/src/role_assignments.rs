//! Role assignments: which users administer which domains and departments.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{DepartmentId, DomainId, RoleAssignmentId, UserId};
use utoipa::{IntoParams, ToSchema};

use crate::patch::present;

/// What a user can be appointed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssignedRole {
    /// Everything inside a domain, except what is set from above.
    DomainAdmin,
    /// The users of a department and of all departments below it.
    DepartmentAdmin,
}

/// A role of a user beyond that of a user, and where it is good.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RoleAssignment {
    /// Identifies the role assignment.
    pub id: RoleAssignmentId,
    /// Who has the role.
    pub user_id: UserId,
    /// The address of the user.
    #[schema(example = "anna@example.com")]
    pub user_address: String,
    /// The role.
    pub role: AssignedRole,
    /// The domain that it is good for.
    pub domain_id: DomainId,
    /// The department whose subtree it is good for; null: all of the domain.
    pub department_id: Option<DepartmentId>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A role assignment to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoleAssignment {
    /// The role.
    pub role: AssignedRole,
    /// The domain that it shall be good for; absent: the domain of the user.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub domain_id: Option<DomainId>,
    /// The department of that domain whose subtree it shall be good for; for a
    /// `department_admin`, and for nobody else.
    #[serde(default)]
    pub department_id: Option<DepartmentId>,
}

/// Which role assignments of a domain are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RoleAssignmentFilter {
    /// Only those of this department, those above and below not included.
    #[param(nullable = false)]
    pub department_id: Option<DepartmentId>,
}
