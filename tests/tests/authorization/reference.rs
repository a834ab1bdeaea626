//! What the table of roles says, written down once more: no SQL, no type of the server.

use Where::{Anywhere, AnywhereIn, At};

/// Who administers what. Departments and users are named by their place in these lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// How each domain is.
    pub(crate) domains: Vec<Life>,
    /// The domain of each department, and the department above.
    pub(crate) departments: Vec<(usize, Option<usize>)>,
    /// The domain and the department of each user, and the roles.
    pub(crate) users: Vec<(Role, Vec<Role>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Its roles are good.
    Good,
    /// Suspended or closed: users look with their roles, and change nothing.
    Resting,
    /// Deleted: roles in it are of no effect.
    Gone,
}

/// A domain, or one department of it with all below.
pub(crate) type Role = (usize, Option<usize>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    SystemAdmin,
    SuperDomainAdmin,
    User(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Read,
    List,
    Create,
    Update,
    Delete,
    Operate,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    System,
    Plans,
    Domains,
    Domain(usize),
    DomainAliases(usize),
    Departments(usize),
    Department(usize),
    /// The limits of a domain or a department; none: of the system.
    Limits(Option<Role>),
    Alias(usize, Option<usize>),
    Groups(usize),
    Group(Role),
    Users(usize),
    NewUser(Role),
    User(usize),
    Profile(usize),
    Roles(usize),
    Role(usize, Role),
}

/// Where somebody has a rank.
#[derive(Clone, Copy)]
enum Where {
    Anywhere,
    AnywhereIn(usize),
    At(Role),
}

impl World {
    pub(crate) fn may(&self, who: Who, verb: Verb, what: What) -> bool {
        let (place, looks, changes) = self.rule(verb, what);
        let (rank, look) = (self.rank(who, place), matches!(verb, Verb::Read | Verb::List));
        let rests = match place {
            AnywhereIn(domain) | At((domain, _)) => self.rests(who, domain),
            Anywhere => false,
        };
        let is_own = match what {
            What::User(user) | What::Role(user, _) => verb == Verb::Read && who == Who::User(user),
            What::Profile(user) => verb != Verb::Operate && who == Who::User(user),
            _ => false,
        };
        let is_above = || match what {
            What::Alias(_, Some(user)) if who == Who::User(user) => true,
            What::Alias(_, Some(user)) | What::User(user) | What::Profile(user) => {
                self.outranks(who, user, None)
            }
            What::Role(user, role) if verb == Verb::Delete => {
                self.outranks(who, user, Some(role.0))
            }
            What::Role(user, _) => self.may(who, Verb::Update, What::User(user)),
            _ => true,
        };
        let allows = if look { rank >= looks } else { rank >= changes && is_above() };
        rank == 5 || (look || !rests) && (is_own || verb != Verb::Operate && allows)
    }

    /// The table: where a thing is, the least rank there that looks, and the least that changes.
    fn rule(&self, verb: Verb, what: What) -> (Where, u8, u8) {
        let look = matches!(verb, Verb::Read | Verb::List);
        let only = |allowed, rank| if verb == allowed { rank } else { 5 };
        match what {
            What::System | What::Limits(None) => (Anywhere, 5, 5),
            What::Domains | What::Plans => (Anywhere, 2, 5),
            What::Domain(domain) => (AnywhereIn(domain), 2, only(Verb::Update, 3)),
            What::Users(domain)
            | What::Roles(domain)
            | What::Groups(domain)
            | What::DomainAliases(domain)
            | What::Limits(Some((domain, None))) => (AnywhereIn(domain), 2, 5),
            What::Departments(domain) => (AnywhereIn(domain), 2, 3),
            What::Department(one) if look || verb == Verb::Create => {
                (At((self.departments[one].0, Some(one))), 2, 2)
            }
            What::Limits(Some(own)) if look => (At(own), 2, 5),
            // What a department is and has, is up to the level above.
            What::Department(one) => (At(self.departments[one]), 5, 2),
            What::Limits(Some((_, Some(one)))) => {
                (At(self.departments[one]), 5, only(Verb::Update, 2))
            }
            What::NewUser(place) | What::Group(place) => (At(place), 2, 2),
            What::User(user) | What::Profile(user) => (At(self.users[user].0), 2, 2),
            What::Alias(domain, _) => (At((domain, None)), 3, 3),
            What::Role(_, role) => {
                (At(role), 2, if verb == Verb::Update { 5 } else { 1 + weight(role) })
            }
        }
    }

    /// 5 system admin, 4 super domain admin, 3 domain admin, 2 department admin, 0 nothing.
    fn rank(&self, who: Who, place: Where) -> u8 {
        let Who::User(user) = who else { return if who == Who::SystemAdmin { 5 } else { 4 } };
        let is_good = |domain: usize| self.domains[domain] != Life::Gone;
        let roles = self.users[user].1.iter().filter(|(domain, _)| is_good(*domain));
        let good = roles.filter(|(domain, department)| match place {
            Anywhere => true,
            AnywhereIn(wanted) => *domain == wanted,
            At((wanted, _)) if department.is_none() => *domain == wanted,
            At((_, below)) => self.is_in(below, *department),
        });
        good.copied().map(weight).max().unwrap_or(0)
    }

    fn is_in(&self, below: Option<usize>, above: Option<usize>) -> bool {
        below.is_some_and(|one| below == above || self.is_in(self.departments[one].1, above))
    }

    /// Whether somebody is above all that a user is, anywhere or in this domain, where it is good.
    fn outranks(&self, who: Who, user: usize, domain: Option<usize>) -> bool {
        let roles = self.users[user].1.iter().filter(|one| domain.is_none_or(|it| one.0 == it));
        roles
            .copied()
            .all(|role| !self.rests(who, role.0) && self.rank(who, At(role)) > weight(role))
    }

    /// Whether somebody changes nothing in a domain, whatever the roles there.
    fn rests(&self, who: Who, domain: usize) -> bool {
        matches!(who, Who::User(_)) && self.domains[domain] == Life::Resting
    }
}

fn weight(role: Role) -> u8 {
    if role.1.is_none() { 3 } else { 2 }
}
