//! May they: what is asked, on what, by whom. The table itself is in `policy`.

use std::fmt;

use umail_proto::ids::{DepartmentId, DomainId, UserId};

pub use crate::model::role::{Role, UserScope};

use crate::{
    context::{Assignment, Caller},
    error::{Error, Result},
    model::operator::OperatorRole,
};

mod policy;

/// What can be done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See one.
    Read,
    /// See which there are.
    List,
    /// Add one.
    Create,
    /// Change one.
    Update,
    /// Remove one.
    Delete,
    /// Steer: restart, place, move, revoke, set what the level above decides.
    Operate,
}

impl Action {
    /// Every action, in the order of the printed table.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::List, Self::Create, Self::Update, Self::Delete, Self::Operate];

    /// The name in audit events and in refusals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Operate => "operate",
        }
    }
}

/// What it is done to, with all that the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Settings of the whole system.
    Settings,
    /// Staff accounts.
    Operators,
    /// Mail nodes with their services, join tokens, load, traffic and queues.
    Nodes,
    /// Convergence of the directory.
    Directory,
    /// Tracked long work.
    Operations,
    /// Plans: what users get by default, and may not exceed.
    Plans,
    /// The hosted domains as a whole; a list shows those of the caller's scope.
    Domains,
    /// A domain.
    Domain(DomainId),
    /// Departments of a domain; those at its top belong to no department.
    Department {
        /// The domain.
        domain_id: DomainId,
        /// The department; nothing for the domain as a whole.
        id: Option<DepartmentId>,
    },
    /// Aliases of a domain.
    Alias(DomainId),
    /// Users of a domain as a whole; a list shows those of the caller's scope.
    Users(DomainId),
    /// A user, or a user to be: what an administrator sets.
    User(UserScope),
    /// What a user decides about: password, app passwords, forwarding, display name.
    Profile(UserScope),
}

/// Refuses what the caller may not do: what may not be seen does not exist for the caller.
pub fn authorize(caller: &Caller, action: Action, resource: Resource) -> Result<()> {
    match caller {
        Caller::System => return Ok(()),
        Caller::Nobody => return Err(Error::Unauthenticated("sign in first")),
        Caller::Operator { .. } | Caller::User { .. } | Caller::Node(_) => {}
    }
    if allows(caller, action, resource) {
        return Ok(());
    }
    if resource.is_known() || allows(caller, Action::Read, resource) {
        return Err(Error::Forbidden(format!("{} {resource}", action.name())));
    }
    Err(Error::not_found(resource.kind(), resource))
}

/// Whether an authorized list shows all of the domain, or only some departments of it.
#[must_use]
pub fn visible_departments(caller: &Caller, domain: DomainId) -> Option<Vec<DepartmentId>> {
    let Caller::User { assignments, .. } = caller else { return None };
    if assignments.contains(&Assignment::DomainAdmin(domain)) {
        return None;
    }
    let subtrees = assignments.iter().filter_map(|assignment| match assignment {
        Assignment::DepartmentAdmin { domain_id, subtree, .. } if *domain_id == domain => {
            Some(subtree)
        }
        _ => None,
    });
    Some(subtrees.flatten().copied().collect())
}

/// The domains that a list shows; nothing means all of them.
#[must_use]
pub fn visible_domains(caller: &Caller) -> Option<Vec<DomainId>> {
    let Caller::User { assignments, .. } = caller else { return None };
    let domains = assignments.iter().map(|assignment| match assignment {
        Assignment::DomainAdmin(domain_id) | Assignment::DepartmentAdmin { domain_id, .. } => {
            *domain_id
        }
    });
    Some(domains.collect())
}

fn allows(caller: &Caller, action: Action, resource: Resource) -> bool {
    let looks = matches!(action, Action::Read | Action::List);
    roles(caller, resource).into_iter().any(|role| {
        let outranks = role > resource.holder() || role == Role::SystemAdmin;
        let own = role == Role::User;
        (looks || own || outranks) && policy::allows(role, action, resource)
    })
}

