//! Allowances: what a level may have at most. Counters are changed in the transaction of what
//! they count, and locked last, from the system down: nobody who holds one waits for anything
//! else.

use std::collections::HashMap;

use umail_api_types::allowances::AllowancePatch;
use umail_proto::ids::{DepartmentId, DomainId};
use uuid::Uuid;

use crate::{
    app::{
        audit::{self, Subject, shown},
        departments, domains,
        fields::one,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        allowance::{Allowance, Amounts, Limits},
        department::Department,
        domain::DomainRef,
        revision::Precondition,
    },
    store::{self, allowances::SYSTEM},
    transaction::Transaction,
};

/// An amount and the department that it goes to; nothing: the domain itself.
pub(super) type Given = (Option<DepartmentId>, Amounts);

/// Gives amounts away in a domain and takes them back, on every level that is concerned; refuses
/// what a limit does not allow. The last thing before the audit event.
pub(super) async fn give(tx: &mut Transaction, domain: DomainId, given: &[Given]) -> Result<()> {
    let mut held = hold(tx, domain).await?;
    let mut asked: HashMap<Uuid, Amounts> = HashMap::new();
    for (department, amounts) in given {
        let mut levels = vec![SYSTEM, domain.uuid()];
        if let Some(id) = department {
            let above = store::departments::ancestors(&mut **tx, domain, *id).await?;
            levels.extend(above.into_iter().rev().map(DepartmentId::uuid));
        }
        for level in levels {
            let sum = asked.entry(level).or_default();
            *sum = *sum + *amounts;
        }
    }
    asked.retain(|_, amounts| *amounts != Amounts::default());
    let mut rest: Vec<_> =
        asked.keys().copied().filter(|id| *id != SYSTEM && *id != domain.uuid()).collect();
    rest.sort_unstable();
    if !rest.is_empty() {
        held.extend(store::allowances::lock(&mut **tx, &rest).await?);
    }
    let mut after = Vec::with_capacity(held.len());
    for allowance in held {
        if let Some(amounts) = asked.get(&allowance.id) {
            after.push(allowance.give(*amounts)?);
        }
    }
    store::allowances::update_allocated(&mut **tx, &after).await
}

/// Locks the allowances of the system, if it has limits, and of a domain. From here on the tree
/// of its departments and their counters stand still: who changes them holds these.
async fn hold(tx: &mut Transaction, domain: DomainId) -> Result<Vec<Allowance>> {
    store::allowances::enter(&mut **tx).await?;
    let held = store::allowances::lock(&mut **tx, &[SYSTEM, domain.uuid()]).await?;
    if held.last().is_none_or(|one| one.id != domain.uuid()) {
        return Err(Error::corrupt("allowance", domain, "is missing"));
    }
    Ok(held)
}

/// Takes a department with all in it from under one department and gives it to another; nothing:
/// the top.
pub(super) async fn move_department(
    tx: &mut Transaction,
    before: &Department,
    to: Option<DepartmentId>,
) -> Result<()> {
    hold(tx, before.domain_id).await?;
    let inside = store::allowances::find(&mut **tx, before.id.uuid()).await?.allocated;
    let whole = inside + Amounts { departments: 1, ..Amounts::default() };
    let back = Amounts::default() - whole;
    give(tx, before.domain_id, &[(before.parent_id, back), (to, whole)]).await
}

/// Takes back a department. What is in it still, users that were deleted, falls to the domain.
pub(super) async fn remove_department(tx: &mut Transaction, gone: &Department) -> Result<()> {
    hold(tx, gone.domain_id).await?;
    let inside = store::allowances::find(&mut **tx, gone.id.uuid()).await?.allocated;
    let whole = inside + Amounts { departments: 1, ..Amounts::default() };
    let back = Amounts::default() - whole;
    give(tx, gone.domain_id, &[(gone.parent_id, back), (None, inside)]).await?;
    store::allowances::delete(&mut **tx, gone.id.uuid()).await
}

/// The allowance of the system.
pub async fn read_system(cx: &Context) -> Result<Allowance> {
    cx.authorize(Action::Read, Resource::Settings)?;
    store::allowances::find(cx.pool(), SYSTEM).await
}

