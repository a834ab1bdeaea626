//! What another panel has, taken from a dump of its database, and the steps that bring it here.

mod administrators;
mod aliases;
mod circles;
mod decide;
mod existing;
mod limits;
mod mailcow;
mod postfixadmin;
mod scheme;
mod source;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    io::BufRead,
};

use serde::Serialize;
use umail_api_types::{functions::FunctionName, groups::Posting, status::Status};

pub use self::{
    administrators::AdministratorStep,
    decide::decide,
    existing::{Existing, Held, HeldName},
    limits::{DomainLimits, LimitsStep},
    source::Source,
};
use crate::model::{
    address::{DomainName, EmailAddress},
    dump::{Dump, Read, Row, Unreadable},
    plan::Plan,
};

/// Tables without which there is nothing to take over.
const NEEDED: [&str; 3] = ["domain", "mailbox", "alias"];

/// Why nothing is made of an alias whose mailbox is refused.
pub const NO_MAILBOX: &str = "its mailbox is not taken over";

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Panel {
    /// `PostfixAdmin`, on `MySQL`, `MariaDB` or PostgreSQL.
    PostfixAdmin,
    /// mailcow.
    Mailcow,
}

impl Panel {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PostfixAdmin => "postfixadmin",
            Self::Mailcow => "mailcow",
        }
    }

    /// Reads a dump to its end.
    pub fn read(self, input: impl BufRead, prefix: String) -> Result<(Source, Read), Unreadable> {
        let (tables, take): (_, fn(&mut Source, &Row)) = match self {
            Self::PostfixAdmin => (postfixadmin::TABLES, postfixadmin::take),
            Self::Mailcow => (mailcow::TABLES, mailcow::take),
        };
        let mut source = Source::default();
        let read = Dump { input, tables, prefix }.read(|row| take(&mut source, &row))?;
        let unlike = |reason| Err(Unreadable { line: read.lines, reason });
        if let Some(table) = NEEDED.into_iter().find(|table| !read.tables.contains(table)) {
            return unlike(format!("there is no table {table}: the dump is not whole"));
        }
        if let Some(column) = source.missing {
            let name = self.name();
            let text = format!("mailbox has no column {column}: it is no database of {name}");
            return unlike(text);
        }
        Ok((source, read))
    }
}

/// What a step, or a row of a dump, is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A domain.
    Domain,
    /// Another name of a domain.
    DomainAlias,
    /// A user.
    User,
    /// Where mail of a user goes as well, or instead.
    Forwarding,
    /// An alias.
    Alias,
    /// A group.
    Group,
    /// Where mail for unknown addresses of a domain goes.
    CatchAll,
    /// What a domain may have at most.
    Limits,
    /// Who administers a domain.
    Administrator,
}

impl Kind {
    /// All, in the order of the work on them.
    pub const ALL: [Self; 9] = [
        Self::Domain,
        Self::DomainAlias,
        Self::User,
        Self::Forwarding,
        Self::Alias,
        Self::Group,
        Self::CatchAll,
        Self::Limits,
        Self::Administrator,
    ];

    /// The word for many of them.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Domain => "domains",
            Self::DomainAlias => "domain aliases",
            Self::User => "users",
            Self::Forwarding => "forwardings",
            Self::Alias => "aliases",
            Self::Group => "groups",
            Self::CatchAll => "catch-alls",
            Self::Limits => "limits",
            Self::Administrator => "administrators",
        }
    }
}

/// Where something stands in the dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The line that its row begins in.
    pub line: u64,
    /// The table.
    pub table: &'static str,
    /// The row, by its key.
    pub key: String,
}

/// Something that is not taken over: a row, or only a field of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Where it stands.
    #[serde(flatten)]
    pub origin: Origin,
    /// The column; empty: the row as a whole.
    pub field: &'static str,
    /// The reason.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin: Origin { line, table, key }, field, reason } = self;
        let key: String = key.chars().map(|one| if one.is_control() { '?' } else { one }).collect();
        write!(f, "line {line}: {table} {key}: ")?;
        if field.is_empty() { f.write_str(reason) } else { write!(f, "{field}: {reason}") }
    }
}

/// What becomes of the things of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Added.
    pub new: u64,
    /// There already, and changed.
    pub changed: u64,
    /// There already, as the dump says.
    pub there: u64,
    /// Not taken over.
    pub refused: u64,
}

/// What becomes, or has become, of all that a dump has.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By kind.
    pub counts: BTreeMap<Kind, Count>,
    /// What is not taken over.
    pub refused: Vec<Refusal>,
    /// What has no need to be, or is not meant to be.
    pub left_out: Vec<Refusal>,
    /// Users whose password is not taken over; they get one from whoever administers them.
    pub reset: u64,
    /// Limits that are set below what there will be: nothing more is given there.
    pub below: u64,
}

