//! `/v1/domains/{domain}/users` and `/v1/users`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    functions::names,
    page::{Page, PageQuery},
    problem::Problem,
    users::{NewPassword, NewUser, User, UserFilter, UserPatch},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Pages, Parsed, Tagged},
    model::{self, domain::DomainRef, user::UserRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_users, create_user))
        .routes(routes!(read_user, update_user, delete_user))
        .routes(routes!(update_user_password))
}

impl From<model::user::User> for User {
    fn from(user: model::user::User) -> Self {
        let (storage_node_id, storage_node) = user.storage_node.unzip();
        let [
            message_size_bytes,
            messages_per_hour,
            messages_per_day,
            recipients_per_hour,
            recipients_per_day,
        ] = user.sending.0;
        Self {
            id: user.id,
            address: user.address.to_string(),
            domain_id: user.domain_id,
            department_id: user.department_id,
            display_name: user.display_name,
            status: user.status,
            functions: names(user.functions),
            plan_id: user.plan_id,
            quota_bytes: user.quota,
            message_size_bytes,
            messages_per_hour,
            messages_per_day,
            recipients_per_hour,
            recipients_per_day,
            storage_node_id,
            storage_node,
            moving: user.moving,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

fn tagged(user: model::user::User) -> Tagged<User> {
    Tagged(user.revision, user.into())
}

/// List the users of a domain
///
/// Those of your scope.
#[utoipa::path(get, path = "/v1/domains/{domain}/users", tag = "users",
    params(("domain" = String, Path, description = "Id or name of the domain"),
        UserFilter, PageQuery),
    responses((status = 200, description = "A page of users", body = Page<User>)))]
async fn list_users(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    pages: Pages<UserFilter>,
) -> Result<(HeaderMap, axum::Json<Page<User>>)> {
    let users = app::users::list(&cx, &domain, &pages.filter, pages.wanted()).await?;
    Ok(pages.answer(users, |one| one.id.uuid(), User::from))
}

/// Add a user
///
/// The mailbox is placed on the storage node with the fewest users unless one is named.
#[utoipa::path(post, path = "/v1/domains/{domain}/users", tag = "users",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    request_body = NewUser,
    responses((status = 201, description = "Added", body = User)))]
async fn create_user(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    Json(new): Json<NewUser>,
) -> Result<(StatusCode, Tagged<User>)> {
    Ok((StatusCode::CREATED, tagged(app::users::create(&cx, &domain, new).await?)))
}

/// Read a user
#[utoipa::path(get, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses((status = 200, description = "The user", body = User)))]
async fn read_user(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<Tagged<User>> {
    Ok(tagged(app::users::read(&cx, &user).await?))
}

/// Change a user
///
/// Users change their own display name only.
#[utoipa::path(patch, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user"), IfMatch),
    request_body(content = UserPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = User)))]
async fn update_user(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<UserPatch>,
) -> Result<Tagged<User>> {
    Ok(tagged(app::users::update(&cx, &user, precondition, patch).await?))
}

/// Delete a user
///
/// Mail is refused and nobody signs in. The address stays taken for its grace time.
#[utoipa::path(delete, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user"), IfMatch),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "The mailbox is being moved", body = Problem,
            content_type = "application/problem+json")))]
async fn delete_user(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    app::users::delete(&cx, &user, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reset the password of a user
///
/// For administrators; ends all sessions of the user. Users change their own password at
/// `/v1/me/password`.
#[utoipa::path(put, path = "/v1/users/{user}/password", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    request_body = NewPassword,
    responses((status = 204, description = "Changed")))]
async fn update_user_password(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    Json(new): Json<NewPassword>,
) -> Result<StatusCode> {
    app::users::reset_password(&cx, &user, new).await?;
    Ok(StatusCode::NO_CONTENT)
}
