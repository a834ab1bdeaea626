//! What becomes of each row of a dump, and why: by the rules of single requests, against what is
//! there already.

use std::collections::{BTreeSet, HashMap, HashSet};

use umail_api_types::{
    functions::{self, FunctionName},
    groups::Posting,
    limit::Quota,
    status::Status,
};
use umail_proto::functions::Functions;

use super::{
    AliasStep, ByAddress, CatchAllStep, Do, DomainAliasStep, DomainStep, GroupStep, Kind, Options,
    Origin, Password, Refusal, Steps, UserStep, circles, scheme,
    source::{Alias, Domain, DomainAlias, Mailbox, Source},
};
use crate::model::{
    address::{DomainName, EmailAddress, LocalPart},
    alias::MAX_TARGETS,
    group::{MAX_MEMBERS, check_posting},
    user::parse_display_name,
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
    const fn word(&self) -> &'static str {
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
}

/// Decides what becomes of all that a dump has.
#[must_use]
pub fn decide(source: Source, options: &Options, existing: &Existing) -> Steps {
    let Source { domains, domain_aliases, mailboxes, aliases, refused, left_out, .. } = source;
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
    };
    let inhabited = mailboxes.iter().filter_map(|one| Some(parts(&one.address).ok()?.1)).collect();
    let other_names = other_names(&domain_aliases, &inhabited);
    for domain in domains {
        decider.domain(domain, &other_names);
    }
    for alias in domain_aliases {
        decider.domain_alias(alias, &inhabited);
    }
    for mailbox in mailboxes {
        decider.mailbox(mailbox);
    }
    decider.aliases(aliases);
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
fn parts(address: &str) -> Result<(LocalPart, DomainName), String> {
    let (local_part, domain) =
        address.rsplit_once('@').ok_or_else(|| "must be an address: name@domain".to_owned())?;
    let domain = DomainName::parse(domain)?;
    Ok((LocalPart::parse(local_part)?, domain))
}

/// A piece of what the dump has, for a reason.
fn quote(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '?' } else { one }).take(80).collect()
}

/// How something that is to be is there already.
enum Now {
    Not,
    Same,
    Otherwise(String),
}

/// An alias on its way to be one, a forwarding or a group.
struct Candidate {
    origin: Origin,
    address: EmailAddress,
    targets: Vec<EmailAddress>,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Forwarding { keep_copy: bool },
    Alias,
    Group(Posting),
}

impl Form {
    const fn kind(self) -> Kind {
        match self {
            Self::Forwarding { .. } => Kind::Forwarding,
            Self::Alias => Kind::Alias,
            Self::Group(_) => Kind::Group,
        }
    }

    /// Whether mail goes on from there and nowhere else.
    const fn passes_on(self) -> bool {
        matches!(self, Self::Forwarding { keep_copy: false } | Self::Alias)
    }
}

struct Decider<'a> {
    options: &'a Options,
    existing: &'a Existing,
    steps: Steps,
    /// Domains that are there, or will be.
    domains: HashSet<DomainName>,
    /// Other names of domains, that are there or will be, with the domain.
    names: HashMap<DomainName, DomainName>,
    /// Mailboxes of the dump, and whether they are taken over.
    mailboxes: ByAddress<bool>,
}

