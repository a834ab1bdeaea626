//! What becomes of the limits of domains: those are taken over that mean here what they meant there.

use std::{collections::HashMap, mem};

use umail_api_types::{allowances::LevelKind, limit::Limit};
use uuid::Uuid;

use super::{
    Do, Held, HeldName, Kind, Origin, Refusal,
    decide::{Decider, Now},
    source,
};
use crate::model::{
    address::{DomainName, EmailAddress},
    allowance::{Allowance, Amounts, Limits},
};

/// Limits of a domain; nothing: as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainLimits {
    /// Users.
    pub users: Option<Limit>,
    /// Aliases.
    pub aliases: Option<Limit>,
    /// The quotas of all users together.
    pub storage_bytes: Option<Limit>,
}

impl DomainLimits {
    /// Each by the column that it is in, in both panels.
    fn columns(&mut self) -> [(&'static str, &mut Option<Limit>); 3] {
        [
            ("mailboxes", &mut self.users),
            ("aliases", &mut self.aliases),
            ("quota", &mut self.storage_bytes),
        ]
    }

    fn on(self, limits: Limits) -> Limits {
        Limits {
            users: self.users.unwrap_or(limits.users),
            aliases: self.aliases.unwrap_or(limits.aliases),
            storage_bytes: self.storage_bytes.unwrap_or(limits.storage_bytes),
            ..limits
        }
    }
}

/// Limits that a domain is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsStep {
    /// Where they stand.
    pub origin: Origin,
    /// Add or change.
    pub kind: Do,
    /// The domain.
    pub domain: DomainName,
    /// The limits.
    pub limits: DomainLimits,
    /// Those of them that make room, for what comes before they are all set.
    pub wider: DomainLimits,
    /// Whether they may be below what there will be.
    pub below_allocated: bool,
}

