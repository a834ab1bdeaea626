//! `/v1/sessions`

use axum::http::StatusCode;
use umail_api_types::sessions::{NewSession, RefreshSession, Session};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{Json, Public},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(create_session))
        .routes(routes!(refresh_session))
        .routes(routes!(delete_current_session))
}

/// Sign in
///
/// With the name of an operator or the address of a user. The access token is good for 15
/// minutes, the refresh token gets the next one.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", security(()),
    request_body = NewSession,
    responses((status = 201, description = "Signed in", body = Session)))]
async fn create_session(
    Public(cx): Public,
    Json(new): Json<NewSession>,
) -> Result<(StatusCode, Json<Session>)> {
    Ok((StatusCode::CREATED, Json(app::sessions::create(&cx, new).await?)))
}

/// Stay signed in
///
/// Each refresh token is good once. One that is shown again ends the session.
#[utoipa::path(post, path = "/v1/sessions/refresh", tag = "sessions", security(()),
    request_body = RefreshSession,
    responses((status = 200, description = "The next tokens", body = Session)))]
async fn refresh_session(
    Public(cx): Public,
    Json(body): Json<RefreshSession>,
) -> Result<Json<Session>> {
    Ok(Json(app::sessions::refresh(&cx, &body.refresh_token).await?))
}

/// Sign out
#[utoipa::path(delete, path = "/v1/sessions/current", tag = "sessions",
    responses((status = 204, description = "Signed out")))]
async fn delete_current_session(cx: Context) -> Result<StatusCode> {
    app::sessions::delete_current(&cx).await?;
    Ok(StatusCode::NO_CONTENT)
}
