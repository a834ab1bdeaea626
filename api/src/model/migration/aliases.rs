//! What becomes of aliases: nothing, a forwarding, an alias, a group, or a catch-all.

use std::collections::{BTreeSet, HashMap, HashSet};

use umail_api_types::groups::Posting;

use super::{
    AliasStep, ByAddress, CatchAllStep, Do, GroupStep, Held, HeldName, Kind, NO_MAILBOX, Origin,
    Refusal, circles,
    decide::{Decider, Now, parts},
    source::Alias,
};
use crate::model::{
    address::{DomainName, EmailAddress, LocalPart},
    alias::MAX_TARGETS,
    group::{MAX_MEMBERS, check_posting},
};

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

impl Decider<'_> {
    pub(super) fn aliases(&mut self, aliases: Vec<Alias>) {
        let targets_of = self.under_other_names(&aliases);
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

    /// The targets of aliases in domains that have other names: what holds under those anyhow.
    fn under_other_names(&self, aliases: &[Alias]) -> ByAddress<String> {
        let homes: HashSet<_> = self.names.values().collect();
        let found = aliases.iter().filter_map(|alias| {
            let (local_part, domain) = parts(&alias.address).ok()?;
            let is_one = homes.contains(&domain);
            is_one.then(|| (EmailAddress::of(&local_part, &domain), alias.targets.clone()))
        });
        found.collect()
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
        let Targets { others: targets, is_own, is_away } =
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
                return Err((kind, "address", NO_MAILBOX.to_owned()));
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
                found.others.push(target);
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
    others: Vec<EmailAddress>,
    is_own: bool,
    is_away: bool,
}

/// Whether both are the same, in whatever order.
fn is_same(one: &[EmailAddress], other: &[EmailAddress]) -> bool {
    let set = |list: &[EmailAddress]| list.iter().cloned().collect::<BTreeSet<_>>();
    set(one) == set(other)
}

/// A piece of what the dump has, for a reason.
fn quote(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '?' } else { one }).take(80).collect()
}
