//! What is there already of all that a dump names.

use std::collections::{BTreeSet, HashMap, HashSet};

use umail_api_types::{groups::Posting, status::Status};
use umail_proto::functions::Functions;

use super::{ByAddress, decide::parts, source::Source};
use crate::model::{
    address::{DomainName, EmailAddress, LocalPart},
    allowance::Allowance,
};

/// What is there of all that a dump names.
#[derive(Debug, Default)]
pub struct Existing {
    /// By name.
    pub names: HashMap<DomainName, HeldName>,
    /// By address, in domains that are there.
    pub addresses: ByAddress<Held>,
}

/// What a name of a domain is taken by.
#[derive(Clone, Debug)]
pub enum HeldName {
    /// A domain.
    Domain {
        /// Its status.
        status: Status,
        /// Its catch-all.
        catch_all: Option<EmailAddress>,
        /// What it may have, and what has been given away of that.
        allowance: Box<Allowance>,
    },
    /// Another name of this domain.
    DomainAlias(DomainName),
    /// A domain that was deleted and can be restored.
    Deleted,
}

/// What an address is taken by.
#[derive(Clone, Debug)]
pub enum Held {
    /// A user.
    User {
        /// The name shown to people.
        display_name: String,
        /// The status.
        status: Status,
        /// What the user may use at most.
        functions: Functions,
        /// The quota that holds; nothing: none.
        quota: Option<i64>,
        /// The hash of the password, where it was asked for.
        hash: Option<String>,
        /// Where mail goes, and whether the mailbox gets a copy.
        forwarding: Option<(Vec<EmailAddress>, bool)>,
        /// The domains of the dump that the user administers.
        administers: Vec<DomainName>,
    },
    /// An alias with these targets.
    Alias(Vec<EmailAddress>),
    /// A group.
    Group {
        /// Who may write to it.
        posting: Posting,
        /// Who is in it.
        members: Vec<EmailAddress>,
    },
    /// Somebody who was deleted and can be restored.
    Deleted,
}

impl Held {
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::User { .. } => "a user",
            Self::Alias(_) => "an alias",
            Self::Group { .. } => "a group",
            Self::Deleted => "a user who was deleted and can be restored",
        }
    }
}

impl Source {
    /// The names of domains that it has.
    #[must_use]
    pub fn names(&self) -> BTreeSet<DomainName> {
        let domains = self.domains.iter().map(|one| one.name.as_str());
        let aliases = self.domain_aliases.iter().map(|one| one.name.as_str());
        domains.chain(aliases).filter_map(|name| DomainName::parse(name).ok()).collect()
    }

    /// The addresses that it has, in these domains.
    pub fn addresses<'a>(
        &'a self,
        domains: &'a HashSet<DomainName>,
    ) -> impl Iterator<Item = (LocalPart, DomainName)> + 'a {
        let mailboxes = self.mailboxes.iter().map(|one| one.address.as_str());
        let aliases = self.aliases.iter().map(|one| one.address.as_str());
        let all = mailboxes.chain(aliases).filter_map(|address| parts(address).ok());
        all.filter(|(_, domain)| domains.contains(domain))
    }

    /// The addresses from which mail goes elsewhere.
    #[must_use]
    pub fn forwarded(&self) -> HashSet<EmailAddress> {
        let elsewhere = self.aliases.iter().filter(|one| one.targets != one.address);
        let addresses = elsewhere.filter_map(|one| parts(&one.address).ok());
        addresses.map(|(local_part, domain)| EmailAddress::of(&local_part, &domain)).collect()
    }
}
