//! May they: what is asked, on what, by whom. The table itself is in `policy`.

use std::fmt;

use umail_api_types::status::Status;
use umail_proto::ids::{DepartmentId, DomainId, UserId};

pub use crate::model::role::{Grant, Role, UserScope};

use crate::{
    context::{Assignment, Caller},
    error::{Error, Result},
    model::{audit, department::Among, operator::OperatorRole},
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Audit events as a whole; a list shows those of the caller's scope.
    AuditEvents,
    /// Plans: what users get by default, and may not exceed.
    Plans,
    /// The hosted domains as a whole; a list shows those of the caller's scope.
    Domains,
    /// A domain.
    Domain(DomainId),
    /// Another name of a domain, or all of them.
    DomainAlias(DomainId),
    /// Departments of a domain; those at its top belong to no department.
    Department {
        /// The domain.
        domain_id: DomainId,
        /// The department; nothing for the domain as a whole.
        id: Option<DepartmentId>,
    },
    /// How much may be given away, and what has been.
    Allowance(Level),
    /// An alias of a domain, or all of them.
    Alias {
        /// The domain of the address.
        domain_id: DomainId,
        /// The user whom it stands for, and who may send as it; nothing if it stands for nobody.
        holder: Option<UserScope>,
    },
    /// Groups of a domain as a whole; a list shows those of the caller's scope.
    Groups(DomainId),
    /// A group, or a group to be, with its members.
    Group {
        /// The domain.
        domain_id: DomainId,
        /// The department; nothing for one of the domain itself.
        department_id: Option<DepartmentId>,
    },
    /// Imports, exports and bulk changes of users, in a domain or, with nothing, wherever the caller
    /// administers anything; each line is authorized by itself. With hashes of passwords that is Operate.
    Imports(Option<DomainId>),
    /// Users of a domain as a whole; a list shows those of the caller's scope.
    Users(DomainId),
    /// A user, or a user to be: what an administrator sets.
    User(UserScope),
    /// What a user decides about: password, app passwords, forwarding, display name.
    Profile(UserScope),
    /// Role assignments in a domain as a whole; a list shows those of the caller's scope.
    RoleAssignments(DomainId),
    /// A role that a user has or shall have.
    RoleAssignment {
        /// The user.
        holder: UserScope,
        /// The role, and where it is good.
        grant: Grant,
    },
}

/// Whose allowance it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// That of the whole system.
    System,
    /// That of a domain.
    Domain(DomainId),
    /// That of a department.
    Department(DomainId, DepartmentId),
}

