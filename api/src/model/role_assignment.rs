//! Role assignments: which users administer which domains and departments.

use serde::Serialize;
use time::OffsetDateTime;
use umail_proto::ids::{DepartmentId, DomainId, RoleAssignmentId, UserId};

use crate::model::{address::EmailAddress, role::Grant};

/// A user has at most so many.
pub const MAX_OF_A_USER: usize = 100;

/// A role of a user beyond that of a user, and where it is good.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Identifies the role assignment.
    pub id: RoleAssignmentId,
    /// Who has the role.
    pub user_id: UserId,
    /// The address of the user.
    pub user_address: EmailAddress,
    /// The domain.
    pub domain_id: DomainId,
    /// The department, with all below it; nothing for the domain as a whole.
    pub department_id: Option<DepartmentId>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

impl RoleAssignment {
    /// The role, and where it is good.
    #[must_use]
    pub const fn grant(&self) -> Grant {
        Grant { domain_id: self.domain_id, department_id: self.department_id }
    }
}
