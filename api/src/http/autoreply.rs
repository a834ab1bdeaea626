//! `/v1/users/{user}/autoreply`

use umail_api_types::autoreply::Autoreply;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Parsed, Tagged},
    model::{self, user::UserRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(read_autoreply, update_autoreply))
}

fn tagged(reply: model::autoreply::Autoreply) -> Tagged<Autoreply> {
    let body = Autoreply {
        enabled: reply.is_enabled,
        subject: reply.subject,
        text: reply.text,
        starts_at: reply.starts_at,
        ends_at: reply.ends_at,
    };
    Tagged(reply.revision, body)
}

/// Read what is answered for a user who is away
#[utoipa::path(get, path = "/v1/users/{user}/autoreply", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses((status = 200, description = "The automatic reply", body = Autoreply)))]
async fn read_autoreply(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<Tagged<Autoreply>> {
    Ok(tagged(app::autoreply::read(&cx, &user).await?))
}

/// Have mail of a user answered
///
/// A sender is answered once in seven days, or when there is something else to say. Mail of lists and
/// machines is not answered, nor is mail that does not name an address of the user.
#[utoipa::path(put, path = "/v1/users/{user}/autoreply", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user"), IfMatch),
    request_body = Autoreply,
    responses((status = 200, description = "The automatic reply now", body = Autoreply)))]
async fn update_autoreply(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    IfMatch(precondition): IfMatch,
    Json(new): Json<Autoreply>,
) -> Result<Tagged<Autoreply>> {
    Ok(tagged(app::autoreply::update(&cx, &user, precondition, new).await?))
}
