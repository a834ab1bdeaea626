//! Roles, and what of a user decides who may change it.

use umail_proto::ids::{DepartmentId, DomainId, UserId};

/// A role beyond that of a user, and where it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The domain.
    pub domain_id: DomainId,
    /// The department, with all below it; nothing for the domain as a whole.
    pub department_id: Option<DepartmentId>,
}

impl Grant {
    /// Who administers a department is a `department_admin`, and who does a domain a
    /// `domain_admin`.
    #[must_use]
    pub const fn role(self) -> Role {
        match self.department_id {
            Some(_) => Role::DepartmentAdmin,
            None => Role::DomainAdmin,
        }
    }
}

/// What decides about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserScope {
    /// Who; nothing for a user to be.
    pub id: Option<UserId>,
    /// The domain.
    pub domain_id: DomainId,
    /// The department.
    pub department_id: Option<DepartmentId>,
    /// All that the user holds, wherever it is good: only who outranks it may change the user.
    pub grants: Vec<Grant>,
}

/// A role in respect of one resource, from the lowest rank to the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Signed in, and nothing to do with the resource.
    Stranger,
    /// The user that it belongs to.
    User,
    /// Administers a department that contains it.
    DepartmentAdmin,
    /// Administers its domain.
    DomainAdmin,
    /// Administers everything inside any domain.
    SuperDomainAdmin,
    /// Administers everything.
    SystemAdmin,
}

impl Role {
    /// Every role, in the order of the printed table.
    pub const ALL: [Self; 6] = [
        Self::SystemAdmin,
        Self::SuperDomainAdmin,
        Self::DomainAdmin,
        Self::DepartmentAdmin,
        Self::User,
        Self::Stranger,
    ];

    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SystemAdmin => "system_admin",
            Self::SuperDomainAdmin => "super_domain_admin",
            Self::DomainAdmin => "domain_admin",
            Self::DepartmentAdmin => "department_admin",
            Self::User => "user",
            Self::Stranger => "stranger",
        }
    }
}
