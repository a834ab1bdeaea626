//! What becomes of administrators of domains: on request, those are appointed whose account there has
//! the address of a mailbox.

use std::collections::HashSet;

use super::{
    Do, Held, Kind, NO_MAILBOX, Origin, Refusal,
    decide::{Decider, Now, parts},
    source::{Administrator, Administrators},
};
use crate::model::address::{DomainName, EmailAddress};

const OF_ALL: &str = "administers everything: add an operator (umail-api operator create)";
const NOBODY: &str = "administers the domain, and is no mailbox: appoint a user \
                      (POST /v1/users/{user}/role_assignments)";
const ON_REQUEST: &str = "administers the domain: --administrators appoints whose mailbox it is";

/// A user who is to administer a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdministratorStep {
    /// Where it stands.
    pub origin: Origin,
    /// The user.
    pub address: EmailAddress,
    /// The domain.
    pub domain: DomainName,
}

impl Decider<'_> {
    pub(super) fn administrators(&mut self, there: Administrators) {
        let Administrators { rows, disabled, of_all } = there;
        let told: HashSet<_> =
            rows.iter().filter(|one| one.domain == "ALL").map(|one| one.name.clone()).collect();
        for (line, name) in of_all {
            if !told.contains(&name) && !disabled.contains(&name) {
                self.leave_administrator(Origin { line, table: "admin", key: name }, OF_ALL);
            }
        }
        let mut seen = HashSet::new();
        for row in rows {
            if disabled.contains(&row.name) {
                continue;
            }
            let key = format!("{} {}", row.name, row.domain);
            let origin = Origin { line: row.line, table: "domain_admins", key };
            match self.administrator(&row) {
                Err(Left::Out(reason)) => self.leave_administrator(origin, reason),
                Err(Left::Refused(field, reason)) => {
                    self.refuse(Kind::Administrator, origin, field, reason);
                }
                Ok((address, domain, now)) => {
                    let is_first = seen.insert((address.clone(), domain.clone()));
                    let kind = is_first.then(|| self.settle(Kind::Administrator, &origin, now));
                    if kind.flatten() == Some(Do::Add) {
                        let step = AdministratorStep { origin, address, domain };
                        self.steps.administrators.push(step);
                    }
                }
            }
        }
    }

    fn administrator(&self, row: &Administrator) -> Result<(EmailAddress, DomainName, Now), Left> {
        if row.domain == "ALL" {
            return Err(Left::Out(OF_ALL));
        }
        let address = parts(&row.name).map(|(part, name)| EmailAddress::of(&part, &name));
        let address = address.map_err(|_no_address| Left::Out(NOBODY))?;
        match self.mailboxes.get(&address) {
            None => return Err(Left::Out(NOBODY)),
            Some(_) if !self.options.administrators => return Err(Left::Out(ON_REQUEST)),
            Some(false) => return Err(Left::Refused("username", NO_MAILBOX.to_owned())),
            Some(true) => {}
        }
        let of_domain = |reason| Left::Refused("domain", reason);
        let domain = DomainName::parse(&row.domain).map_err(of_domain)?;
        if let Some(home) = self.names.get(&domain) {
            let reason = format!("is another name of {home}, which has its own administrators");
            return Err(of_domain(reason));
        }
        if !self.domains.contains(&domain) {
            return Err(of_domain(format!("domain {domain} is not taken over")));
        }
        let now = match self.existing.addresses.get(&address) {
            Some(Held::User { administers, .. }) if administers.contains(&domain) => Now::Same,
            _ => Now::Not,
        };
        Ok((address, domain, now))
    }

    fn leave_administrator(&mut self, origin: Origin, reason: &str) {
        let refusal = Refusal { origin, field: "", reason: reason.to_owned() };
        self.steps.report.left_out.push(refusal);
    }
}

/// Why nobody is appointed.
enum Left {
    /// That is not meant to be.
    Out(&'static str),
    /// This column is wrong.
    Refused(&'static str, String),
}