impl Decider<'_> {
    /// Decides about the limits of all domains, when it is known what will be in them.
    pub(super) fn limits(&mut self) {
        let uses = self.uses();
        for (origin, domain, wanted) in mem::take(&mut self.limited) {
            let used = uses.get(&domain).copied().unwrap_or_default();
            self.limit(origin, (domain, used), wanted);
        }
    }

    /// What will be in each domain that has something.
    fn uses(&self) -> HashMap<DomainName, Amounts> {
        let mut uses = HashMap::new();
        for (name, held) in &self.existing.names {
            if let HeldName::Domain { allowance, .. } = held {
                uses.insert(name.clone(), allowance.allocated);
            }
        }
        let mut add = |address: &EmailAddress, more: Amounts| {
            if let Ok(domain) = DomainName::parse(address.parts().1) {
                let sum: &mut Amounts = uses.entry(domain).or_default();
                *sum = *sum + more;
            }
        };
        for user in &self.steps.users {
            add(
                &user.address,
                of_user(user.quota_bytes.or_else(|| self.options.plan.quota.number())),
            );
            if let Some(Held::User { quota, .. }) = self.existing.addresses.get(&user.address) {
                add(&user.address, Amounts::default() - of_user(*quota));
            }
        }
        for alias in self.steps.aliases.iter().filter(|one| one.kind == Do::Add) {
            add(&alias.address, Amounts { aliases: 1, ..Amounts::default() });
        }
        uses
    }

    fn limit(
        &mut self,
        origin: Origin,
        (domain, used): (DomainName, Amounts),
        source::Limits { mut domain_wide, mailbox_bytes }: source::Limits,
    ) {
        self.leave_out(&origin, (&mut domain_wide, mailbox_bytes), used);
        let held = match self.existing.names.get(&domain) {
            Some(HeldName::Domain { allowance, .. }) => Allowance::clone(allowance),
            _ => unlimited(&domain),
        };
        let after = Allowance { limits: domain_wide.on(held.limits), allocated: used, ..held };
        for exceeded in after.beyond() {
            let column = match exceeded.kind.as_ref() {
                "users" => "mailboxes",
                "aliases" => "aliases",
                "storage_bytes" => "quota",
                _ => continue,
            };
            let now = of(&held.limits, column);
            let field = domain_wide.columns().into_iter().find(|(name, _)| *name == column);
            let Some((_, field)) = field.filter(|(_, one)| one.is_some_and(|one| one != now))
            else {
                continue;
            };
            if self.options.below_allocated {
                self.steps.report.below += 1;
                continue;
            }
            *field = None;
            let (limit, there, kind) = (exceeded.limit, exceeded.allocated, exceeded.kind);
            let reason = format!(
                "is a limit of {limit} {kind}, and there will be {there}: --below-allocated sets \
                 it, and nothing more is given then"
            );
            self.refuse_field(&origin, column, reason);
        }
        self.settle_limits(origin, domain, (domain_wide, held.limits));
    }

    /// Leaves out what means something else here.
    fn leave_out(
        &mut self,
        origin: &Origin,
        (limits, mailbox_bytes): (&mut DomainLimits, Option<i64>),
        used: Amounts,
    ) {
        let mut leave = |field, reason: String| {
            let origin = origin.clone();
            self.steps.report.left_out.push(Refusal { origin, field, reason });
        };
        let plan = &self.options.plan;
        if let Some(most) = mailbox_bytes
            && plan.quota.number().is_none_or(|quota| quota > most)
        {
            let reason = format!("a mailbox has at most {most} bytes there, and here its plan's");
            leave("maxquota", reason);
        }
        if matches!(limits.storage_bytes, Some(Limit::AtMost(_))) && used.unlimited_users > 0 {
            limits.storage_bytes = None;
            let users = used.unlimited_users;
            let reason = format!("limits no domain here that has users without a quota: {users}");
            leave("quota", reason);
        }
    }

    fn settle_limits(
        &mut self,
        origin: Origin,
        domain: DomainName,
        (mut limits, held): (DomainLimits, Limits),
    ) {
        let (mut differs, mut is_new, mut is_there) = (Vec::new(), false, false);
        let mut wider = limits;
        let fields = limits.columns().into_iter().zip(wider.columns());
        for ((column, limit), (_, wider)) in fields {
            let (now, wanted) = (of(&held, column), limit.and_then(Limit::number));
            let Some(limit) = *limit else { continue };
            match (now, limit) {
                (now, limit) if now == limit => is_there |= limit != Limit::Unlimited,
                (Limit::Unlimited, _) => is_new = true,
                (Limit::AtMost(_), _) => differs.push(column),
            }
            let makes_room = now.number().is_some_and(|now| wanted.is_none_or(|one| one > now));
            *wider = wider.filter(|_| makes_room);
        }
        let now = match differs.as_slice() {
            [] if is_new => Now::Not,
            [] if is_there => Now::Same,
            [] => return,
            some => Now::Otherwise(format!("other limits ({})", some.join(", "))),
        };
        if let Some(kind) = self.settle(Kind::Limits, &origin, now) {
            let below_allocated = self.options.below_allocated;
            let step = LimitsStep { origin, kind, domain, limits, wider, below_allocated };
            self.steps.limits.push(step);
        }
    }
}

/// What a user takes of a domain, with this quota or none.
fn of_user(quota: Option<i64>) -> Amounts {
    let (storage_bytes, unlimited_users) = (quota.unwrap_or(0), i64::from(quota.is_none()));
    Amounts { users: 1, storage_bytes, unlimited_users, ..Amounts::default() }
}

fn of(limits: &Limits, column: &str) -> Limit {
    match column {
        "mailboxes" => limits.users,
        "aliases" => limits.aliases,
        _ => limits.storage_bytes,
    }
}

/// The allowance of a new domain.
pub(super) fn unlimited(domain: &DomainName) -> Allowance {
    let (level, name) = (LevelKind::Domain, domain.as_str().to_owned());
    let (limits, allocated) = (Limits::NONE, Amounts::default());
    Allowance { id: Uuid::nil(), level, name, limits, allocated, revision: 0 }
}