/// Every role that the caller has in respect of the resource.
fn roles(caller: &Caller, resource: Resource) -> Vec<Role> {
    let mut roles = vec![Role::Stranger];
    match caller {
        Caller::Operator { role: OperatorRole::SystemAdmin, .. } => roles.push(Role::SystemAdmin),
        Caller::Operator { role: OperatorRole::SuperDomainAdmin, .. } => {
            roles.push(Role::SuperDomainAdmin);
        }
        Caller::User { id, assignments, .. } => {
            if resource.user() == Some(*id) {
                roles.push(Role::User);
            }
            roles.extend(assignments.iter().filter_map(|one| role_of(one, resource)));
        }
        Caller::Node(_) | Caller::System | Caller::Nobody => {}
    }
    roles
}

fn role_of(assignment: &Assignment, resource: Resource) -> Option<Role> {
    let (domain, department) = resource.place()?;
    match assignment {
        Assignment::DomainAdmin(own) => {
            domain.is_none_or(|domain| domain == *own).then_some(Role::DomainAdmin)
        }
        Assignment::DepartmentAdmin { domain_id: own, subtree, .. } => {
            let inside = domain.is_none_or(|domain| domain == *own)
                && department.is_none_or(|department| {
                    department.is_some_and(|department| subtree.contains(&department))
                });
            inside.then_some(Role::DepartmentAdmin)
        }
    }
}

impl Resource {
    /// Whether its existence is no secret: everybody can read of it in the documentation.
    fn is_known(self) -> bool {
        match self {
            Self::Settings
            | Self::Operators
            | Self::Nodes
            | Self::Directory
            | Self::Operations
            | Self::Plans
            | Self::Domains => true,
            Self::Domain(_)
            | Self::Department { .. }
            | Self::Alias(_)
            | Self::Users(_)
            | Self::User(_)
            | Self::Profile(_) => false,
        }
    }

    /// The word for it.
    fn kind(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Operators => "operators",
            Self::Nodes => "nodes",
            Self::Directory => "directory",
            Self::Operations => "operations",
            Self::Plans => "plans",
            Self::Domains => "domains",
            Self::Domain(_) => "domain",
            Self::Department { .. } => "department",
            Self::Alias(_) => "alias",
            Self::Users(_) => "users",
            Self::User(_) => "user",
            Self::Profile(_) => "user",
        }
    }

    fn user(self) -> Option<UserId> {
        match self {
            Self::User(scope) | Self::Profile(scope) => scope.id,
            _ => None,
        }
    }

    fn holder(self) -> Role {
        match self {
            Self::User(scope) | Self::Profile(scope) => scope.role,
            _ => Role::Stranger,
        }
    }

    /// Where it is: in which domain (nothing: in any), and in which department of it. Nothing for
    /// the department means that the departments do not matter; nothing inside that it is in none.
    /// What belongs to the system is nowhere.
    #[expect(clippy::option_option, reason = "the two absences differ, as said above")]
    fn place(self) -> Option<(Option<DomainId>, Option<Option<DepartmentId>>)> {
        match self {
            Self::Settings | Self::Operators | Self::Nodes | Self::Directory | Self::Operations => {
                None
            }
            Self::Plans | Self::Domains => Some((None, None)),
            Self::Domain(domain) | Self::Users(domain) => Some((Some(domain), None)),
            Self::Alias(domain) => Some((Some(domain), Some(None))),
            Self::Department { domain_id, id: None } => Some((Some(domain_id), None)),
            Self::Department { domain_id, id } => Some((Some(domain_id), Some(id))),
            Self::User(scope) | Self::Profile(scope) => {
                Some((Some(scope.domain_id), Some(scope.department_id)))
            }
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(id) | Self::Users(id) | Self::Alias(id) => id.fmt(f),
            Self::Department { id: Some(id), .. } => id.fmt(f),
            Self::User(UserScope { id: Some(id), .. })
            | Self::Profile(UserScope { id: Some(id), .. }) => id.fmt(f),
            _ => f.write_str(self.kind()),
        }
    }
}
