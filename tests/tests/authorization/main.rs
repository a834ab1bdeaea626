//! The server's authorization against a reference model: the same decision, over random
//! hierarchies, while users and departments move and administrators are appointed and demoted.
//!
//! `UMAIL_DECISIONS` says how many decisions.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "says how many decisions were compared")]

mod reference;
mod rows;

use umail_api::{
    authz::{self, Action, Grant, Level, Resource, UserScope},
    context::{Assignment, Caller},
    error::Error,
    model::operator::OperatorRole,
};
use umail_api_types::status::Status;
use umail_proto::ids::{DepartmentId, DomainId, OperatorId, UserId};
use umail_tests::random::Random;
use uuid::Uuid;

use crate::reference::{Life, Role, Verb, What, Who, World};

const DECISIONS: u64 = 20_000;
/// Decisions about one world, with a change after each few.
const OF_A_WORLD: u64 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Refused,
    Hidden,
}

/// Makes worlds and asks about them.
struct Questions(Random);

impl Questions {
    /// A department of the domain, or none.
    fn department(&mut self, world: &World, domain: usize) -> Option<usize> {
        let all = 0..world.departments.len();
        let own: Vec<_> = all.filter(|one| world.departments[*one].0 == domain).collect();
        if own.is_empty() || self.0.is_one_in(4) { None } else { Some(self.0.pick(&own)) }
    }

    fn role(&mut self, world: &World) -> Role {
        let domain = self.0.below(world.domains.len());
        (domain, self.department(world, domain))
    }

    fn world(&mut self) -> World {
        let mut world =
            World { domains: vec![Life::Good; 1 + self.0.below(3)], ..World::default() };
        for _ in 0..self.0.below(10) {
            let (domain, parent) = self.role(&world);
            world.departments.push((domain, parent));
        }
        for _ in 0..=self.0.below(8) {
            let role = self.role(&world);
            world.users.push((role, Vec::new()));
            for _ in 0..self.0.below(3) {
                self.appoint(&mut world);
            }
        }
        world
    }

    /// More often at home than elsewhere.
    fn appoint(&mut self, world: &mut World) {
        let user = self.0.below(world.users.len());
        let mut role = self.role(world);
        if !self.0.is_one_in(3) {
            let domain = world.users[user].0.0;
            role = (domain, self.department(world, domain));
        }
        if !world.users[user].1.contains(&role) {
            world.users[user].1.push(role);
        }
    }

    /// Appoints, demotes, moves a user or a department, or lets a domain rest or come back.
    fn change(&mut self, world: &mut World) {
        let user = self.0.below(world.users.len());
        match self.0.below(6) {
            0 | 1 => self.appoint(world),
            2 => {
                world.users[user].1.pop();
            }
            3 => world.users[user].0.1 = self.department(world, world.users[user].0.0),
            4 if !world.departments.is_empty() => {
                let moved = self.0.below(world.departments.len());
                let parent = self.department(world, world.departments[moved].0);
                let is_circle = parent.is_some_and(|one| subtree(world, moved).contains(&one));
                if !is_circle {
                    world.departments[moved].1 = parent;
                }
            }
            _ => {
                let domain = self.0.below(world.domains.len());
                let lives = [Life::Good, Life::Good, Life::Good, Life::Resting, Life::Gone];
                world.domains[domain] = self.0.pick(&lives);
            }
        }
    }

    fn who(&mut self, world: &World) -> Who {
        match self.0.below(12) {
            0 => Who::SystemAdmin,
            1 => Who::SuperDomainAdmin,
            _ => Who::User(self.0.below(world.users.len())),
        }
    }

    fn what(&mut self, world: &World) -> What {
        let user = self.0.below(world.users.len());
        let (domain, department) = self.role(world);
        match (self.0.below(22), department) {
            (19, _) => What::Plans,
            (20, _) => What::Limits(Some((domain, department))),
            (21, _) if self.0.is_one_in(2) => What::Limits(None),
            (0, _) => What::System,
            (1, _) => What::Domains,
            (2, _) => What::Domain(domain),
            (3, _) => What::Departments(domain),
            (4, Some(department)) => What::Department(department),
            (5, _) => What::Alias(domain, None),
            (4 | 6, _) => What::Alias(world.users[user].0.0, Some(user)),
            (7, _) => What::Users(domain),
            (8, _) => What::NewUser((domain, department)),
            (9 | 10, _) => What::User(user),
            (11, _) => What::Profile(user),
            (12, _) => What::Roles(domain),
            (16, _) => What::DomainAliases(domain),
            (17, _) => What::Groups(domain),
            (18, _) => What::Group((domain, department)),
            (13, _) if !world.users[user].1.is_empty() => {
                What::Role(user, self.0.pick(&world.users[user].1))
            }
            _ => What::Role(user, (domain, department)),
        }
    }
}

/// A department and all below it.
fn subtree(world: &World, root: usize) -> Vec<usize> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let (all, above) = (0..world.departments.len(), Some(found[next]));
        found.extend(all.filter(|one| world.departments[*one].1 == above));
        next += 1;
    }
    found
}

fn id<T: From<Uuid>>(index: usize) -> T {
    Uuid::from_u128(u128::try_from(index).unwrap()).into()
}

fn grant((domain, department): Role) -> Grant {
    Grant { domain_id: id(domain), department_id: department.map(id) }
}

fn scope(world: &World, user: usize) -> UserScope {
    let ((domain, department), roles) = &world.users[user];
    UserScope {
        id: Some(id(user)),
        domain_id: id(*domain),
        department_id: department.map(id),
        grants: roles.iter().copied().map(grant).collect(),
    }
}

