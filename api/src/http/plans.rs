//! `/v1/plans`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    functions::names,
    limit::SendingLimit,
    page::{Page, PageQuery},
    plans::{NewPlan, Plan, PlanChange, PlanDomain, PlanPatch, PlanQuery},
    problem::{ExceededLimit, Problem},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{
        self,
        plans::{Change, Changed},
    },
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Pages, Parsed, Query, Tagged},
    model::{self, plan::PlanRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_plans, create_plan)).routes(routes!(
        read_plan,
        update_plan,
        delete_plan
    ))
}

impl From<model::plan::Plan> for Plan {
    fn from(plan: model::plan::Plan) -> Self {
        let [
            message_size_bytes,
            messages_per_hour,
            messages_per_day,
            recipients_per_hour,
            recipients_per_day,
        ] = plan.sending.0.map(SendingLimit::from_number);
        Self {
            id: plan.id,
            name: plan.name,
            quota_bytes: plan.quota,
            message_size_bytes,
            messages_per_hour,
            messages_per_day,
            recipients_per_hour,
            recipients_per_day,
            functions: names(plan.functions),
            created_at: plan.created_at,
            updated_at: plan.updated_at,
        }
    }
}

fn tagged(plan: model::plan::Plan) -> Tagged<Plan> {
    Tagged(plan.revision, plan.into())
}

fn changed(changed: Changed, dry_run: bool) -> Tagged<PlanChange> {
    let domains = changed.holders.domains.into_iter();
    let shown = PlanChange {
        dry_run,
        users: changed.holders.users,
        domain_count: changed.holders.domain_count,
        domains: domains.map(|(id, name, users)| PlanDomain { id, name, users }).collect(),
        exceeded: changed.exceeded.into_iter().map(ExceededLimit::from).collect(),
        plan: changed.plan.clone().into(),
    };
    Tagged(changed.plan.revision, shown)
}

/// List plans
#[utoipa::path(get, path = "/v1/plans", tag = "plans", params(PageQuery),
    responses((status = 200, description = "A page of plans", body = Page<Plan>)))]
async fn list_plans(cx: Context, pages: Pages) -> Result<(HeaderMap, axum::Json<Page<Plan>>)> {
    let plans = app::plans::list(&cx, pages.wanted()).await?;
    Ok(pages.answer(plans, |one| one.id.uuid(), Plan::from))
}

/// Add a plan
#[utoipa::path(post, path = "/v1/plans", tag = "plans", request_body = NewPlan,
    responses((status = 201, description = "Added", body = Plan)))]
async fn create_plan(cx: Context, Json(new): Json<NewPlan>) -> Result<(StatusCode, Tagged<Plan>)> {
    Ok((StatusCode::CREATED, tagged(app::plans::create(&cx, new).await?)))
}

/// Read a plan
#[utoipa::path(get, path = "/v1/plans/{plan}", tag = "plans",
    params(("plan" = String, Path, description = "Id or name of the plan")),
    responses((status = 200, description = "The plan", body = Plan)))]
async fn read_plan(
    cx: Context,
    Named(Parsed(plan)): Named<Parsed<PlanRef>>,
) -> Result<Tagged<Plan>> {
    Ok(tagged(app::plans::read(&cx, &plan).await?))
}

/// Change a plan, or see what that would do
///
/// Takes effect for all its users at once. With `dry_run=true` nothing changes, and the answer
/// says how many users and which domains it would touch. Refused when a domain or department
/// would have more storage than its allowance, unless `force=true`.
#[utoipa::path(patch, path = "/v1/plans/{plan}", tag = "plans",
    params(("plan" = String, Path, description = "Id or name of the plan"), IfMatch, PlanQuery),
    request_body(content = PlanPatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "Changed, or what would change", body = PlanChange),
        (status = 409, description = "An allowance does not allow it", body = Problem,
            content_type = "application/problem+json")))]
async fn update_plan(
    cx: Context,
    Named(Parsed(plan)): Named<Parsed<PlanRef>>,
    IfMatch(precondition): IfMatch,
    Query(query): Query<PlanQuery>,
    Json(patch): Json<PlanPatch>,
) -> Result<Tagged<PlanChange>> {
    let (dry_run, force) = (query.dry_run.unwrap_or_default(), query.force.unwrap_or_default());
    let change = Change { precondition, patch, dry_run, force };
    Ok(changed(app::plans::update(&cx, &plan, change).await?, dry_run))
}

/// Delete a plan that nobody has
#[utoipa::path(delete, path = "/v1/plans/{plan}", tag = "plans",
    params(("plan" = String, Path, description = "Id or name of the plan"), IfMatch),
    responses((status = 204, description = "Deleted"),
        (status = 409, description = "Somebody has the plan", body = Problem,
            content_type = "application/problem+json")))]
async fn delete_plan(
    cx: Context,
    Named(Parsed(plan)): Named<Parsed<PlanRef>>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    app::plans::delete(&cx, &plan, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
