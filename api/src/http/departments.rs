//! `/v1/domains/{domain}/departments` and `/v1/departments`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    departments::{Department, DepartmentFilter, DepartmentPatch, NewDepartment},
    functions::names,
    page::{Page, PageQuery},
    problem::Problem,
};
use umail_proto::ids::DepartmentId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Pages, Parsed, Tagged},
    model::{self, domain::DomainRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_departments, create_department)).routes(routes!(
        read_department,
        update_department,
        delete_department
    ))
}

impl From<model::department::Department> for Department {
    fn from(department: model::department::Department) -> Self {
        Self {
            id: department.id,
            domain_id: department.domain_id,
            parent_id: department.parent_id,
            name: department.name,
            functions: names(department.functions),
            plan_id: department.plan_id,
            created_at: department.created_at,
            updated_at: department.updated_at,
        }
    }
}

fn tagged(department: model::department::Department) -> Tagged<Department> {
    Tagged(department.revision, department.into())
}

/// List the departments of a domain
///
/// Those of your scope.
#[utoipa::path(get, path = "/v1/domains/{domain}/departments", tag = "departments",
    params(("domain" = String, Path, description = "Id or name of the domain"),
        DepartmentFilter, PageQuery),
    responses((status = 200, description = "A page of departments", body = Page<Department>)))]
async fn list_departments(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    pages: Pages<DepartmentFilter>,
) -> Result<(HeaderMap, axum::Json<Page<Department>>)> {
    let departments = app::departments::list(&cx, &domain, pages.filter, pages.wanted()).await?;
    Ok(pages.answer(departments, |one| one.id.uuid(), Department::from))
}

/// Add a department
#[utoipa::path(post, path = "/v1/domains/{domain}/departments", tag = "departments",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    request_body = NewDepartment,
    responses((status = 201, description = "Added", body = Department)))]
async fn create_department(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    Json(new): Json<NewDepartment>,
) -> Result<(StatusCode, Tagged<Department>)> {
    Ok((StatusCode::CREATED, tagged(app::departments::create(&cx, &domain, new).await?)))
}

/// Read a department
#[utoipa::path(get, path = "/v1/departments/{id}", tag = "departments",
    params(("id" = DepartmentId, Path, description = "Id of the department")),
    responses((status = 200, description = "The department", body = Department)))]
async fn read_department(
    cx: Context,
    Named(id): Named<DepartmentId>,
) -> Result<Tagged<Department>> {
    Ok(tagged(app::departments::read(&cx, id).await?))
}

/// Change a department
///
/// It is up to the level above: to whoever administers the department that it is below, or the domain.
#[utoipa::path(patch, path = "/v1/departments/{id}", tag = "departments",
    params(("id" = DepartmentId, Path, description = "Id of the department"), IfMatch),
    request_body(content = DepartmentPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Department)))]
async fn update_department(
    cx: Context,
    Named(id): Named<DepartmentId>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<DepartmentPatch>,
) -> Result<Tagged<Department>> {
    Ok(tagged(app::departments::update(&cx, id, precondition, patch).await?))
}

/// Remove a department
///
/// Nobody and nothing may be in it any more. It is up to the level above; who administers it no
/// longer does, so that whoever may not dismiss them may not remove it.
#[utoipa::path(delete, path = "/v1/departments/{id}", tag = "departments",
    params(("id" = DepartmentId, Path, description = "Id of the department"), IfMatch),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "Something is in it still", body = Problem,
            content_type = "application/problem+json")))]
async fn delete_department(
    cx: Context,
    Named(id): Named<DepartmentId>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    app::departments::delete(&cx, id, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
