//! `/v1/users/{user}/entitlements`

use umail_api_types::entitlements::Entitlements;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{Json, Named, Parsed},
    model::user::UserRef,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(read_entitlements))
}

/// Read what a user really may
///
/// Each value with the level that set it: domain, departments, plan and user only narrow one
/// another.
#[utoipa::path(get, path = "/v1/users/{user}/entitlements", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses((status = 200, description = "Every value that holds", body = Entitlements)))]
async fn read_entitlements(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<Json<Entitlements>> {
    Ok(Json(app::entitlements::read(&cx, &user).await?))
}