/// Refuses what the caller may not do: what may not be seen does not exist for the caller.
pub fn authorize(caller: &Caller, action: Action, resource: Resource) -> Result<()> {
    match caller {
        Caller::System => return Ok(()),
        Caller::Nobody => return Err(Error::Unauthenticated("sign in first")),
        Caller::Operator { .. } | Caller::User { .. } | Caller::Node(_) => {}
    }
    if allows(caller, action, &resource) {
        return Ok(());
    }
    if resource.is_known() || allows(caller, Action::Read, &resource) {
        return Err(Error::Forbidden(match resting(caller, resource.domain()) {
            Some(status) if !is_look(action) => format!("the domain is {}", status.name()),
            _ => format!("{} {resource}", action.name()),
        }));
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
    // One that is below another is in both.
    let mut visible: Vec<_> = subtrees.flatten().copied().collect();
    visible.sort_unstable();
    visible.dedup();
    Some(visible)
}

/// The departments that a list shows of all, or of the one that was asked for.
#[must_use]
pub fn visible_among(caller: &Caller, domain: DomainId, wanted: Option<DepartmentId>) -> Among {
    let all = || wanted.map_or(Among::All, |id| Among::These(vec![id]));
    let Caller::User { assignments, .. } = caller else { return all() };
    let Some(visible) = visible_departments(caller, domain) else { return all() };
    if let Some(id) = wanted {
        return Among::These(Vec::from_iter(visible.contains(&id).then_some(id)));
    }
    let tops = assignments.iter().filter_map(|assignment| match assignment {
        Assignment::DepartmentAdmin { domain_id, department_id, .. } if *domain_id == domain => {
            Some(*department_id)
        }
        _ => None,
    });
    Among::Below(tops.collect())
}

/// The domains and the departments whose role assignments a list of those of a user shows;
/// nothing means all of them.
#[must_use]
pub fn visible_places(caller: &Caller, user: UserId) -> Option<(Vec<DomainId>, Vec<DepartmentId>)> {
    let Caller::User { id, assignments, .. } = caller else { return None };
    if *id == user {
        return None;
    }
    let (mut domains, mut departments) = (Vec::new(), Vec::new());
    for assignment in assignments {
        match assignment {
            Assignment::DomainAdmin(domain) => domains.push(*domain),
            Assignment::DepartmentAdmin { subtree, .. } => departments.extend(subtree),
        }
    }
    Some((domains, departments))
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

/// Whether the caller administers all of a domain, or of a department with all below it.
#[must_use]
pub fn administers(caller: &Caller, domain: DomainId, department: Option<DepartmentId>) -> bool {
    let place = (Some(domain), Some(department));
    roles_in(caller, place).iter().any(|role| match department {
        None => *role >= Role::DomainAdmin,
        Some(_) => *role >= Role::DepartmentAdmin,
    })
}

/// The audit events that a list shows.
#[must_use]
pub fn audit_scope(caller: &Caller) -> audit::Scope {
    match caller {
        Caller::Operator { role: OperatorRole::SystemAdmin, .. } | Caller::System => {
            audit::Scope::All
        }
        Caller::Operator { id, role: OperatorRole::SuperDomainAdmin } => {
            audit::Scope::Domains { own: id.uuid() }
        }
        Caller::User { .. } | Caller::Node(_) | Caller::Nobody => audit::Scope::Reach,
    }
}

/// The general rule. The caller's scope contains the resource: only roles count that are good
/// there, and to change something none that rests. The caller outranks whoever holds the resource.
/// What is granted is less than what the caller has.
fn allows(caller: &Caller, action: Action, resource: &Resource) -> bool {
    let is_look = is_look(action);
    if !is_look && resting(caller, resource.domain()).is_some() {
        return false;
    }
    roles(caller, resource).into_iter().any(|role| {
        let is_free = is_look || role == Role::User;
        policy::allows(role, action, resource)
            && (is_free || outranks_holder(caller, role, action, resource))
    })
}

const fn is_look(action: Action) -> bool {
    matches!(action, Action::Read | Action::List)
}

/// The status of a domain in which the caller changes nothing, while it is suspended or closed.
/// Operators, who set it, go on.
fn resting(caller: &Caller, domain: Option<DomainId>) -> Option<Status> {
    let Caller::User { resting, .. } = caller else { return None };
    resting.iter().find(|(one, _)| Some(*one) == domain).map(|(_, status)| *status)
}

/// The second and the third part of the general rule, for a role that the policy allows it.
fn outranks_holder(caller: &Caller, role: Role, action: Action, resource: &Resource) -> bool {
    match resource {
        Resource::User(user) | Resource::Profile(user) => outranks(caller, &user.grants),
        // Whoever administers a department has it from above: what is added below it is another one.
        Resource::Department { id: Some(_), .. } if action == Action::Create => true,
        Resource::Department { id: Some(id), .. }
        | Resource::Allowance(Level::Department(_, id)) => {
            role > Role::DepartmentAdmin || is_above(caller, *id)
        }
        // Who may send as an alias may have it: an administrator has addresses like anybody.
        Resource::Alias { holder: Some(user), .. } => {
            is_user(caller, user) || outranks(caller, &user.grants)
        }
        // What the user is elsewhere does not keep a domain from ridding itself of the user.
        Resource::RoleAssignment { holder, grant } if action == Action::Delete => {
            let here = holder.grants.iter().filter(|one| one.domain_id == grant.domain_id);
            role > grant.role() && outranks(caller, here)
        }
        // Both ends: the place, and the user, who is changed by it.
        Resource::RoleAssignment { holder, grant } => {
            role > grant.role() && allows(caller, Action::Update, &Resource::User(holder.clone()))
        }
        _ => true,
    }
}

/// Whether the caller is above all of this, wherever it is good: below in one place is below, and a
/// role that rests is above nobody.
fn outranks<'a>(caller: &Caller, grants: impl IntoIterator<Item = &'a Grant>) -> bool {
    grants.into_iter().all(|grant| {
        let place = (Some(grant.domain_id), Some(grant.department_id));
        resting(caller, Some(grant.domain_id)).is_none()
            && roles_in(caller, place).into_iter().any(|role| role > grant.role())
    })
}

/// Whether the caller administers a department that this one is below.
fn is_above(caller: &Caller, department: DepartmentId) -> bool {
    let Caller::User { assignments, .. } = caller else { return false };
    assignments.iter().any(|assignment| match assignment {
        Assignment::DepartmentAdmin { department_id, subtree, .. } => {
            *department_id != department && subtree.contains(&department)
        }
        Assignment::DomainAdmin(_) => false,
    })
}

/// Every role that the caller has in respect of the resource.
fn roles(caller: &Caller, resource: &Resource) -> Vec<Role> {
    let mut roles = vec![Role::Stranger];
    if let Caller::Operator { role: OperatorRole::SystemAdmin, .. } = caller {
        roles.push(Role::SystemAdmin);
    }
    if resource.owner().is_some_and(|user| is_user(caller, user)) {
        roles.push(Role::User);
    }
    if let Some(place) = resource.place() {
        roles.extend(roles_in(caller, place));
    }
    roles
}

fn is_user(caller: &Caller, user: &UserScope) -> bool {
    matches!(caller, Caller::User { id, .. } if user.id == Some(*id))
}

/// In which domain (nothing: in any), and in which department of it. Nothing for the department
/// means that the departments do not matter; nothing inside that it is in none.
type Place = (Option<DomainId>, Option<Option<DepartmentId>>);

/// Every role of an administrator that the caller has in a place.
fn roles_in(caller: &Caller, place: Place) -> Vec<Role> {
    match caller {
        Caller::Operator { role: OperatorRole::SystemAdmin, .. } => vec![Role::SystemAdmin],
        Caller::Operator { role: OperatorRole::SuperDomainAdmin, .. } => {
            vec![Role::SuperDomainAdmin]
        }
        Caller::User { assignments, .. } => {
            assignments.iter().filter_map(|one| role_of(one, place)).collect()
        }
        Caller::Node(_) | Caller::System | Caller::Nobody => Vec::new(),
    }
}

fn role_of(assignment: &Assignment, (domain, department): Place) -> Option<Role> {
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
    fn is_known(&self) -> bool {
        match self {
            Self::Settings
            | Self::Operators
            | Self::Nodes
            | Self::Directory
            | Self::Operations
            | Self::AuditEvents
            | Self::Plans
            | Self::Imports(None)
            | Self::Domains
            | Self::Allowance(Level::System) => true,
            Self::Imports(Some(_))
            | Self::Allowance(Level::Domain(_) | Level::Department(..))
            | Self::Domain(_)
            | Self::DomainAlias(_)
            | Self::Department { .. }
            | Self::Alias { .. }
            | Self::Groups(_)
            | Self::Group { .. }
            | Self::Users(_)
            | Self::User(_)
            | Self::Profile(_)
            | Self::RoleAssignments(_)
            | Self::RoleAssignment { .. } => false,
        }
    }

    /// The word for it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Operators => "operators",
            Self::Nodes => "nodes",
            Self::Directory => "directory",
            Self::Operations => "operations",
            Self::AuditEvents => "audit events",
            Self::Plans => "plans",
            Self::Domains => "domains",
            Self::Domain(_) => "domain",
            Self::DomainAlias(_) => "domain alias",
            Self::Department { .. } => "department",
            Self::Allowance(_) => "allowance",
            Self::Alias { .. } => "alias",
            Self::Groups(_) => "groups",
            Self::Group { .. } => "group",
            Self::Imports(_) => "imports",
            Self::Users(_) => "users",
            Self::User(_) => "user",
            Self::Profile(_) => "user",
            Self::RoleAssignments(_) => "role assignments",
            Self::RoleAssignment { .. } => "role assignment",
        }
    }

    /// The user whom it is about.
    fn owner(&self) -> Option<&UserScope> {
        match self {
            Self::User(user) | Self::Profile(user) | Self::RoleAssignment { holder: user, .. } => {
                Some(user)
            }
            _ => None,
        }
    }

    /// The domain that it is in.
    fn domain(&self) -> Option<DomainId> {
        self.place()?.0
    }

    /// Where it is. What belongs to the system is nowhere.
    fn place(&self) -> Option<Place> {
        match *self {
            Self::Settings
            | Self::Operators
            | Self::Nodes
            | Self::Directory
            | Self::Operations
            | Self::AuditEvents
            | Self::Allowance(Level::System) => None,
            Self::Plans | Self::Domains | Self::Imports(None) => Some((None, None)),
            Self::Imports(Some(domain)) => Some((Some(domain), None)),
            Self::Domain(domain)
            | Self::DomainAlias(domain)
            | Self::Allowance(Level::Domain(domain))
            | Self::Groups(domain)
            | Self::Users(domain)
            | Self::RoleAssignments(domain) => Some((Some(domain), None)),
            Self::Alias { domain_id, .. } => Some((Some(domain_id), Some(None))),
            Self::Group { domain_id, department_id } => {
                Some((Some(domain_id), Some(department_id)))
            }
            Self::Department { domain_id, id: None } => Some((Some(domain_id), None)),
            Self::Department { domain_id, id } => Some((Some(domain_id), Some(id))),
            Self::Allowance(Level::Department(domain, id)) => Some((Some(domain), Some(Some(id)))),
            Self::User(ref user) | Self::Profile(ref user) => {
                Some((Some(user.domain_id), Some(user.department_id)))
            }
            Self::RoleAssignment { grant, .. } => {
                Some((Some(grant.domain_id), Some(grant.department_id)))
            }
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(id) | Self::Users(id) => id.fmt(f),
            Self::Department { id: Some(id), .. } => id.fmt(f),
            Self::User(UserScope { id: Some(id), .. })
            | Self::Profile(UserScope { id: Some(id), .. }) => id.fmt(f),
            _ => f.write_str(self.kind()),
        }
    }
}
