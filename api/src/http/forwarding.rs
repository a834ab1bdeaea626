//! `/v1/users/{user}/forwarding`

use umail_api_types::users::Forwarding;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Parsed, Tagged},
    model::{alias::Alias, user::UserRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(read_forwarding, update_forwarding))
}

fn tagged(forwarding: Option<Alias>) -> Tagged<Forwarding> {
    let Some(alias) = forwarding else {
        return Tagged(0, Forwarding { targets: Vec::new(), keep_copy: true });
    };
    let targets = alias.targets.iter().map(ToString::to_string).collect();
    Tagged(alias.revision, Forwarding { targets, keep_copy: alias.keep_copy })
}

/// Read where mail of a user is forwarded to
#[utoipa::path(get, path = "/v1/users/{user}/forwarding", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses((status = 200, description = "The forwarding", body = Forwarding)))]
async fn read_forwarding(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<Tagged<Forwarding>> {
    Ok(tagged(app::forwarding::read(&cx, &user).await?))
}

/// Forward mail of a user
///
/// No targets end the forwarding.
#[utoipa::path(put, path = "/v1/users/{user}/forwarding", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user"), IfMatch),
    request_body = Forwarding,
    responses((status = 200, description = "The forwarding now", body = Forwarding)))]
async fn update_forwarding(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    IfMatch(precondition): IfMatch,
    Json(forwarding): Json<Forwarding>,
) -> Result<Tagged<Forwarding>> {
    Ok(tagged(app::forwarding::update(&cx, &user, precondition, forwarding).await?))
}
