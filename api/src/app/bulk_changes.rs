//! Bulk changes: the same change of all users of a domain who match a filter. The work is that of
//! imports, whose lines come from the filter here.

use umail_api_types::{
    bulk_changes::{BulkPatch, NewBulkChange},
    operations::OperationKind,
};
use umail_proto::ids::{BulkChangeId, DepartmentId, DomainId, ImportId, PlanId};

use crate::{
    app::{
        audit, domains,
        imports::{self, about, subject},
        operations,
    },
    authz::{self, Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        domain::DomainRef,
        import::{Bulk, Fault, Import, Refused},
        page::Page,
        plan::PlanRef,
        user_filter::UserFilter,
    },
    store,
};

const KIND: &str = "bulk change";
/// Reasons of refusals that are summed up.
const REASONS: i64 = 20;

/// Begins a bulk change, or with `dry_run` says what would become of whom.
pub async fn create(
    cx: &Context,
    domain: &DomainRef,
    (new, dry_run): (NewBulkChange, bool),
) -> Result<Import> {
    let asked = |id| (Action::Create, Resource::Imports(Some(id)));
    let domain = domains::find(cx, domain, asked).await?.id;
    check(cx, domain, &new).await?;
    let bulk = Bulk { filter: new.filter, change: new.change };
    let mut import =
        Import { bulk: Some(bulk), ..imports::blank(cx, Some(domain), (new.mode, dry_run))? };
    let input = serde_json::json!({ "bulk_change_id": import.id });
    let operation = operations::new(cx, OperationKind::ChangeUsers, "wait", input);
    import.operation_id = Some(operation.id);
    let mut tx = cx.begin().await?;
    store::operations::insert(&mut *tx, &operation).await?;
    imports::insert(&mut tx, &import).await?;
    let event = (subject(&import), Some(about(&import)));
    audit::record(&mut tx, cx, Action::Create, event.0, None, event.1).await?;
    tx.commit().await?;
    cx.state().fleet().progressed();
    Ok(import)
}

/// Refuses what would be refused for everybody.
async fn check(cx: &Context, domain: DomainId, new: &NewBulkChange) -> Result<()> {
    let (filter, change) = (&new.filter, &new.change);
    if *change == BulkPatch::default() {
        return Err(Error::invalid("/change", "must change something"));
    }
    UserFilter::parse_bulk(filter)?;
    if let Some(Some(..1)) = change.quota_bytes {
        return Err(Error::invalid("/change/quota_bytes", "must be at least 1, or null"));
    }
    for (field, department) in [
        ("/filter/department_id", filter.department_id),
        ("/change/department_id", change.department_id.flatten()),
    ] {
        if let Some(id) = department {
            check_department(cx, (domain, id), field).await?;
        }
    }
    for (field, plan) in [("/filter/plan_id", filter.plan_id), ("/change/plan_id", change.plan_id)]
    {
        if let Some(id) = plan {
            check_plan(cx, id, field).await?;
        }
    }
    Ok(())
}

async fn check_department(
    cx: &Context,
    (domain, id): (DomainId, DepartmentId),
    field: &str,
) -> Result<()> {
    let found = store::departments::find(cx.pool(), id).await?;
    let visible = authz::visible_departments(cx.caller(), domain);
    let is_good = found.is_some_and(|one| one.domain_id == domain)
        && visible.is_none_or(|visible| visible.contains(&id));
    let reason = "must be a department of the domain, in your scope";
    if is_good { Ok(()) } else { Err(Error::invalid(field, reason)) }
}

async fn check_plan(cx: &Context, id: PlanId, field: &str) -> Result<()> {
    let found = store::plans::find(cx.pool(), &PlanRef::Id(id)).await?;
    found.map(|_| ()).ok_or_else(|| Error::invalid(field, "must be a plan that there is"))
}

/// A page of the caller's bulk changes, the newest first; of all for who may read all operations.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<Import>> {
    imports::list_kind(cx, true, page).await
}

/// One bulk change, with the commonest reasons of refusals and how many users each concerns.
pub async fn read(cx: &Context, id: BulkChangeId) -> Result<(Import, Vec<(Fault, i64)>)> {
    let import = imports::find_kind(cx, (import_id(id), KIND), Action::Read).await?;
    let reasons = store::import_errors::list_reasons(cx.pool(), import.id, REASONS).await?;
    Ok((import, reasons))
}

/// Users who were refused, after one.
pub async fn errors(
    cx: &Context,
    id: BulkChangeId,
    after: Option<&Refused>,
    limit: i64,
) -> Result<Vec<Refused>> {
    imports::errors_of(cx, (import_id(id), KIND), after, limit).await
}

fn import_id(id: BulkChangeId) -> ImportId {
    id.uuid().into()
}
