//! `/v1/users/{user}/login_links`, and `/v1/sessions/login_link`, where they are redeemed

use axum::http::StatusCode;
use umail_api_types::{
    login_links::{LoginLinkCreated, LoginLinkRedemption, NewLoginLink},
    sessions::Session,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{Json, Named, Parsed, Peer, Public},
    model::user::UserRef,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(create_login_link)).routes(routes!(redeem_login_link))
}

/// Make a login link for a user
///
/// For a portal that knows the user by its own means: whoever sends the link to `POST
/// /v1/sessions/login_link` is signed in as the user, once, within a minute unless another lifetime is
/// said. Made by whoever may set the user's password, and by their API keys that were made with
/// `login_links`. A user has 10 links at a time at most. A user without the function `sso` (409) gets
/// none.
#[utoipa::path(post, path = "/v1/users/{user}/login_links", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    request_body = NewLoginLink,
    responses((status = 201, description = "Made", body = LoginLinkCreated)))]
async fn create_login_link(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    Json(new): Json<NewLoginLink>,
) -> Result<(StatusCode, Json<LoginLinkCreated>)> {
    let (link, secret) = app::login_links::create(&cx, &user, &new).await?;
    let created = LoginLinkCreated {
        id: link.id,
        user_id: link.user_id,
        login_link: secret,
        expires_at: link.expires_at,
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Sign in by a login link
///
/// Who has a second factor is asked for a code as well (401, `urn:umail:problem:totp-required`), and
/// the link stays good meanwhile. The session lasts for 12 hours, and has nothing to do with passwords,
/// app passwords, second factors, API keys and more login links. It ends with the API key that the
/// link was made with. A link that is not good is not told apart from one that never was (401).
#[utoipa::path(post, path = "/v1/sessions/login_link", tag = "sessions", security(()),
    request_body = LoginLinkRedemption,
    responses((status = 201, description = "Signed in", body = Session)))]
async fn redeem_login_link(
    Public(cx): Public,
    Peer(client): Peer,
    Json(asked): Json<LoginLinkRedemption>,
) -> Result<(StatusCode, Json<Session>)> {
    Ok((StatusCode::CREATED, Json(app::login_links::redeem(&cx, &client, &asked).await?)))
}
