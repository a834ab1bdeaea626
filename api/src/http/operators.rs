//! `/v1/operators`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    operators::{NewOperator, Operator, OperatorPatch},
    page::{Page, PageQuery},
};
use umail_proto::ids::OperatorId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Pages, Tagged},
    model,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_operators, create_operator)).routes(routes!(
        read_operator,
        update_operator,
        delete_operator
    ))
}

impl From<model::operator::Operator> for Operator {
    fn from(operator: model::operator::Operator) -> Self {
        Self {
            id: operator.id,
            name: operator.name.as_str().to_owned(),
            role: operator.role,
            active: operator.active,
            must_change_password: operator.must_change_password,
            created_at: operator.created_at,
            updated_at: operator.updated_at,
        }
    }
}

fn tagged(operator: model::operator::Operator) -> Tagged<Operator> {
    Tagged(operator.revision, operator.into())
}

/// List operators
#[utoipa::path(get, path = "/v1/operators", tag = "operators", params(PageQuery),
    responses((status = 200, description = "A page of operators", body = Page<Operator>)))]
async fn list_operators(
    cx: Context,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<Operator>>)> {
    let operators = app::operators::list(&cx, pages.wanted()).await?;
    Ok(pages.answer(operators, |one| one.id.uuid(), Operator::from))
}

/// Add an operator
#[utoipa::path(post, path = "/v1/operators", tag = "operators", request_body = NewOperator,
    responses((status = 201, description = "Added", body = Operator)))]
async fn create_operator(
    cx: Context,
    Json(new): Json<NewOperator>,
) -> Result<(StatusCode, Tagged<Operator>)> {
    Ok((StatusCode::CREATED, tagged(app::operators::create(&cx, new).await?)))
}

/// Read an operator
#[utoipa::path(get, path = "/v1/operators/{id}", tag = "operators",
    params(("id" = OperatorId, Path, description = "Id of the operator")),
    responses((status = 200, description = "The operator", body = Operator)))]
async fn read_operator(cx: Context, Named(id): Named<OperatorId>) -> Result<Tagged<Operator>> {
    Ok(tagged(app::operators::read(&cx, id).await?))
}

/// Change an operator
///
/// A new password, and the loss of the right to sign in, end the operator's sessions. The last
/// active system administrator stays one.
#[utoipa::path(patch, path = "/v1/operators/{id}", tag = "operators",
    params(("id" = OperatorId, Path, description = "Id of the operator"), IfMatch),
    request_body(content = OperatorPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Operator)))]
async fn update_operator(
    cx: Context,
    Named(id): Named<OperatorId>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<OperatorPatch>,
) -> Result<Tagged<Operator>> {
    Ok(tagged(app::operators::update(&cx, id, precondition, patch).await?))
}

/// Remove an operator
#[utoipa::path(delete, path = "/v1/operators/{id}", tag = "operators",
    params(("id" = OperatorId, Path, description = "Id of the operator"), IfMatch),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "The last active system_admin cannot be removed",
            body = umail_api_types::problem::Problem, content_type = "application/problem+json")))]
async fn delete_operator(
    cx: Context,
    Named(id): Named<OperatorId>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    app::operators::delete(&cx, id, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
