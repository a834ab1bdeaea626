//! `/v1/me`

use axum::http::StatusCode;
use umail_api_types::me::{Me, PasswordChange};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::State,
    error::Result,
    http::extract::{Confined, Json},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(read_me)).routes(routes!(update_my_password))
}

/// Who am I
#[utoipa::path(get, path = "/v1/me", tag = "me",
    responses((status = 200, description = "The caller", body = Me)))]
async fn read_me(Confined(cx): Confined) -> Result<Json<Me>> {
    Ok(Json(app::me::read(&cx).await?))
}

/// Change my password
///
/// Ends all other sessions of the caller.
#[utoipa::path(put, path = "/v1/me/password", tag = "me", request_body = PasswordChange,
    responses((status = 204, description = "Changed")))]
async fn update_my_password(
    Confined(cx): Confined,
    Json(change): Json<PasswordChange>,
) -> Result<StatusCode> {
    app::me::update_password(&cx, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
