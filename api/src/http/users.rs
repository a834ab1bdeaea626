//! `/v1/domains/{domain}/users` and `/v1/users`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    functions::names,
    page::{Page, PageQuery},
    problem::Problem,
    users::{NewPassword, NewUser, Profile, RenameQuery, User, UserFilter, UserPatch},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{self, users::Change},
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Pages, Parsed, Query, Tagged},
    model::{self, domain::DomainRef, user::UserRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_users, create_user))
        .routes(routes!(read_user, update_user, delete_user))
        .routes(routes!(update_user_password))
        .routes(routes!(restore_user))
        .routes(routes!(purge_user))
}

impl From<model::user::User> for User {
    fn from(user: model::user::User) -> Self {
        let (storage_node_id, storage_node) = user.storage_node.unzip();
        Self {
            id: user.id,
            address: user.address.to_string(),
            domain_id: user.domain_id,
            department_id: user.department_id,
            display_name: user.display_name,
            profile: user.profile.into(),
            status: user.status,
            functions: names(user.functions),
            plan_id: user.plan_id,
            quota_bytes: user.quota,
            storage_node_id,
            storage_node,
            moving: user.moving,
            deleted_at: user.deletion.map(|one| one.deleted_at),
            purge_at: user.deletion.map(|one| one.purge_at),
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

impl From<model::profile::Profile> for Profile {
    fn from(profile: model::profile::Profile) -> Self {
        Self {
            given_name: profile.given_name,
            family_name: profile.family_name,
            employee_number: profile.employee_number,
            title: profile.title,
            phone: profile.phone,
            locale: profile.locale,
            time_zone: profile.time_zone,
            external_id: profile.external_id,
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
/// Users change their own display name, and of the profile their names, phone, locale and time zone.
#[utoipa::path(patch, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user"), RenameQuery, IfMatch),
    request_body(content = UserPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = User)))]
async fn update_user(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    Query(query): Query<RenameQuery>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<UserPatch>,
) -> Result<Tagged<User>> {
    let change = Change { precondition, patch, leave_alias: query.leave_alias.unwrap_or(true) };
    Ok(tagged(app::users::update(&cx, &user, change).await?))
}

/// Delete a user
///
/// Mail is refused and nobody signs in. The address stays taken, and the user can be restored, until
/// the grace time ends (`deleted_grace_days` of the settings).
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
/// For administrators; ends all sessions of the user, who has to change it at the next sign-in
/// (403, `urn:umail:problem:password-change-required`) unless `must_change` is false. Users change their own password at
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

/// Restore a user
///
/// Takes back the deletion, within its grace time: mail arrives again, and what was in the mailbox
/// is there. For whoever may delete the user. A user who was not deleted is left as is.
#[utoipa::path(post, path = "/v1/users/{user}/restore", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses(
        (status = 200, description = "Restored", body = User),
        (status = 409, description = "The grace time has ended", body = Problem,
            content_type = "application/problem+json")))]
async fn restore_user(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<Tagged<User>> {
    Ok(tagged(app::users::restore(&cx, &user).await?))
}

/// Purge a user
///
/// Ends the grace time of a user who was deleted. The mailbox is removed from its node, then the
/// user, and the address is free again: the user is gone when it can no longer be listed. For
/// system administrators.
#[utoipa::path(post, path = "/v1/users/{user}/purge", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses(
        (status = 202, description = "It will be removed", body = User),
        (status = 409, description = "It was not deleted", body = Problem,
            content_type = "application/problem+json")))]
async fn purge_user(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<(StatusCode, Tagged<User>)> {
    Ok((StatusCode::ACCEPTED, tagged(app::users::purge(&cx, &user).await?)))
}