fn caller(world: &World, who: Who) -> Caller {
    let operator = |role| Caller::Operator { id: id::<OperatorId>(0), role };
    let user = match who {
        Who::SystemAdmin => return operator(OperatorRole::SystemAdmin),
        Who::SuperDomainAdmin => return operator(OperatorRole::SuperDomainAdmin),
        Who::User(user) => user,
    };
    let ((home, _), roles) = &world.users[user];
    let effective = roles.iter().filter(|(domain, _)| world.domains[*domain] != Life::Gone);
    let assignments = effective.map(|(domain, department)| match department {
        None => Assignment::DomainAdmin(id(*domain)),
        Some(root) => Assignment::DepartmentAdmin {
            domain_id: id(*domain),
            department_id: id(*root),
            subtree: subtree(world, *root).into_iter().map(id::<DepartmentId>).collect(),
        },
    });
    let own = roles.iter().map(|(domain, _)| domain).chain([home]);
    let resting = own.filter(|domain| world.domains[**domain] == Life::Resting);
    let resting = resting.map(|domain| (id::<DomainId>(*domain), Status::Suspended)).collect();
    let (id, domain_id) = (id::<UserId>(user), id::<DomainId>(*home));
    Caller::User { id, domain_id, assignments: assignments.collect(), resting }
}

fn resource(world: &World, what: What) -> Resource {
    match what {
        What::System => Resource::Nodes,
        What::Plans => Resource::Plans,
        What::Domains => Resource::Domains,
        What::Limits(None) => Resource::Allowance(Level::System),
        What::Limits(Some((domain, None))) => Resource::Allowance(Level::Domain(id(domain))),
        What::Limits(Some((domain, Some(one)))) => {
            Resource::Allowance(Level::Department(id(domain), id(one)))
        }
        What::Domain(domain) => Resource::Domain(id(domain)),
        What::DomainAliases(domain) => Resource::DomainAlias(id(domain)),
        What::Departments(domain) => Resource::Department { domain_id: id(domain), id: None },
        What::Department(one) => {
            let domain_id = id(world.departments[one].0);
            Resource::Department { domain_id, id: Some(id(one)) }
        }
        What::Alias(domain, user) => {
            let holder = user.map(|user| scope(world, user));
            Resource::Alias { domain_id: id(domain), holder }
        }
        What::Groups(domain) => Resource::Groups(id(domain)),
        What::Group((domain, department)) => {
            Resource::Group { domain_id: id(domain), department_id: department.map(id) }
        }
        What::Users(domain) => Resource::Users(id(domain)),
        What::NewUser((domain, department)) => Resource::User(UserScope {
            id: None,
            domain_id: id(domain),
            department_id: department.map(id),
            grants: Vec::new(),
        }),
        What::User(user) => Resource::User(scope(world, user)),
        What::Profile(user) => Resource::Profile(scope(world, user)),
        What::Roles(domain) => Resource::RoleAssignments(id(domain)),
        What::Role(user, role) => {
            Resource::RoleAssignment { holder: scope(world, user), grant: grant(role) }
        }
    }
}

fn of_the_server(world: &World, who: Who, verb: Verb, what: What) -> Outcome {
    let action = match verb {
        Verb::Read => Action::Read,
        Verb::List => Action::List,
        Verb::Create => Action::Create,
        Verb::Update => Action::Update,
        Verb::Delete => Action::Delete,
        Verb::Operate => Action::Operate,
    };
    match authz::authorize(&caller(world, who), action, resource(world, what)) {
        Ok(()) => Outcome::Allowed,
        Err(Error::Forbidden(_)) => Outcome::Refused,
        Err(Error::NotFound { .. }) => Outcome::Hidden,
        Err(other) => unreachable!("{other}"),
    }
}

/// What may not be seen does not exist; it is no secret that there is a system, with plans and domains.
fn of_the_reference(world: &World, who: Who, verb: Verb, what: What) -> Outcome {
    let is_known = matches!(what, What::System | What::Plans | What::Domains | What::Limits(None));
    if world.may(who, verb, what) {
        Outcome::Allowed
    } else if is_known || world.may(who, Verb::Read, what) {
        Outcome::Refused
    } else {
        Outcome::Hidden
    }
}

#[test]
fn the_server_decides_as_the_reference_does() {
    let decisions = std::env::var("UMAIL_DECISIONS").map(|text| text.parse().unwrap());
    let decisions = decisions.unwrap_or(DECISIONS);
    let mut questions = Questions(Random::new(1));
    let mut world = questions.world();
    let mut counts = [0_u64; 3];
    for number in 0..decisions {
        if number % OF_A_WORLD == 0 {
            world = questions.world();
        } else if questions.0.is_one_in(5) {
            questions.change(&mut world);
        }
        let (who, what) = (questions.who(&world), questions.what(&world));
        let verb = questions.0.pick(&[
            Verb::Read,
            Verb::List,
            Verb::Create,
            Verb::Update,
            Verb::Delete,
            Verb::Operate,
        ]);
        let wanted = of_the_reference(&world, who, verb, what);
        let found = of_the_server(&world, who, verb, what);
        assert_eq!(found, wanted, "decision {number}: {verb:?} {what:?} by {who:?} in {world:#?}");
        counts[wanted as usize] += 1;
    }
    println!("{decisions} decisions: {counts:?} allowed, refused, hidden");
    // A generator that asks only what is plain proves nothing.
    assert!(counts.iter().all(|one| *one > decisions / 10), "{counts:?}");
}
