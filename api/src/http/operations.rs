//! `/v1/operations`

use std::time::Duration;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use umail_api_types::{
    operations::{Operation, WaitQuery},
    page::{Page, PageQuery},
    problem::Problem,
};
use umail_proto::ids::OperationId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::{Error, Result},
    http::extract::{Json, Named, Pages, Query},
};

/// Longest wait that a caller may ask for.
const LONGEST_WAIT: u16 = 60;

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_operations))
        .routes(routes!(read_operation))
        .routes(routes!(cancel_operation))
}

/// 202: the work has begun, and where it can be looked at.
pub(super) struct Accepted(pub(super) Operation);

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, location(Some(self.0.id)), Json(self.0)).into_response()
    }
}

/// Says where the operation that has begun can be looked at, if one has.
pub(super) fn location(operation: Option<OperationId>) -> HeaderMap {
    let path = operation.map(|id| format!("/v1/operations/{id}"));
    let value = path.and_then(|path| HeaderValue::from_str(&path).ok());
    value.into_iter().map(|value| (LOCATION, value)).collect()
}

/// How long the caller wants to wait.
pub(super) fn wait(query: WaitQuery) -> Result<Duration> {
    let seconds = query.wait_seconds.unwrap_or_default();
    if seconds > LONGEST_WAIT {
        return Err(Error::invalid("wait_seconds", format!("must be at most {LONGEST_WAIT}")));
    }
    Ok(Duration::from_secs(seconds.into()))
}

/// List operations
///
/// The newest first.
#[utoipa::path(get, path = "/v1/operations", tag = "operations", params(PageQuery),
    responses((status = 200, description = "A page of operations", body = Page<Operation>)))]
async fn list_operations(
    cx: Context,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<Operation>>)> {
    let operations = app::operations::list(&cx, pages.wanted()).await?;
    Ok(pages.answer(operations, |one| one.id.uuid(), |one| one))
}

/// Read an operation
///
/// Waits for its end, if asked to.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "operations",
    params(("id" = OperationId, Path, description = "Id of the operation"), WaitQuery),
    responses((status = 200, description = "The operation", body = Operation)))]
async fn read_operation(
    cx: Context,
    Named(id): Named<OperationId>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Operation>> {
    Ok(Json(app::operations::read(&cx, id, wait(query)?).await?))
}

/// Cancel an operation
///
/// What it has begun is undone first: wait for its end. A move whose mailbox is at its
/// destination already cannot be cancelled.
#[utoipa::path(post, path = "/v1/operations/{id}/cancel", tag = "operations",
    params(("id" = OperationId, Path, description = "Id of the operation")),
    responses(
        (status = 202, description = "It will end", body = Operation),
        (status = 409, description = "It has ended, or cannot be undone any more",
            body = Problem, content_type = "application/problem+json")))]
async fn cancel_operation(cx: Context, Named(id): Named<OperationId>) -> Result<Accepted> {
    Ok(Accepted(app::operations::cancel(&cx, id).await?))
}
