//! Plans. An edit touches the plan and the counters of allowances, never the users.

use umail_api_types::{
    functions,
    plans::{NewPlan, PlanPatch},
};
use umail_proto::{agent::RowKind, functions::Functions, ids::PlanId};

use crate::{
    app::{
        allowances,
        audit::{self, Subject, shown},
        fields::one,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        allowance::Exceeded,
        page::Page,
        plan::{self, Holders, Plan, PlanRef, parse_name},
        revision::Precondition,
        sending::SendingLimits,
    },
    store,
    transaction::Transaction,
};

/// A page of all plans.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<Plan>> {
    cx.authorize(Action::List, Resource::Plans)?;
    store::plans::list(cx.pool(), page).await
}

/// One plan.
pub async fn read(cx: &Context, plan: &PlanRef) -> Result<Plan> {
    cx.authorize(Action::Read, Resource::Plans)?;
    find(cx, plan).await
}

async fn find(cx: &Context, plan: &PlanRef) -> Result<Plan> {
    let found = store::plans::find(cx.pool(), plan).await?;
    found.ok_or_else(|| match plan {
        PlanRef::Id(id) => Error::not_found("plan", id),
        PlanRef::Name(name) => Error::not_found("plan", name),
    })
}

/// Adds a plan.
pub async fn create(cx: &Context, new: NewPlan) -> Result<Plan> {
    cx.authorize(Action::Create, Resource::Plans)?;
    let plan = Plan {
        id: PlanId::generate(cx.now()),
        name: one("/name", parse_name(&new.name))?,
        quota: new.quota_bytes,
        sending: SendingLimits::default().set_to(new.sending()),
        functions: new.functions.as_deref().map_or(Functions::ALL, functions::set),
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let mut tx = cx.begin().await?;
    store::plans::insert(&mut *tx, &plan).await?;
    finish(tx, cx, Action::Create, (None, Some(&plan))).await?;
    Ok(plan)
}

/// How a change of a plan is meant.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that it is made to.
    pub precondition: Precondition,
    /// What changes.
    pub patch: PlanPatch,
    /// Whether nothing shall be changed.
    pub dry_run: bool,
    /// Whether allowances may be gone beyond.
    pub force: bool,
}

/// A change of a plan: what it leads to, and whom it touches.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The plan after the change.
    pub plan: Plan,
    /// Who has it.
    pub holders: Holders,
    /// Allowances that it goes beyond.
    pub exceeded: Vec<Exceeded>,
}

/// Changes a plan, or says what that would do.
pub async fn update(cx: &Context, plan: &PlanRef, change: Change) -> Result<Changed> {
    cx.authorize(Action::Update, Resource::Plans)?;
    let name = change.patch.name.as_deref().map(parse_name);
    let name = name.map(|name| one("/name", name)).transpose()?;
    let id = find(cx, plan).await?.id;
    let mut tx = cx.begin().await?;
    let before = store::plans::lock(&mut *tx, id).await?;
    change.precondition.check(before.revision)?;
    let mut plan = before.clone();
    plan.name = name.unwrap_or_else(|| before.name.clone());
    plan.quota = change.patch.quota_bytes.unwrap_or(before.quota);
    plan.sending = before.sending.set_to(change.patch.sending());
    plan.functions = change.patch.functions.as_deref().map_or(before.functions, functions::set);
    let exceeded = allowances::change_quota(&mut tx, &before, plan.quota).await?;
    let holders = store::seats::holders(&mut tx, id).await?;
    if change.dry_run || plan == before {
        return Ok(Changed { plan, holders, exceeded });
    }
    if let Some(first) = exceeded.first().filter(|_first| !change.force) {
        return Err(first.clone().into());
    }
    plan.revision += 1;
    plan.updated_at = cx.now();
    store::plans::update(&mut *tx, &plan).await?;
    finish(tx, cx, Action::Update, (Some(&before), Some(&plan))).await?;
    Ok(Changed { plan, holders, exceeded })
}

/// Removes a plan that nobody has.
pub async fn delete(cx: &Context, plan: &PlanRef, precondition: Precondition) -> Result<()> {
    cx.authorize(Action::Delete, Resource::Plans)?;
    let id = find(cx, plan).await?.id;
    if id == plan::standard() {
        let text = "the plan is that of users who are given no other one; change it instead";
        return Err(Error::Conflict(text.to_owned()));
    }
    let mut tx = cx.begin().await?;
    let before = store::plans::lock(&mut *tx, id).await?;
    precondition.check(before.revision)?;
    store::plans::delete(&mut tx, id).await?;
    finish(tx, cx, Action::Delete, (Some(&before), None)).await
}

async fn finish(
    mut tx: Transaction,
    cx: &Context,
    action: Action,
    (before, after): (Option<&Plan>, Option<&Plan>),
) -> Result<()> {
    let Some(id) = after.or(before).map(|plan| plan.id) else { return Ok(()) };
    store::changes::insert(&mut *tx, RowKind::Plan, id.uuid(), None).await?;
    let (before, after) = (before.map(shown).transpose()?, after.map(shown).transpose()?);
    let subject = Subject::system("plan", id);
    audit::record(&mut tx, cx, action, subject, before.flatten(), after.flatten()).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(())
}

/// The plan of a user that is named, or else that of the department or of those above it, or else
/// the standard one. It does not change until the end of the transaction.
pub(super) async fn hold_for(
    tx: &mut Transaction,
    named: Option<PlanId>,
    preset: Option<PlanId>,
) -> Result<Plan> {
    let id = named.or(preset).unwrap_or_else(plan::standard);
    let found = store::plans::hold(&mut **tx, id).await?;
    found.ok_or_else(|| Error::invalid("/plan_id", "must be a plan that there is"))
}
