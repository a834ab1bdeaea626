//! What becomes of each row of a dump, and why: by the rules of single requests, against what is
//! there already.

use std::collections::{HashMap, HashSet};

use umail_api_types::{
    functions::{self, FunctionName},
    limit::Quota,
    status::Status,
};
use umail_proto::functions::Functions;

use super::{
    ByAddress, Do, DomainAliasStep, DomainStep, Existing, Held, HeldName, Kind, Options, Origin,
    Password, Refusal, Steps, UserStep, scheme,
    source::{Domain, DomainAlias, Limits, Mailbox, Source},
};
use crate::model::{
    address::{DomainName, EmailAddress, LocalPart},
    user::parse_display_name,
};

/// Decides what becomes of all that a dump has.
#[must_use]
pub fn decide(source: Source, options: &Options, existing: &Existing) -> Steps {
    let Source { domains, domain_aliases, mailboxes, aliases, administrators, .. } = source;
    let Source { refused, left_out, .. } = source;
    let mut steps = Steps::default();
    steps.report.refused = refused;
    steps.report.left_out = left_out;
    let mut decider = Decider {
        options,
        existing,
        steps,
        domains: HashSet::new(),
        names: HashMap::new(),
        mailboxes: HashMap::new(),
        limited: Vec::new(),
    };
    let inhabited = mailboxes.iter().filter_map(|one| Some(parts(&one.address).ok()?.1)).collect();
    let other_names = other_names(&domain_aliases, &inhabited);
    for domain in domains {
        decider.domain(domain, &other_names);
    }
    for alias in domain_aliases {
        decider.domain_alias(&alias, &inhabited);
    }
    for mailbox in mailboxes {
        decider.mailbox(&mailbox);
    }
    decider.aliases(aliases);
    decider.limits();
    decider.administrators(administrators);
    decider.steps.report.sort();
    decider.steps
}

/// Names that domain aliases are to have: those are no domains of their own, unless somebody has a
/// mailbox there.
fn other_names(aliases: &[DomainAlias], inhabited: &HashSet<DomainName>) -> HashSet<DomainName> {
    let active = aliases.iter().filter(|one| one.is_active);
    let names = active.filter_map(|one| DomainName::parse(&one.name).ok());
    names.filter(|name| !inhabited.contains(name)).collect()
}

/// An address of ours.
pub(super) fn parts(address: &str) -> Result<(LocalPart, DomainName), String> {
    let (local_part, domain) =
        address.rsplit_once('@').ok_or_else(|| "must be an address: name@domain".to_owned())?;
    let domain = DomainName::parse(domain)?;
    Ok((LocalPart::parse(local_part)?, domain))
}

/// How something that is to be is there already.
pub(super) enum Now {
    Not,
    Same,
    Otherwise(String),
}

pub(super) struct Decider<'a> {
    pub(super) options: &'a Options,
    pub(super) existing: &'a Existing,
    pub(super) steps: Steps,
    /// Domains that are there, or will be.
    pub(super) domains: HashSet<DomainName>,
    /// Other names of domains, that are there or will be, with the domain.
    pub(super) names: HashMap<DomainName, DomainName>,
    /// Mailboxes of the dump, and whether they are taken over.
    pub(super) mailboxes: ByAddress<bool>,
    /// Domains that are there, or will be, with the limits that they have there.
    pub(super) limited: Vec<(Origin, DomainName, Limits)>,
}

