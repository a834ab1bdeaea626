//! The whole policy: which role may do what to which kind of resource.

use super::{Action, Level, Resource, Role};

/// Whether a role that the caller has in respect of the resource allows the action.
pub(super) fn allows(role: Role, action: Action, resource: &Resource) -> bool {
    use Action::{Create, Delete, List, Operate, Read, Update};
    match (role, resource) {
        (Role::SystemAdmin, _) => true,
        // Status and functions of a domain are its limits, set from above: that is Operate.
        (Role::SuperDomainAdmin | Role::DomainAdmin, Resource::Domain(_)) => {
            matches!(action, Read | List | Update)
        }
        // Whoever takes a name takes it from everybody else.
        (
            Role::SuperDomainAdmin | Role::DomainAdmin,
            Resource::Domains | Resource::DomainAlias(_),
        ) => {
            matches!(action, Read | List)
        }
        (
            Role::SuperDomainAdmin | Role::DomainAdmin,
            Resource::Department { .. } | Resource::Alias { .. },
        ) => action != Operate,
        // Limits come from the level above.
        (
            Role::SuperDomainAdmin | Role::DomainAdmin | Role::DepartmentAdmin,
            Resource::Allowance(Level::Department(..)),
        ) => matches!(action, Read | List | Update),
        (Role::SuperDomainAdmin | Role::DomainAdmin, Resource::RoleAssignment { .. }) => {
            matches!(action, Read | List | Create | Delete)
        }
        // What is added is one of them, in its place.
        (
            Role::SuperDomainAdmin | Role::DomainAdmin | Role::DepartmentAdmin,
            Resource::Groups(_)
            | Resource::Users(_)
            | Resource::RoleAssignments(_)
            | Resource::Plans
            | Resource::Allowance(Level::Domain(_)),
        ) => matches!(action, Read | List),
        (
            Role::SuperDomainAdmin | Role::DomainAdmin | Role::DepartmentAdmin,
            Resource::Imports(_),
        ) => matches!(action, Read | List | Create | Delete),
        // To place or move a user is Operate.
        (
            Role::SuperDomainAdmin | Role::DomainAdmin | Role::DepartmentAdmin,
            Resource::Group { .. } | Resource::User(_) | Resource::Profile(_),
        ) => action != Operate,
        (
            Role::DepartmentAdmin,
            Resource::Domains
            | Resource::Domain(_)
            | Resource::DomainAlias(_)
            | Resource::RoleAssignment { .. }
            | Resource::Department { id: None, .. },
        ) => matches!(action, Read | List),
        // Below the own one; that one is from above.
        (Role::DepartmentAdmin, Resource::Department { id: Some(_), .. }) => action != Operate,
        (Role::User, Resource::User(_) | Resource::RoleAssignment { .. }) => action == Read,
        (Role::User, Resource::Profile(_)) => action != Operate,
        // Everybody sees the own ones at least.
        (_, Resource::AuditEvents) => action == List,
        (
            Role::SuperDomainAdmin
            | Role::DomainAdmin
            | Role::DepartmentAdmin
            | Role::User
            | Role::Stranger,
            _,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use umail_proto::ids::{DepartmentId, DomainId};
    use uuid::Uuid;

    use super::*;
    use crate::authz::{Grant, UserScope};

    fn table() -> String {
        let domain = DomainId::from(Uuid::nil());
        let department = DepartmentId::from(Uuid::nil());
        let scope =
            UserScope { id: None, domain_id: domain, department_id: None, grants: Vec::new() };
        let grant = Grant { domain_id: domain, department_id: None };
        let resources = [
            ("settings", Resource::Settings),
            ("operators", Resource::Operators),
            ("nodes", Resource::Nodes),
            ("directory", Resource::Directory),
            ("operations", Resource::Operations),
            ("audit events", Resource::AuditEvents),
            ("plans", Resource::Plans),
            ("domains", Resource::Domains),
            ("domain", Resource::Domain(domain)),
            ("domain alias", Resource::DomainAlias(domain)),
            ("top of departments", Resource::Department { domain_id: domain, id: None }),
            ("department", Resource::Department { domain_id: domain, id: Some(department) }),
            ("system allowance", Resource::Allowance(Level::System)),
            ("domain allowance", Resource::Allowance(Level::Domain(domain))),
            ("department allowance", Resource::Allowance(Level::Department(domain, department))),
            ("alias", Resource::Alias { domain_id: domain, holder: None }),
            ("groups", Resource::Groups(domain)),
            ("group", Resource::Group { domain_id: domain, department_id: None }),
            ("imports", Resource::Imports(Some(domain))),
            ("users", Resource::Users(domain)),
            ("user", Resource::User(scope.clone())),
            ("profile", Resource::Profile(scope.clone())),
            ("role assignments", Resource::RoleAssignments(domain)),
            ("role assignment", Resource::RoleAssignment { holder: scope, grant }),
        ];
        let mut text = String::new();
        for (name, resource) in resources {
            let actions = Action::ALL.map(|action| format!("{:<8}", action.name())).concat();
            writeln!(text, "{name:<22}{}", actions.trim_end()).unwrap();
            for role in Role::ALL {
                let marks = Action::ALL
                    .map(|one| if allows(role, one, &resource) { "+       " } else { "-       " })
                    .concat();
                writeln!(text, "  {:<20}{}", role.name(), marks.trim_end()).unwrap();
            }
        }
        text
    }

    #[test]
    fn the_policy_is_the_one_that_was_agreed() {
        let table = table();
        assert_eq!(table, include_str!("policy.txt"), "policy.txt should be:\n{table}");
    }
}
