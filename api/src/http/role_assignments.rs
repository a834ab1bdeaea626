//! `/v1/users/{user}/role_assignments`, `/v1/domains/{domain}/role_assignments` and
//! `/v1/role_assignments`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    page::{Page, PageQuery},
    role_assignments::{AssignedRole, NewRoleAssignment, RoleAssignment, RoleAssignmentFilter},
};
use umail_proto::ids::RoleAssignmentId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{Json, Named, Pages, Parsed},
    model::{self, domain::DomainRef, user::UserRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_user_role_assignments, create_role_assignment))
        .routes(routes!(list_domain_role_assignments))
        .routes(routes!(read_role_assignment, delete_role_assignment))
}

impl From<model::role_assignment::RoleAssignment> for RoleAssignment {
    fn from(assignment: model::role_assignment::RoleAssignment) -> Self {
        Self {
            id: assignment.id,
            user_id: assignment.user_id,
            user_address: assignment.user_address.to_string(),
            role: match assignment.department_id {
                Some(_) => AssignedRole::DepartmentAdmin,
                None => AssignedRole::DomainAdmin,
            },
            domain_id: assignment.domain_id,
            department_id: assignment.department_id,
            created_at: assignment.created_at,
        }
    }
}

/// List what a user administers
///
/// Those of your scope; of yourself, all.
#[utoipa::path(get, path = "/v1/users/{user}/role_assignments", tag = "role_assignments",
    params(("user" = String, Path, description = "Id or address of the user"), PageQuery),
    responses((status = 200, description = "A page of role assignments",
        body = Page<RoleAssignment>)))]
async fn list_user_role_assignments(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<RoleAssignment>>)> {
    let found = app::role_assignments::list_of_user(&cx, &user, pages.wanted()).await?;
    Ok(pages.answer(found, |one| one.id.uuid(), RoleAssignment::from))
}

/// Appoint a user
///
/// The user and the place must be in your scope, you must outrank all that the user is already,
/// anywhere, and the role must be below your own in that place. A second appointment to the same
/// role in the same place is a conflict.
#[utoipa::path(post, path = "/v1/users/{user}/role_assignments", tag = "role_assignments",
    params(("user" = String, Path, description = "Id or address of the user")),
    request_body = NewRoleAssignment,
    responses((status = 201, description = "Appointed", body = RoleAssignment)))]
async fn create_role_assignment(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    Json(new): Json<NewRoleAssignment>,
) -> Result<(StatusCode, Json<RoleAssignment>)> {
    let assignment = app::role_assignments::create(&cx, &user, &new).await?;
    Ok((StatusCode::CREATED, Json(assignment.into())))
}

/// List who administers a domain
///
/// The domain itself and its departments, as far as they are in your scope.
#[utoipa::path(get, path = "/v1/domains/{domain}/role_assignments", tag = "role_assignments",
    params(("domain" = String, Path, description = "Id or name of the domain"),
        RoleAssignmentFilter, PageQuery),
    responses((status = 200, description = "A page of role assignments",
        body = Page<RoleAssignment>)))]
async fn list_domain_role_assignments(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    pages: Pages<RoleAssignmentFilter>,
) -> Result<(HeaderMap, axum::Json<Page<RoleAssignment>>)> {
    let (filter, page) = (&pages.filter, pages.wanted());
    let found = app::role_assignments::list_of_domain(&cx, &domain, filter, page).await?;
    Ok(pages.answer(found, |one| one.id.uuid(), RoleAssignment::from))
}

/// Read a role assignment
#[utoipa::path(get, path = "/v1/role_assignments/{id}", tag = "role_assignments",
    params(("id" = RoleAssignmentId, Path, description = "Id of the role assignment")),
    responses((status = 200, description = "The role assignment", body = RoleAssignment)))]
async fn read_role_assignment(
    cx: Context,
    Named(id): Named<RoleAssignmentId>,
) -> Result<Json<RoleAssignment>> {
    Ok(Json(app::role_assignments::read(&cx, id).await?.into()))
}

/// Remove a user from a role
///
/// You must outrank, in that domain, all that the user is there. Effective within a second, in
/// sessions that are open too.
#[utoipa::path(delete, path = "/v1/role_assignments/{id}", tag = "role_assignments",
    params(("id" = RoleAssignmentId, Path, description = "Id of the role assignment")),
    responses((status = 204, description = "Removed")))]
async fn delete_role_assignment(
    cx: Context,
    Named(id): Named<RoleAssignmentId>,
) -> Result<StatusCode> {
    app::role_assignments::delete(&cx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