impl Decider<'_> {
    pub(super) fn refuse(
        &mut self,
        kind: Kind,
        origin: Origin,
        field: &'static str,
        reason: String,
    ) {
        self.steps.report.count(kind).refused += 1;
        self.steps.report.refused.push(Refusal { origin, field, reason });
    }

    /// A field that is not taken over, while its row is.
    pub(super) fn refuse_field(&mut self, origin: &Origin, field: &'static str, reason: String) {
        let origin = origin.clone();
        self.steps.report.refused.push(Refusal { origin, field, reason });
    }

    /// Whether there is something to be done.
    pub(super) fn settle(&mut self, kind: Kind, origin: &Origin, now: Now) -> Option<Do> {
        match now {
            Now::Not => {
                self.steps.report.count(kind).new += 1;
                Some(Do::Add)
            }
            Now::Same => {
                self.steps.report.count(kind).there += 1;
                None
            }
            Now::Otherwise(_) if self.options.update => {
                self.steps.report.count(kind).changed += 1;
                Some(Do::Change)
            }
            Now::Otherwise(how) => {
                let reason = format!("is there already with {how}: --update changes it");
                self.refuse(kind, origin.clone(), "", reason);
                None
            }
        }
    }

    fn domain(&mut self, domain: Domain, other_names: &HashSet<DomainName>) {
        let origin = Origin { line: domain.line, table: "domain", key: domain.name };
        let name = match DomainName::parse_hosted(&origin.key) {
            Ok(name) => name,
            Err(reason) => return self.refuse(Kind::Domain, origin, "domain", reason),
        };
        if other_names.contains(&name) {
            return;
        }
        if self.domains.contains(&name) {
            let reason = format!("is {name}, which is there twice");
            return self.refuse(Kind::Domain, origin, "domain", reason);
        }
        if let Some(reason) = domain.other {
            return self.refuse(Kind::Domain, origin, "", reason.to_owned());
        }
        let status = if domain.is_active { Status::Active } else { Status::Closed };
        let now = match self.existing.names.get(&name) {
            None => Now::Not,
            Some(HeldName::Domain { status: now, .. }) if *now == status => Now::Same,
            Some(HeldName::Domain { status: now, .. }) => {
                Now::Otherwise(format!("the status {}", now.name()))
            }
            Some(HeldName::DomainAlias(of)) => {
                let reason = format!("is another name of {of} already");
                return self.refuse(Kind::Domain, origin, "domain", reason);
            }
            Some(HeldName::Deleted) => {
                let reason = "was deleted here, and can be restored or purged".to_owned();
                return self.refuse(Kind::Domain, origin, "domain", reason);
            }
        };
        self.domains.insert(name.clone());
        self.limited.push((origin.clone(), name.clone(), domain.limits));
        if let Some(kind) = self.settle(Kind::Domain, &origin, now) {
            self.steps.domains.push(DomainStep { origin, kind, name, status });
        }
    }

    fn domain_alias(&mut self, alias: &DomainAlias, inhabited: &HashSet<DomainName>) {
        let origin = Origin { line: alias.line, table: "alias_domain", key: alias.name.clone() };
        match self.check_domain_alias(alias, inhabited) {
            Err((field, reason)) => self.refuse(Kind::DomainAlias, origin, field, reason),
            Ok((name, domain, now)) => {
                self.names.insert(name.clone(), domain.clone());
                if self.settle(Kind::DomainAlias, &origin, now).is_some() {
                    self.steps.domain_aliases.push(DomainAliasStep { origin, name, domain });
                }
            }
        }
    }

    fn check_domain_alias(
        &self,
        alias: &DomainAlias,
        inhabited: &HashSet<DomainName>,
    ) -> Result<(DomainName, DomainName, Now), (&'static str, String)> {
        let of_name = |reason| ("alias_domain", reason);
        let name = DomainName::parse_hosted(&alias.name).map_err(of_name)?;
        let domain =
            DomainName::parse_hosted(&alias.target).map_err(|reason| ("target_domain", reason))?;
        if !alias.is_active {
            return Err(("active", "is disabled: another name is there or not".to_owned()));
        }
        if inhabited.contains(&name) {
            return Err(of_name("has mailboxes of its own: it is a domain".to_owned()));
        }
        if self.names.contains_key(&name) || self.domains.contains(&name) {
            return Err(of_name(format!("is {name}, which is there twice")));
        }
        if !self.domains.contains(&domain) {
            return Err(("target_domain", format!("domain {domain} is not taken over")));
        }
        match self.existing.names.get(&name) {
            None => Ok((name, domain, Now::Not)),
            Some(HeldName::DomainAlias(of)) if *of == domain => Ok((name, domain, Now::Same)),
            Some(HeldName::DomainAlias(of)) => {
                Err(of_name(format!("is another name of {of} already")))
            }
            Some(HeldName::Domain { .. }) => Err(of_name("is a domain here already".to_owned())),
            Some(HeldName::Deleted) => {
                Err(of_name("was deleted here, and can be restored or purged".to_owned()))
            }
        }
    }

    /// The address of a row, in a domain that is there or will be.
    pub(super) fn address(&self, text: &str) -> Result<EmailAddress, String> {
        let (local_part, domain) = parts(text)?;
        if self.domains.contains(&domain) {
            return Ok(EmailAddress::of(&local_part, &domain));
        }
        Err(match self.names.get(&domain) {
            Some(of) => format!("{domain} is another name of {of}, without addresses of its own"),
            None => format!("domain {domain} is not taken over"),
        })
    }

    fn mailbox(&mut self, mailbox: &Mailbox) {
        let origin = Origin { line: mailbox.line, table: "mailbox", key: mailbox.address.clone() };
        let address = match self.address(&mailbox.address) {
            Ok(address) => address,
            Err(reason) => return self.refuse(Kind::User, origin, "username", reason),
        };
        if self.mailboxes.contains_key(&address) {
            let reason = format!("is {address}, which is there twice");
            return self.refuse(Kind::User, origin, "username", reason);
        }
        let user = self.user(&origin, mailbox, address.clone());
        self.mailboxes.insert(address, user.is_ok());
        match user {
            Err((field, reason)) => self.refuse(Kind::User, origin, field, reason),
            Ok((mut user, now)) => {
                if let Some(kind) = self.settle(Kind::User, &origin, now) {
                    let is_reset = kind == Do::Add && user.password == Password::Nothing;
                    self.steps.report.reset += u64::from(is_reset);
                    user.kind = kind;
                    self.steps.users.push(user);
                }
            }
        }
    }

    /// The user that a mailbox is to be, and how that is there already.
    fn user(
        &mut self,
        origin: &Origin,
        mailbox: &Mailbox,
        address: EmailAddress,
    ) -> Result<(UserStep, Now), (&'static str, String)> {
        if let Some(reason) = mailbox.other {
            return Err(("kind", reason.to_owned()));
        }
        *self.steps.quotas.entry(mailbox.quota).or_default() += 1;
        let quota_bytes = self.quota(mailbox.quota).map_err(|reason| ("quota", reason))?;
        let held = self.existing.addresses.get(&address);
        let is_new = held.is_none();
        let password = match &mailbox.password {
            Ok(text) => scheme::read(text),
            Err(reason) => Err((*reason).to_owned()),
        };
        let password = match password {
            Ok(hash) => Password::Hash(hash),
            Err(_) if !is_new => Password::Kept,
            Err(_) if self.options.reset_weak => Password::Nothing,
            Err(reason) => {
                let more = "; --reset-weak adds the user without a password";
                return Err(("password", format!("{reason}{more}")));
            }
        };
        let display_name = parse_display_name(&mailbox.name).unwrap_or_else(|reason| {
            self.refuse_field(origin, "name", format!("{reason}: the user has none"));
            String::new()
        });
        let step = UserStep {
            origin: origin.clone(),
            kind: Do::Add,
            address,
            display_name,
            status: mailbox.status,
            functions: mailbox.functions.clone(),
            quota_bytes,
            must_change: mailbox.must_change || password == Password::Nothing,
            password,
        };
        let now = self.user_now(held, &step)?;
        Ok((step, now))
    }

    fn user_now(
        &self,
        held: Option<&Held>,
        step: &UserStep,
    ) -> Result<Now, (&'static str, String)> {
        let Some(held) = held else { return Ok(Now::Not) };
        let Held::User { display_name, status, functions, quota, hash, .. } = held else {
            return Err(("username", format!("the address is that of {} already", held.word())));
        };
        let wanted = step.quota_bytes.or_else(|| self.options.plan.quota.number());
        let all: Vec<FunctionName> = functions::names(Functions::ALL);
        let set = functions::set(step.functions.as_deref().unwrap_or(&all));
        let is_other_hash = match (&step.password, hash) {
            (Password::Hash(new), Some(hash)) => new != hash,
            _ => false,
        };
        let differs: Vec<_> = [
            ("name", *display_name != step.display_name),
            ("status", *status != step.status),
            ("functions", *functions != set),
            ("quota", *quota != wanted),
            ("password", is_other_hash),
        ]
        .into_iter()
        .filter_map(|(word, differs)| differs.then_some(word))
        .collect();
        if differs.is_empty() {
            return Ok(Now::Same);
        }
        Ok(Now::Otherwise(format!("another {}", differs.join(", "))))
    }

    /// The quota of a user's own, if it has to have one.
    fn quota(&self, bytes: i64) -> Result<Option<i64>, String> {
        let plan = &self.options.plan;
        match (bytes, plan.quota) {
            (..0, _) => Err("must be a number of bytes, or 0".to_owned()),
            (0, Quota::Unlimited) => Ok(None),
            (0, Quota::AtMost(most)) => Err(format!(
                "is unlimited, the plan {} has at most {most}: --plan names another",
                plan.name
            )),
            (bytes, Quota::AtMost(most)) if bytes > most => Err(format!(
                "is {bytes}, the plan {} has at most {most}: --plan names another",
                plan.name
            )),
            (bytes, Quota::AtMost(most)) if bytes == most => Ok(None),
            (bytes, _) => Ok(Some(bytes)),
        }
    }
}
