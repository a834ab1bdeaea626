//! `/v1/users/{user}/moves`

use umail_api_types::{
    operations::{NewMove, Operation},
    problem::Problem,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::{
        extract::{Json, Named, Parsed},
        operations::Accepted,
    },
    model::user::UserRef,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(move_mailbox))
}

/// Move the mailbox of a user
///
/// The user goes on working; deliveries and logins fail temporarily for a moment before the end.
/// No mail is lost. If the move fails, the mailbox stays where it was.
#[utoipa::path(post, path = "/v1/users/{user}/moves", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    request_body = NewMove,
    responses(
        (status = 202, description = "The move has begun", body = Operation),
        (status = 409, description = "The mailbox is there already, or is being moved",
            body = Problem, content_type = "application/problem+json")))]
async fn move_mailbox(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    Json(to): Json<NewMove>,
) -> Result<Accepted> {
    Ok(Accepted(app::moves::start(&cx, &user, &to.storage_node).await?))
}
