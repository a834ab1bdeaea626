//! `/v1/users/{user}/compromised`

use umail_api_types::{operations::Operation, problem::Problem};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::{
        extract::{Named, Parsed},
        operations::Accepted,
    },
    model::user::UserRef,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(secure_account))
}

/// Secure a compromised account
///
/// Locks the user, ends all sessions, and removes the password and all app passwords, at once. Then
/// every node ends its sessions of the user, and holds what is queued in the user's name; the
/// operation tells of each node whether it has, and goes on until all have. Afterwards give the
/// user a new password, and the status `active`; what is on hold stays so until it is released or
/// deleted. Whoever may do this may read the operation.
#[utoipa::path(post, path = "/v1/users/{user}/compromised", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses(
        (status = 202, description = "Nobody signs in any more; nodes are at work",
            body = Operation),
        (status = 409, description = "The account is being secured already", body = Problem,
            content_type = "application/problem+json")))]
async fn secure_account(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<Accepted> {
    Ok(Accepted(app::compromised::start(&cx, &user).await?))
}
