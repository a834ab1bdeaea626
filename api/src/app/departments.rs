//! Departments: the tree inside a domain.

use futures_util::TryFutureExt as _;
use umail_api_types::{
    departments::{DepartmentFilter, DepartmentPatch, NewDepartment},
    functions,
};
use umail_proto::{
    agent::RowKind,
    functions::Functions,
    ids::{DepartmentId, DomainId, PlanId},
};

use crate::{
    app::{
        allowances::{self, Given},
        audit::{self, Subject, shown},
        domains,
        fields::one,
        lists::counted,
        role_assignments,
    },
    authz::{self, Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        allowance::Amounts,
        department::{Department, MAX_DEPTH, parse_name},
        domain::DomainRef,
        page::{Found, Page},
        revision::Precondition,
    },
    store,
    transaction::Transaction,
};

/// A page of the departments of a domain that are in the caller's scope.
pub async fn list(
    cx: &Context,
    domain: &DomainRef,
    filter: DepartmentFilter,
    page: Page,
) -> Result<Found<Department>> {
    let is_top = filter.top == Some(true);
    if is_top && filter.parent_id.is_some() {
        return Err(Error::invalid("top", "must not be true with parent_id"));
    }
    let domain = domains::find(cx, domain, |id| {
        (Action::List, Resource::Department { domain_id: id, id: None })
    });
    let (db, domain) = (cx.pool(), domain.await?.id);
    let mut among = authz::visible_departments(cx.caller(), domain);
    if let Some(visible) = &among {
        // Whoever sees a department sees all below it.
        match filter.parent_id {
            Some(parent) if visible.contains(&parent) => among = None,
            Some(_) => among = Some(Vec::new()),
            None if is_top => {
                // Of what is seen, only what is administered itself can be below none.
                let seen = authz::visible_among(cx.caller(), domain, None);
                let tops = seen.tops().unwrap_or_default();
                among = Some(store::departments::list_top(db, domain, tops).await?);
            }
            None => {}
        }
    }
    let among = among.as_deref();
    if among.is_none() && (is_top || filter.parent_id.is_some()) {
        let found = store::departments::list_below(db, domain, filter.parent_id, page);
        let count = store::departments::count_below(db, domain, filter.parent_id);
        return counted(found.map_ok(Found::from), filter.count, count).await;
    }
    let found = store::departments::list(db, domain, among, page);
    counted(found, filter.count, store::departments::count(db, domain, among)).await
}

/// One department.
pub async fn read(cx: &Context, id: DepartmentId) -> Result<Department> {
    find(cx, id, Action::Read).await
}

/// The department, if the caller may do this to it.
pub(super) async fn find(cx: &Context, id: DepartmentId, action: Action) -> Result<Department> {
    let missing = || Error::not_found("department", id);
    let found = store::departments::find(cx.pool(), id).await?.ok_or_else(missing)?;
    cx.authorize(action, Resource::Department { domain_id: found.domain_id, id: Some(id) })?;
    Ok(found)
}

/// The plan that a department gives to new users: its own, or that of the nearest one above that
/// has one.
pub(super) async fn preset(
    tx: &mut Transaction,
    domain: DomainId,
    id: DepartmentId,
) -> Result<Option<PlanId>> {
    let above = store::departments::list_above(tx, domain, id).await?;
    Ok(above.iter().rev().find_map(|one| one.plan_id))
}