impl Report {
    /// The count of a kind.
    pub fn count(&mut self, kind: Kind) -> &mut Count {
        self.counts.entry(kind).or_default()
    }

    /// Something that was to be done was refused after all.
    pub fn fail(&mut self, step: (Kind, Do), refusal: Refusal) {
        let count = self.count(step.0);
        match step.1 {
            Do::Add => count.new = count.new.saturating_sub(1),
            Do::Change => count.changed = count.changed.saturating_sub(1),
        }
        count.refused += 1;
        self.refused.push(refusal);
    }

    /// Brings what is not taken over into the order of the dump.
    pub fn sort(&mut self) {
        for list in [&mut self.refused, &mut self.left_out] {
            list.sort_by_key(|one| one.origin.line);
        }
    }

    /// Whether all that a dump has is taken over.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.refused.is_empty()
    }
}

/// How it is to be done.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
pub struct Options {
    /// The plan of the users.
    pub plan: Plan,
    /// Whether that plan was named: only then lines of an import name it.
    pub is_plan_named: bool,
    /// Whether users whose password is not taken over are added without one.
    pub reset_weak: bool,
    /// Whether what is there already is changed to what the dump says.
    pub update: bool,
    /// Whether limits are set that are below what there will be.
    pub below_allocated: bool,
    /// Whether administrators of domains are appointed who have the address of a mailbox.
    pub administrators: bool,
}

/// Whether a step adds something, or changes what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// It adds.
    Add,
    /// It changes.
    Change,
}

/// A domain that is to be as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainStep {
    /// Where it stands.
    pub origin: Origin,
    /// Add or change.
    pub kind: Do,
    /// The name.
    pub name: DomainName,
    /// The status.
    pub status: Status,
}

/// Another name that a domain is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainAliasStep {
    /// Where it stands.
    pub origin: Origin,
    /// The name.
    pub name: DomainName,
    /// The domain.
    pub domain: DomainName,
}

/// What a user is to sign in with.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// What this is the hash of.
    Hash(String),
    /// Nothing yet: whoever administers the user sets one.
    Nothing,
    /// What there is.
    Kept,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// A user who is to be as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserStep {
    /// Where it stands.
    pub origin: Origin,
    /// Add or change.
    pub kind: Do,
    /// The address.
    pub address: EmailAddress,
    /// The name shown to people.
    pub display_name: String,
    /// The status.
    pub status: Status,
    /// What the user may use at most; nothing: all.
    pub functions: Option<Vec<FunctionName>>,
    /// A quota of its own; nothing: that of the plan.
    pub quota_bytes: Option<i64>,
    /// The password.
    pub password: Password,
    /// Whether it has to be changed.
    pub must_change: bool,
}

/// An alias, or a forwarding, that is to be as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasStep {
    /// Where it stands.
    pub origin: Origin,
    /// Add or change.
    pub kind: Do,
    /// The address.
    pub address: EmailAddress,
    /// Where its mail goes.
    pub targets: Vec<EmailAddress>,
    /// Of a user's own address: whether the mailbox gets a copy.
    pub keep_copy: bool,
}

/// A group that is to have these members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStep {
    /// Where it stands.
    pub origin: Origin,
    /// Add, or add members.
    pub kind: Do,
    /// The address.
    pub address: EmailAddress,
    /// Who may write to it.
    pub posting: Posting,
    /// The members.
    pub members: Vec<EmailAddress>,
}

/// A catch-all that a domain is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatchAllStep {
    /// Where it stands.
    pub origin: Origin,
    /// Add or change.
    pub kind: Do,
    /// The domain.
    pub domain: DomainName,
    /// Where the mail goes.
    pub target: EmailAddress,
}

/// What is to be done, in this order, and what becomes of all that the dump has.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// Domains.
    pub domains: Vec<DomainStep>,
    /// Their other names.
    pub domain_aliases: Vec<DomainAliasStep>,
    /// Users.
    pub users: Vec<UserStep>,
    /// Their forwardings.
    pub forwardings: Vec<AliasStep>,
    /// Aliases.
    pub aliases: Vec<AliasStep>,
    /// Groups.
    pub groups: Vec<GroupStep>,
    /// Catch-alls.
    pub catch_alls: Vec<CatchAllStep>,
    /// Limits of domains.
    pub limits: Vec<LimitsStep>,
    /// Administrators of domains.
    pub administrators: Vec<AdministratorStep>,
    /// What becomes of everything.
    pub report: Report,
    /// The quotas of the mailboxes in bytes, and how many have each; 0: unlimited.
    pub quotas: BTreeMap<i64, u64>,
}

/// The rows of a dump by the address that they are about.
type ByAddress<T> = HashMap<EmailAddress, T>;
