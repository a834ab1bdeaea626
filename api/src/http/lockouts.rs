//! `/v1/users/{user}/lockout` and `/v1/operators/{id}/lockout`

use axum::http::StatusCode;
use umail_api_types::lockouts::Lockout;
use umail_proto::ids::OperatorId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{self, sessions::Whose},
    context::{Context, State},
    error::Result,
    http::extract::{Json, Named, Parsed},
    model::{self, user::UserRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(read_user_lockout, delete_user_lockout))
        .routes(routes!(read_operator_lockout, delete_operator_lockout))
}

fn shown(cx: &Context, lockout: Option<model::lockout::Lockout>) -> Json<Lockout> {
    Json(Lockout {
        failures: lockout.map_or(0, |lockout| lockout.failures),
        locked_until: lockout.and_then(|lockout| lockout.until(cx.now())),
    })
}

/// Read the lock-out of a user
///
/// Who failed to sign in ten times in a row waits for 5 minutes.
#[utoipa::path(get, path = "/v1/users/{user}/lockout", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses((status = 200, description = "The failures", body = Lockout)))]
async fn read_user_lockout(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<Json<Lockout>> {
    Ok(shown(&cx, app::lockouts::read(&cx, &Whose::User(user)).await?))
}

/// Lift the lock-out of a user
///
/// For administrators: the user may try again at once.
#[utoipa::path(delete, path = "/v1/users/{user}/lockout", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses((status = 204, description = "Lifted")))]
async fn delete_user_lockout(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<StatusCode> {
    app::lockouts::delete(&cx, &Whose::User(user)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read the lock-out of an operator
#[utoipa::path(get, path = "/v1/operators/{id}/lockout", tag = "operators",
    params(("id" = OperatorId, Path, description = "Id of the operator")),
    responses((status = 200, description = "The failures", body = Lockout)))]
async fn read_operator_lockout(cx: Context, Named(id): Named<OperatorId>) -> Result<Json<Lockout>> {
    Ok(shown(&cx, app::lockouts::read(&cx, &Whose::Operator(id)).await?))
}

/// Lift the lock-out of an operator
#[utoipa::path(delete, path = "/v1/operators/{id}/lockout", tag = "operators",
    params(("id" = OperatorId, Path, description = "Id of the operator")),
    responses((status = 204, description = "Lifted")))]
async fn delete_operator_lockout(cx: Context, Named(id): Named<OperatorId>) -> Result<StatusCode> {
    app::lockouts::delete(&cx, &Whose::Operator(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
