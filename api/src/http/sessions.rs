//! `/v1/sessions`, and `/v1/…/sessions` of whoever is signed in

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    page::{Page, PageQuery},
    sessions::{Means, NewSession, RefreshSession, Session, SignIn},
};
use umail_proto::ids::{OperatorId, SessionId};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{self, sessions::Whose},
    context::{Context, State},
    error::Result,
    http::extract::{Confined, Json, Named, Pages, Parsed, Peer, Public},
    model::{self, user::UserRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(create_session))
        .routes(routes!(refresh_session))
        .routes(routes!(delete_current_session))
        .routes(routes!(list_my_sessions, delete_my_sessions))
        .routes(routes!(delete_my_session))
        .routes(routes!(list_user_sessions, delete_user_sessions))
        .routes(routes!(delete_user_session))
        .routes(routes!(list_operator_sessions, delete_operator_sessions))
        .routes(routes!(delete_operator_session))
}

fn shown(cx: &Context) -> impl Fn(model::session::SignIn) -> SignIn {
    let current = cx.session();
    move |session| SignIn {
        id: session.id,
        is_current: Some(session.id) == current,
        means: session.made_by.map_or(Means::Password, |_| Means::LoginLink),
        made_by: session.made_by,
        client_address: session.client_address,
        user_agent: session.user_agent,
        created_at: session.created_at,
        last_used_at: session.last_used_at,
        expires_at: session.expires_at,
    }
}

/// Sign in
///
/// With the name of an operator or the address of a user. The access token is good for 15
/// minutes, the refresh token gets the next one. Who has a second factor is asked for a code as
/// well (401, `urn:umail:problem:totp-required`). Ten failures in a row, and the name waits for 5
/// minutes.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", security(()),
    request_body = NewSession,
    responses((status = 201, description = "Signed in", body = Session)))]
async fn create_session(
    Public(cx): Public,
    Peer(client): Peer,
    Json(new): Json<NewSession>,
) -> Result<(StatusCode, Json<Session>)> {
    Ok((StatusCode::CREATED, Json(app::sessions::create(&cx, &client, new).await?)))
}

/// Stay signed in
///
/// Each refresh token is good once. One that is shown again ends the session.
#[utoipa::path(post, path = "/v1/sessions/refresh", tag = "sessions", security(()),
    request_body = RefreshSession,
    responses((status = 200, description = "The next tokens", body = Session)))]
async fn refresh_session(
    Public(cx): Public,
    Peer(client): Peer,
    Json(body): Json<RefreshSession>,
) -> Result<Json<Session>> {
    Ok(Json(app::sessions::refresh(&cx, &client, &body.refresh_token).await?))
}

/// Sign out
#[utoipa::path(delete, path = "/v1/sessions/current", tag = "sessions",
    responses((status = 204, description = "Signed out")))]
async fn delete_current_session(Confined(cx): Confined) -> Result<StatusCode> {
    app::sessions::delete_current(&cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List my sessions
#[utoipa::path(get, path = "/v1/me/sessions", tag = "sessions",
    params(PageQuery),
    responses((status = 200, description = "A page of sessions", body = Page<SignIn>)))]
async fn list_my_sessions(
    cx: Context,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<SignIn>>)> {
    let sessions = app::sessions::list(&cx, &Whose::Own, pages.wanted()).await?;
    Ok(pages.answer(sessions, |one| one.id.uuid(), shown(&cx)))
}

/// End all of my sessions
///
/// This one ends, too.
#[utoipa::path(delete, path = "/v1/me/sessions", tag = "sessions",
    responses((status = 204, description = "Ended")))]
async fn delete_my_sessions(cx: Context) -> Result<StatusCode> {
    app::sessions::delete_all(&cx, &Whose::Own).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End one of my sessions
#[utoipa::path(delete, path = "/v1/me/sessions/{id}", tag = "sessions",
    params(("id" = SessionId, Path, description = "Id of the session")),
    responses((status = 204, description = "Ended")))]
async fn delete_my_session(cx: Context, Named(id): Named<SessionId>) -> Result<StatusCode> {
    app::sessions::delete(&cx, &Whose::Own, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List a user's sessions
#[utoipa::path(get, path = "/v1/users/{user}/sessions", tag = "sessions",
    params(("user" = String, Path, description = "Id or address of the user"), PageQuery),
    responses((status = 200, description = "A page of sessions", body = Page<SignIn>)))]
async fn list_user_sessions(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<SignIn>>)> {
    let sessions = app::sessions::list(&cx, &Whose::User(user), pages.wanted()).await?;
    Ok(pages.answer(sessions, |one| one.id.uuid(), shown(&cx)))
}

/// End all of a user's sessions
///
/// Signs the user out everywhere, within a second. Mail clients stay signed in.
#[utoipa::path(delete, path = "/v1/users/{user}/sessions", tag = "sessions",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses((status = 204, description = "Ended")))]
async fn delete_user_sessions(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<StatusCode> {
    app::sessions::delete_all(&cx, &Whose::User(user)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End one of a user's sessions
#[utoipa::path(delete, path = "/v1/users/{user}/sessions/{id}", tag = "sessions",
    params(("user" = String, Path, description = "Id or address of the user"), ("id" = SessionId, Path, description = "Id of the session")),
    responses((status = 204, description = "Ended")))]
async fn delete_user_session(
    cx: Context,
    Named(path): Named<(Parsed<UserRef>, SessionId)>,
) -> Result<StatusCode> {
    let (Parsed(user), id) = path;
    app::sessions::delete(&cx, &Whose::User(user), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List an operator's sessions
#[utoipa::path(get, path = "/v1/operators/{id}/sessions", tag = "sessions",
    params(("id" = OperatorId, Path, description = "Id of the operator"), PageQuery),
    responses((status = 200, description = "A page of sessions", body = Page<SignIn>)))]
async fn list_operator_sessions(
    cx: Context,
    Named(id): Named<OperatorId>,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<SignIn>>)> {
    let sessions = app::sessions::list(&cx, &Whose::Operator(id), pages.wanted()).await?;
    Ok(pages.answer(sessions, |one| one.id.uuid(), shown(&cx)))
}

/// End all of an operator's sessions
///
/// Signs the operator out everywhere, within a second.
#[utoipa::path(delete, path = "/v1/operators/{id}/sessions", tag = "sessions",
    params(("id" = OperatorId, Path, description = "Id of the operator")),
    responses((status = 204, description = "Ended")))]
async fn delete_operator_sessions(cx: Context, Named(id): Named<OperatorId>) -> Result<StatusCode> {
    app::sessions::delete_all(&cx, &Whose::Operator(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End one of an operator's sessions
#[utoipa::path(delete, path = "/v1/operators/{id}/sessions/{session}", tag = "sessions",
    params(("id" = OperatorId, Path, description = "Id of the operator"), ("session" = SessionId, Path, description = "Id of the session")),
    responses((status = 204, description = "Ended")))]
async fn delete_operator_session(
    cx: Context,
    Named((operator, id)): Named<(OperatorId, SessionId)>,
) -> Result<StatusCode> {
    app::sessions::delete(&cx, &Whose::Operator(operator), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
