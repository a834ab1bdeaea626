//! `/v1/allowance`, `/v1/domains/{domain}/allowance` and `/v1/departments/{id}/allowance`

use umail_api_types::{
    allowances::{Allocated, Allowance, AllowancePatch, AllowanceQuery},
    plans::Seats,
    problem::Problem,
};
use umail_proto::ids::DepartmentId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{self, allowances::Change},
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Parsed, Query, Tagged},
    model::{self, domain::DomainRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(read_allowance, update_allowance))
        .routes(routes!(read_domain_allowance, update_domain_allowance))
        .routes(routes!(read_department_allowance, update_department_allowance))
}

fn tagged((allowance, seats): app::allowances::Whole) -> Tagged<Allowance> {
    let (limits, allocated) = (allowance.limits, allowance.allocated);
    let shown = Allowance {
        level: allowance.level,
        users: limits.users,
        aliases: limits.aliases,
        groups: limits.groups,
        departments: limits.departments,
        storage_bytes: limits.storage_bytes,
        overselling_percent: limits.overselling_percent.unsigned_abs(),
        allocated: Allocated {
            users: allocated.users,
            aliases: allocated.aliases,
            groups: allocated.groups,
            departments: allocated.departments,
            storage_bytes: allocated.storage_bytes,
            unlimited_users: allocated.unlimited_users,
        },
        seats: seats.into_iter().map(seat).collect(),
    };
    Tagged(allowance.revision, shown)
}

fn seat(seats: model::plan::Seats) -> Seats {
    let (plan_id, plan) = (seats.plan, seats.plan_name);
    Seats { plan_id, plan, limit: seats.limit, users: seats.users }
}

fn change(IfMatch(precondition): IfMatch, query: AllowanceQuery, patch: AllowancePatch) -> Change {
    let below_allocated = query.below_allocated.unwrap_or_default();
    Change { precondition, patch, below_allocated }
}

/// Read what the system may have at most
///
/// What was given away is counted only while there is a limit.
#[utoipa::path(get, path = "/v1/allowance", tag = "settings",
    responses((status = 200, description = "The allowance", body = Allowance)))]
async fn read_allowance(cx: Context) -> Result<Tagged<Allowance>> {
    Ok(tagged(app::allowances::read_system(&cx).await?))
}

/// Limit the system
#[utoipa::path(patch, path = "/v1/allowance", tag = "settings", params(IfMatch, AllowanceQuery),
    request_body(content = AllowancePatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Allowance),
        (status = 409, description = "More has been given away", body = Problem,
            content_type = "application/problem+json")))]
async fn update_allowance(
    cx: Context,
    if_match: IfMatch,
    Query(query): Query<AllowanceQuery>,
    Json(patch): Json<AllowancePatch>,
) -> Result<Tagged<Allowance>> {
    let change = change(if_match, query, patch);
    Ok(tagged(app::allowances::update_system(&cx, change).await?))
}

/// Read what a domain may have at most
#[utoipa::path(get, path = "/v1/domains/{domain}/allowance", tag = "domains",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    responses((status = 200, description = "The allowance", body = Allowance)))]
async fn read_domain_allowance(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
) -> Result<Tagged<Allowance>> {
    Ok(tagged(app::allowances::read_domain(&cx, &domain).await?))
}

/// Limit a domain
///
/// For system administrators.
#[utoipa::path(patch, path = "/v1/domains/{domain}/allowance", tag = "domains",
    params(("domain" = String, Path, description = "Id or name of the domain"), IfMatch,
        AllowanceQuery),
    request_body(content = AllowancePatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Allowance),
        (status = 409, description = "More has been given away", body = Problem,
            content_type = "application/problem+json")))]
async fn update_domain_allowance(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    if_match: IfMatch,
    Query(query): Query<AllowanceQuery>,
    Json(patch): Json<AllowancePatch>,
) -> Result<Tagged<Allowance>> {
    let change = change(if_match, query, patch);
    Ok(tagged(app::allowances::update_domain(&cx, &domain, change).await?))
}

/// Read what a department may have at most
#[utoipa::path(get, path = "/v1/departments/{id}/allowance", tag = "departments",
    params(("id" = DepartmentId, Path, description = "Id of the department")),
    responses((status = 200, description = "The allowance", body = Allowance)))]
async fn read_department_allowance(
    cx: Context,
    Named(id): Named<DepartmentId>,
) -> Result<Tagged<Allowance>> {
    Ok(tagged(app::allowances::read_department(&cx, id).await?))
}

/// Limit a department with those below
///
/// For administrators of the domain.
#[utoipa::path(patch, path = "/v1/departments/{id}/allowance", tag = "departments",
    params(("id" = DepartmentId, Path, description = "Id of the department"), IfMatch,
        AllowanceQuery),
    request_body(content = AllowancePatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Allowance),
        (status = 409, description = "More has been given away", body = Problem,
            content_type = "application/problem+json")))]
async fn update_department_allowance(
    cx: Context,
    Named(id): Named<DepartmentId>,
    if_match: IfMatch,
    Query(query): Query<AllowanceQuery>,
    Json(patch): Json<AllowancePatch>,
) -> Result<Tagged<Allowance>> {
    let change = change(if_match, query, patch);
    Ok(tagged(app::allowances::update_department(&cx, id, change).await?))
}