/// Adds a department.
pub async fn create(cx: &Context, domain: &DomainRef, new: NewDepartment) -> Result<Department> {
    let domain = domains::find(cx, domain, |id| {
        (Action::Create, Resource::Department { domain_id: id, id: new.parent_id })
    });
    let department = Department {
        domain_id: domain.await?.id,
        id: DepartmentId::generate(cx.now()),
        parent_id: new.parent_id,
        name: one("/name", parse_name(&new.name))?,
        functions: Functions::ALL,
        plan_id: new.plan_id,
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let mut tx = cx.begin().await?;
    store::domains::hold(&mut *tx, department.domain_id).await?;
    check_parent(&mut tx, &department, 1).await?;
    store::departments::insert(&mut *tx, &department).await?;
    let (id, domain) = (department.id.uuid(), department.domain_id);
    store::allowances::insert(&mut *tx, id, domain).await?;
    let one = Amounts { departments: 1, ..Amounts::default() };
    let given = Given { department: department.parent_id, amounts: one, ..Given::default() };
    allowances::give(&mut tx, domain, &[given]).await?;
    finish(tx, cx, Action::Create, None, Some(&department)).await?;
    Ok(department)
}

/// Changes a department.
pub async fn update(
    cx: &Context,
    id: DepartmentId,
    precondition: Precondition,
    patch: DepartmentPatch,
) -> Result<Department> {
    let domain_id = find(cx, id, Action::Update).await?.domain_id;
    let name = patch.name.as_deref().map(parse_name).map(|name| one("/name", name)).transpose()?;
    let mut tx = cx.begin().await?;
    store::departments::lock_tree(&mut *tx, domain_id).await?;
    let before = store::departments::lock(&mut *tx, id).await?;
    precondition.check(before.revision)?;
    let mut department = before.clone();
    department.name = name.unwrap_or_else(|| before.name.clone());
    department.parent_id = patch.parent_id.unwrap_or(before.parent_id);
    department.plan_id = patch.plan_id.unwrap_or(before.plan_id);
    department.functions = patch.functions.as_deref().map_or(before.functions, functions::set);
    if department == before {
        tx.commit().await?;
        return Ok(before);
    }
    if department.parent_id != before.parent_id {
        // There it is a new one.
        let parent = Resource::Department { domain_id, id: department.parent_id };
        cx.authorize(Action::Create, parent)?;
        let levels = store::departments::count_levels(&mut *tx, domain_id, id).await?;
        check_parent(&mut tx, &department, levels).await?;
    }
    department.revision += 1;
    department.updated_at = cx.now();
    store::departments::update(&mut *tx, &department).await?;
    if department.parent_id != before.parent_id {
        allowances::move_department(&mut tx, &before, department.parent_id).await?;
    }
    finish(tx, cx, Action::Update, Some(&before), Some(&department)).await?;
    Ok(department)
}

/// The tree has no circle, and an end, with so many levels from the department down.
async fn check_parent(tx: &mut Transaction, department: &Department, levels: usize) -> Result<()> {
    let Some(parent) = department.parent_id else { return Ok(()) };
    let above = store::departments::ancestors(&mut **tx, department.domain_id, parent).await?;
    if above.contains(&department.id) {
        return Err(Error::invalid("/parent_id", "must not be the department or one below it"));
    }
    if above.len() + levels > MAX_DEPTH {
        let reason = format!("must not be nested deeper than {MAX_DEPTH}");
        return Err(Error::invalid("/parent_id", reason));
    }
    Ok(())
}

/// Removes a department that nothing is in; who administers it no longer does.
pub async fn delete(cx: &Context, id: DepartmentId, precondition: Precondition) -> Result<()> {
    let found = find(cx, id, Action::Delete).await?;
    let mut tx = cx.begin().await?;
    store::departments::lock_tree(&mut *tx, found.domain_id).await?;
    let before = store::departments::lock(&mut *tx, id).await?;
    precondition.check(before.revision)?;
    // Whoever administers it may be of another domain; and users in no department are not in the
    // reach of who administers one.
    tx.reach_beyond().await?;
    role_assignments::delete_of_department(&mut tx, cx, (before.domain_id, id)).await?;
    store::accounts::leave_deleted(&mut *tx, id).await?;
    tx.reach_within().await?;
    store::departments::delete(&mut *tx, id).await?;
    allowances::remove_department(&mut tx, &before).await?;
    finish(tx, cx, Action::Delete, Some(&before), None).await
}

async fn finish(
    mut tx: Transaction,
    cx: &Context,
    action: Action,
    before: Option<&Department>,
    after: Option<&Department>,
) -> Result<()> {
    let Some((id, domain_id)) = ids(after.or(before)) else { return Ok(()) };
    store::changes::insert(&mut *tx, RowKind::Department, id.uuid(), None).await?;
    let subject = Subject::of(domain_id, "department", id).within(Some(id));
    let (before, after) = (before.map(shown).transpose()?, after.map(shown).transpose()?);
    audit::record(&mut tx, cx, action, subject, before.flatten(), after.flatten()).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(())
}

fn ids(department: Option<&Department>) -> Option<(DepartmentId, DomainId)> {
    department.map(|one| (one.id, one.domain_id))
}