impl Decider<'_> {
    fn refuse(&mut self, kind: Kind, origin: Origin, field: &'static str, reason: String) {
        self.steps.report.count(kind).refused += 1;
        self.steps.report.refused.push(Refusal { origin, field, reason });
    }

    /// A field that is not taken over, while its row is.
    fn refuse_field(&mut self, origin: &Origin, field: &'static str, reason: String) {
        let origin = origin.clone();
        self.steps.report.refused.push(Refusal { origin, field, reason });
    }

    /// Whether there is something to be done.
    fn settle(&mut self, kind: Kind, origin: &Origin, now: Now) -> Option<Do> {
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
        if let Some(kind) = self.settle(Kind::Domain, &origin, now) {
            self.steps.domains.push(DomainStep { origin, kind, name, status });
        }
    }

    fn domain_alias(&mut self, alias: DomainAlias, inhabited: &HashSet<DomainName>) {
        let origin = Origin { line: alias.line, table: "alias_domain", key: alias.name.clone() };
        match self.check_domain_alias(&alias, inhabited) {
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
    fn address(&self, text: &str) -> Result<EmailAddress, String> {
        let (local_part, domain) = parts(text)?;
        if self.domains.contains(&domain) {
            return Ok(EmailAddress::of(&local_part, &domain));
        }
        Err(match self.names.get(&domain) {
            Some(of) => format!("{domain} is another name of {of}, without addresses of its own"),
            None => format!("domain {domain} is not taken over"),
        })
    }

    fn mailbox(&mut self, mailbox: Mailbox) {
        let origin = Origin { line: mailbox.line, table: "mailbox", key: mailbox.address.clone() };
        let address = match self.address(&mailbox.address) {
            Ok(address) => address,
            Err(reason) => return self.refuse(Kind::User, origin, "username", reason),
        };
        if self.mailboxes.contains_key(&address) {
            let reason = format!("is {address}, which is there twice");
            return self.refuse(Kind::User, origin, "username", reason);
        }
        let user = self.user(&origin, &mailbox, address.clone());
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
        Ok(match differs.as_slice() {
            [] => Now::Same,
            [first, rest @ ..] => {
                let more: String = rest.iter().map(|word| format!(", {word}")).collect();
                Now::Otherwise(format!("another {first}{more}"))
            }
        })
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

    fn aliases(&mut self, aliases: Vec<Alias>) {
        let mut targets_of = HashMap::with_capacity(aliases.len());
        for alias in &aliases {
            if let Ok((local_part, domain)) = parts(&alias.address) {
                targets_of.insert(EmailAddress::of(&local_part, &domain), alias.targets.clone());
            }
        }
        let (mut candidates, mut catch_alls) = (Vec::new(), Vec::new());
        let mut claimed = HashSet::new();
        let mut refused: HashSet<EmailAddress> = HashSet::new();
        for alias in aliases {
            let origin = Origin { line: alias.line, table: "alias", key: alias.address.clone() };
            if alias.address.starts_with('@') {
                catch_alls.push((origin, alias));
                continue;
            }
            let address = parts(&alias.address).map(|(part, name)| EmailAddress::of(&part, &name));
            match self.candidate(&origin, &alias, &targets_of) {
                Ok(Some(one)) if claimed.insert(one.address.clone()) => candidates.push(one),
                Ok(Some(one)) => {
                    let reason = format!("is {}, which is there twice", one.address);
                    self.refuse(Kind::Alias, origin, "address", reason);
                }
                Ok(None) => {}
                Err((kind, field, reason)) => {
                    // An alias that is only disabled was never anybody's way.
                    let was_one = field != "active" && kind != Kind::Forwarding;
                    refused.extend(address.ok().filter(|_| was_one));
                    self.refuse(kind, origin, field, reason);
                }
            }
        }
        refused.extend(self.mailboxes.iter().filter(|(_, is)| !**is).map(|(one, _)| one.clone()));
        for one in self.in_order(candidates, &mut refused) {
            self.finish(one);
        }
        for (origin, alias) in catch_alls {
            if let Err((field, reason)) = self.catch_all(&origin, &alias, &refused) {
                self.refuse(Kind::CatchAll, origin, field, reason);
            }
        }
    }

    /// What a row of aliases is to be; nothing: it has no need to be anything.
    fn candidate(
        &mut self,
        origin: &Origin,
        alias: &Alias,
        targets_of: &ByAddress<String>,
    ) -> Result<Option<Candidate>, (Kind, &'static str, String)> {
        if self.is_covered(origin, alias, targets_of) {
            return Ok(None);
        }
        let address = self.address(&alias.address);
        let address = address.map_err(|reason| (Kind::Alias, "address", reason))?;
        let mailbox = self.mailboxes.get(&address).copied();
        let kind = if mailbox.is_some() { Kind::Forwarding } else { Kind::Alias };
        let of_goto = |reason: String| (kind, "goto", reason);
        let Targets { targets, is_own, is_away } =
            self.targets(&alias.targets, &address).map_err(of_goto)?;
        if mailbox.is_some() && targets.is_empty() && !is_away {
            return Ok(None);
        }
        if !alias.is_active {
            let reason = "is disabled: aliases are there or not".to_owned();
            return Err((kind, "active", reason));
        }
        if is_away {
            let reason = "the vacation message is not taken over".to_owned();
            self.refuse_field(origin, "goto", reason);
            if targets.is_empty() && mailbox.is_some() {
                return Ok(None);
            }
        }
        let form = match mailbox {
            Some(false) => {
                return Err((kind, "address", "its mailbox is not taken over".to_owned()));
            }
            Some(true) if targets.len() > MAX_TARGETS => {
                return Err(of_goto(format!("must have at most {MAX_TARGETS} other addresses")));
            }
            Some(true) => Form::Forwarding { keep_copy: is_own },
            None if is_own => return Err(of_goto("leads to the address itself".to_owned())),
            None if targets.is_empty() => return Err(of_goto("is empty".to_owned())),
            None if alias.is_internal => Form::Group(Posting::Domain),
            None if targets.len() > MAX_TARGETS => Form::Group(Posting::Anyone),
            None => Form::Alias,
        };
        if let Form::Group(posting) = form {
            let checked = self.check_group(&address, posting, &targets);
            checked.map_err(|reason| (Kind::Group, "goto", reason))?;
        }
        Ok(Some(Candidate { origin: origin.clone(), address, targets, form }))
    }

    /// Whether an alias under another name of a domain says what holds there anyhow.
    fn is_covered(
        &mut self,
        origin: &Origin,
        alias: &Alias,
        targets_of: &ByAddress<String>,
    ) -> bool {
        let Ok((local_part, name)) = parts(&alias.address) else { return false };
        let Some(home) = self.names.get(&name) else { return false };
        let home = EmailAddress::of(&local_part, home);
        let is_same = targets_of.get(&home) == Some(&alias.targets);
        let leads_home = EmailAddress::parse(alias.targets.trim()).is_ok_and(|one| one == home);
        if is_same || leads_home {
            let reason = format!("is that of {home}, by the other name of its domain");
            let origin = origin.clone();
            self.steps.report.left_out.push(Refusal { origin, field: "", reason });
        }
        is_same || leads_home
    }

    /// Where mail goes from an address.
    fn targets(&self, text: &str, own: &EmailAddress) -> Result<Targets, String> {
        let away = format!("{}@", own.as_str().replace('@', "#"));
        let mut found = Targets::default();
        let mut seen = HashSet::new();
        for target in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            if target.to_ascii_lowercase().starts_with(&away) {
                found.is_away = true;
                continue;
            }
            let target = self.target(target)?;
            if target == *own {
                found.is_own = true;
            } else if seen.insert(target.clone()) {
                found.targets.push(target);
            }
        }
        Ok(found)
    }

    /// An address that mail is sent on to, by the name of its domain if that is one of ours.
    fn target(&self, text: &str) -> Result<EmailAddress, String> {
        let what = match text {
            "null@localhost" => Some("mail is not thrown away here"),
            "spam@localhost" | "ham@localhost" => Some("mail is not learned from here"),
            _ if text.starts_with('@') => Some("mail for a whole domain is not sent on here"),
            _ => None,
        };
        if let Some(what) = what {
            return Err(format!("{}: {what}", quote(text)));
        }
        let target = EmailAddress::parse(text).map_err(|why| format!("{}: {why}", quote(text)))?;
        let home = DomainName::parse(target.parts().1).ok().and_then(|name| self.names.get(&name));
        Ok(match home {
            Some(home) => {
                let home = format!("{}@{home}", target.parts().0);
                EmailAddress::parse(&home).map_err(|why| format!("{}: {why}", quote(text)))?
            }
            None => target,
        })
    }

    fn check_group(
        &self,
        address: &EmailAddress,
        posting: Posting,
        members: &[EmailAddress],
    ) -> Result<(), String> {
        let most = usize::try_from(MAX_MEMBERS).unwrap_or(usize::MAX);
        if members.len() > most {
            return Err(format!("must have at most {MAX_MEMBERS} addresses"));
        }
        check_posting(&LocalPart::parse(address.parts().0)?, posting)?;
        for member in members {
            let is_ours =
                DomainName::parse(member.parts().1).is_ok_and(|name| self.domains.contains(&name));
            let held = self.existing.addresses.get(member);
            let is_user =
                self.mailboxes.contains_key(member) || matches!(held, Some(Held::User { .. }));
            if is_ours && !is_user {
                return Err(format!(
                    "{member} is no mailbox: with more than {MAX_TARGETS} addresses, or for the \
                     domain only, it is a group of users and of addresses elsewhere"
                ));
            }
        }
        Ok(())
    }

    /// Those that can be made, each behind all that it leads to; the others are refused.
    fn in_order(
        &mut self,
        candidates: Vec<Candidate>,
        refused: &mut HashSet<EmailAddress>,
    ) -> Vec<Candidate> {
        let at: HashMap<_, _> = candidates
            .iter()
            .enumerate()
            .filter(|(_, one)| one.form.passes_on())
            .map(|(at, one)| (one.address.clone(), at))
            .collect();
        let edges: Vec<Vec<usize>> = candidates
            .iter()
            .map(|one| one.targets.iter().filter_map(|target| at.get(target).copied()).collect())
            .collect();
        let order = circles::order(&edges);
        let mut candidates: Vec<_> = candidates.into_iter().map(Some).collect();
        let ordered: Vec<_> =
            order.iter().filter_map(|at| candidates.get_mut(*at).and_then(Option::take)).collect();
        for one in candidates.into_iter().flatten() {
            if one.form == Form::Alias {
                refused.insert(one.address);
            }
            let reason = "leads back to itself, or to one that does".to_owned();
            self.refuse(one.form.kind(), one.origin, "goto", reason);
        }
        // Groups lead to users only.
        let (groups, rest): (Vec<_>, Vec<_>) =
            ordered.into_iter().partition(|one| matches!(one.form, Form::Group(_)));
        let mut good = Vec::new();
        for one in groups.into_iter().chain(rest) {
            let Some(target) = one.targets.iter().find(|target| refused.contains(target)) else {
                good.push(one);
                continue;
            };
            let reason = format!("{target} is not taken over");
            if !matches!(one.form, Form::Forwarding { .. }) {
                refused.insert(one.address);
            }
            self.refuse(one.form.kind(), one.origin, "goto", reason);
        }
        good
    }

    fn finish(&mut self, one: Candidate) {
        let Candidate { origin, address, targets, form } = one;
        let held = self.existing.addresses.get(&address);
        let now = match (form, held) {
            (Form::Forwarding { keep_copy }, Some(Held::User { forwarding, .. })) => {
                match forwarding {
                    None => Now::Not,
                    Some((now, copy)) if *copy == keep_copy && is_same(now, &targets) => Now::Same,
                    Some(_) => Now::Otherwise("other targets".to_owned()),
                }
            }
            (_, None) => Now::Not,
            (Form::Alias, Some(Held::Alias(now))) if is_same(now, &targets) => Now::Same,
            (Form::Alias, Some(Held::Alias(_))) => Now::Otherwise("other targets".to_owned()),
            (Form::Group(posting), Some(Held::Group { posting: now, members })) => {
                return self.finish_group((origin, address, targets), (posting, *now), members);
            }
            (_, Some(held)) => {
                let reason = format!("the address is that of {} already", held.word());
                return self.refuse(form.kind(), origin, "address", reason);
            }
        };
        let Some(kind) = self.settle(form.kind(), &origin, now) else { return };
        match form {
            Form::Group(posting) => {
                let members = targets;
                self.steps.groups.push(GroupStep { origin, kind, address, posting, members });
            }
            Form::Alias => self.steps.aliases.push(AliasStep {
                origin,
                kind,
                address,
                targets,
                keep_copy: false,
            }),
            Form::Forwarding { keep_copy } => {
                self.steps.forwardings.push(AliasStep {
                    origin,
                    kind,
                    address,
                    targets,
                    keep_copy,
                });
            }
        }
    }

    /// A group that is there gets the members that it lacks: it may be half made.
    fn finish_group(
        &mut self,
        (origin, address, mut members): (Origin, EmailAddress, Vec<EmailAddress>),
        (posting, now): (Posting, Posting),
        there: &[EmailAddress],
    ) {
        members.retain(|one| !there.contains(one));
        if posting != now {
            let reason = "is there already, and others may write to it".to_owned();
            self.refuse(Kind::Group, origin, "", reason);
        } else if members.is_empty() {
            self.steps.report.count(Kind::Group).there += 1;
        } else {
            self.steps.report.count(Kind::Group).changed += 1;
            let kind = Do::Change;
            self.steps.groups.push(GroupStep { origin, kind, address, posting, members });
        }
    }

    fn catch_all(
        &mut self,
        origin: &Origin,
        alias: &Alias,
        refused: &HashSet<EmailAddress>,
    ) -> Result<(), (&'static str, String)> {
        let of_goto = |reason: String| ("goto", reason);
        let name = alias.address.trim_start_matches('@');
        let domain = DomainName::parse(name).map_err(|reason| ("address", reason))?;
        if !self.domains.contains(&domain) {
            return Err(("address", format!("domain {domain} is not taken over")));
        }
        if !alias.is_active {
            return Err(("active", "is disabled: a catch-all is there or not".to_owned()));
        }
        let targets = alias.targets.split(',').map(str::trim).filter(|one| !one.is_empty());
        let targets: Vec<_> = targets.collect();
        let [target] = targets.as_slice() else {
            let reason = "must be one address: make an alias for more, and name that";
            return Err(of_goto(reason.to_owned()));
        };
        let target = self.target(target).map_err(of_goto)?;
        if refused.contains(&target) {
            return Err(of_goto(format!("{target} is not taken over")));
        }
        let now = match self.existing.names.get(&domain) {
            Some(HeldName::Domain { catch_all: Some(now), .. }) if *now == target => Now::Same,
            Some(HeldName::Domain { catch_all: Some(now), .. }) => {
                Now::Otherwise(format!("the target {now}"))
            }
            _ => Now::Not,
        };
        if let Some(kind) = self.settle(Kind::CatchAll, origin, now) {
            let origin = origin.clone();
            self.steps.catch_alls.push(CatchAllStep { origin, kind, domain, target });
        }
        Ok(())
    }
}

/// Where mail goes from an address, the address itself and its vacation message aside.
#[derive(Default)]
struct Targets {
    targets: Vec<EmailAddress>,
    is_own: bool,
    is_away: bool,
}

/// Whether both are the same, in whatever order.
fn is_same(one: &[EmailAddress], other: &[EmailAddress]) -> bool {
    let set = |list: &[EmailAddress]| list.iter().cloned().collect::<BTreeSet<_>>();
    set(one) == set(other)
}
