//! `/v1/users/{user}/convergence`, and the same of domains, their aliases, departments, aliases,
//! groups and plans

use umail_api_types::{convergence::Convergence, operations::WaitQuery};
use umail_proto::ids::{AliasId, DepartmentId};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::{
        extract::{Json, Named, Parsed, Query},
        operations,
    },
    model::{
        domain::DomainRef, domain_alias::DomainAliasRef, group::GroupRef, plan::PlanRef,
        user::UserRef,
    },
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(read_user_convergence))
        .routes(routes!(read_domain_convergence))
        .routes(routes!(read_domain_alias_convergence))
        .routes(routes!(read_department_convergence))
        .routes(routes!(read_alias_convergence))
        .routes(routes!(read_group_convergence))
        .routes(routes!(read_plan_convergence))
}

/// Read which nodes have the last change of a user
///
/// Waits, if asked to, until every node that can be reached has it.
#[utoipa::path(get, path = "/v1/users/{user}/convergence", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user"), WaitQuery),
    responses((status = 200, description = "How many nodes have it", body = Convergence)))]
async fn read_user_convergence(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Convergence>> {
    Ok(Json(app::convergence::of_user(&cx, &user, operations::wait(query)?).await?))
}

/// Read which nodes have the last change of a domain
///
/// Waits, if asked to, until every node that can be reached has it.
#[utoipa::path(get, path = "/v1/domains/{domain}/convergence", tag = "domains",
    params(("domain" = String, Path, description = "Id or name of the domain"), WaitQuery),
    responses((status = 200, description = "How many nodes have it", body = Convergence)))]
async fn read_domain_convergence(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Convergence>> {
    Ok(Json(app::convergence::of_domain(&cx, &domain, operations::wait(query)?).await?))
}

/// Read which nodes have the last change of a domain alias
///
/// Waits, if asked to, until every node that can be reached has it.
#[utoipa::path(get, path = "/v1/domain_aliases/{domain_alias}/convergence", tag = "domain_aliases",
    params(("domain_alias" = String, Path, description = "Id or name of the domain alias"),
        WaitQuery),
    responses((status = 200, description = "How many nodes have it", body = Convergence)))]
async fn read_domain_alias_convergence(
    cx: Context,
    Named(Parsed(alias)): Named<Parsed<DomainAliasRef>>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Convergence>> {
    let wait = operations::wait(query)?;
    Ok(Json(app::convergence::of_domain_alias(&cx, &alias, wait).await?))
}

/// Read which nodes have the last change of a department
///
/// Waits, if asked to, until every node that can be reached has it.
#[utoipa::path(get, path = "/v1/departments/{id}/convergence", tag = "departments",
    params(("id" = DepartmentId, Path, description = "Id of the department"), WaitQuery),
    responses((status = 200, description = "How many nodes have it", body = Convergence)))]
async fn read_department_convergence(
    cx: Context,
    Named(id): Named<DepartmentId>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Convergence>> {
    Ok(Json(app::convergence::of_department(&cx, id, operations::wait(query)?).await?))
}

/// Read which nodes have the last change of an alias
///
/// Waits, if asked to, until every node that can be reached has it.
#[utoipa::path(get, path = "/v1/aliases/{id}/convergence", tag = "aliases",
    params(("id" = AliasId, Path, description = "Id of the alias"), WaitQuery),
    responses((status = 200, description = "How many nodes have it", body = Convergence)))]
async fn read_alias_convergence(
    cx: Context,
    Named(id): Named<AliasId>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Convergence>> {
    Ok(Json(app::convergence::of_alias(&cx, id, operations::wait(query)?).await?))
}

/// Read which nodes have the last change of a group, or of its members
///
/// Waits, if asked to, until every node that can be reached has it.
#[utoipa::path(get, path = "/v1/groups/{group}/convergence", tag = "groups",
    params(("group" = String, Path, description = "Id or address of the group"), WaitQuery),
    responses((status = 200, description = "How many nodes have it", body = Convergence)))]
async fn read_group_convergence(
    cx: Context,
    Named(Parsed(group)): Named<Parsed<GroupRef>>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Convergence>> {
    Ok(Json(app::convergence::of_group(&cx, &group, operations::wait(query)?).await?))
}

/// Read which nodes have the last change of a plan
///
/// Waits, if asked to, until every node that can be reached has it.
#[utoipa::path(get, path = "/v1/plans/{plan}/convergence", tag = "plans",
    params(("plan" = String, Path, description = "Id or name of the plan"), WaitQuery),
    responses((status = 200, description = "How many nodes have it", body = Convergence)))]
async fn read_plan_convergence(
    cx: Context,
    Named(Parsed(plan)): Named<Parsed<PlanRef>>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Convergence>> {
    Ok(Json(app::convergence::of_plan(&cx, &plan, operations::wait(query)?).await?))
}