/// The allowance of a domain.
pub async fn read_domain(cx: &Context, domain: &DomainRef) -> Result<Allowance> {
    let domain = domains::find(cx, domain, |id| (Action::Read, Resource::Domain(id))).await?;
    store::allowances::find(cx.pool(), domain.id.uuid()).await
}

/// The allowance of a department.
pub async fn read_department(cx: &Context, id: DepartmentId) -> Result<Allowance> {
    let department = departments::read(cx, id).await?;
    store::allowances::find(cx.pool(), department.id.uuid()).await
}

/// How a change of limits is meant.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that it is made to.
    pub precondition: Precondition,
    /// What changes.
    pub patch: AllowancePatch,
    /// Whether a limit may be lower than what has been given away.
    pub below_allocated: bool,
}

/// Limits the system as a whole. Counting begins with the first limit.
pub async fn update_system(cx: &Context, change: Change) -> Result<Allowance> {
    cx.authorize(Action::Update, Resource::Settings)?;
    let mut tx = cx.begin().await?;
    store::allowances::enter_alone(&mut *tx).await?;
    let mut before = store::allowances::get(&mut tx, SYSTEM).await?;
    before.allocated = store::allowances::sum(&mut *tx).await?;
    store::allowances::update_allocated(&mut *tx, std::slice::from_ref(&before)).await?;
    finish(tx, cx, Subject::system("allowance", SYSTEM), before, change).await
}

/// Limits a domain, from above.
pub async fn update_domain(cx: &Context, domain: &DomainRef, change: Change) -> Result<Allowance> {
    let domain = domains::find(cx, domain, |id| (Action::Operate, Resource::Domain(id))).await?;
    let mut tx = cx.begin().await?;
    store::domains::hold(&mut *tx, domain.id).await?;
    let before = store::allowances::get(&mut tx, domain.id.uuid()).await?;
    let subject = Subject::of(domain.id, "allowance", domain.id);
    finish(tx, cx, subject, before, change).await
}

/// Limits a department.
pub async fn update_department(
    cx: &Context,
    id: DepartmentId,
    change: Change,
) -> Result<Allowance> {
    let department = departments::find(cx, id, Action::Update).await?;
    let mut tx = cx.begin().await?;
    store::domains::hold(&mut *tx, department.domain_id).await?;
    let before = store::allowances::get(&mut tx, id.uuid()).await?;
    let subject = Subject::of(department.domain_id, "allowance", id);
    finish(tx, cx, subject, before, change).await
}

async fn finish(
    mut tx: Transaction,
    cx: &Context,
    subject: Subject,
    before: Allowance,
    change: Change,
) -> Result<Allowance> {
    change.precondition.check(before.revision)?;
    let limits = apply(&before.limits, &change.patch)?;
    if limits == before.limits {
        tx.commit().await?;
        return Ok(before);
    }
    let after = Allowance { limits, revision: before.revision + 1, ..before.clone() };
    if !change.below_allocated {
        after.check()?;
    }
    store::allowances::update_limits(&mut *tx, &after).await?;
    audit::record(&mut tx, cx, Action::Update, subject, shown(&before)?, shown(&after)?).await?;
    tx.commit().await?;
    Ok(after)
}

fn apply(limits: &Limits, patch: &AllowancePatch) -> Result<Limits> {
    let percent = patch.overselling_percent.map(|percent| {
        let allowed = i32::try_from(percent).ok().filter(|one| (100..=10_000).contains(one));
        one("/overselling_percent", allowed.ok_or_else(|| "must be 100 to 10000".to_owned()))
    });
    Ok(Limits {
        users: patch.users.unwrap_or(limits.users),
        aliases: patch.aliases.unwrap_or(limits.aliases),
        departments: patch.departments.unwrap_or(limits.departments),
        storage_bytes: patch.storage_bytes.unwrap_or(limits.storage_bytes),
        overselling_percent: percent.transpose()?.unwrap_or(limits.overselling_percent),
    })
}
