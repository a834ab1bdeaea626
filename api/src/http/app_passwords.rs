//! `/v1/users/{user}/app_passwords`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    app_passwords::{AppPassword, AppPasswordCreated, NewAppPassword},
    functions::names,
    page::{Page, PageQuery},
};
use umail_proto::ids::CredentialId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{Json, Named, Pages, Parsed},
    model::{self, credential::protocols, user::UserRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_app_passwords, create_app_password))
        .routes(routes!(delete_app_password))
}

impl From<model::credential::AppPassword> for AppPassword {
    fn from(app_password: model::credential::AppPassword) -> Self {
        Self {
            id: app_password.id,
            label: app_password.label,
            functions: names(protocols(app_password.functions)),
            expires_at: app_password.expires_at,
            created_at: app_password.created_at,
            last_used_at: app_password.last_used_at,
            last_client_address: app_password.last_client_address,
        }
    }
}

/// List the app passwords of a user
#[utoipa::path(get, path = "/v1/users/{user}/app_passwords", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user"), PageQuery),
    responses((status = 200, description = "A page of app passwords", body = Page<AppPassword>)))]
async fn list_app_passwords(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<AppPassword>>)> {
    let app_passwords = app::app_passwords::list(&cx, &user, pages.wanted()).await?;
    Ok(pages.answer(app_passwords, |one| one.id.uuid(), AppPassword::from))
}

/// Make an app password
///
/// The password is made by the server and shown in this answer only. It signs in to the protocols
/// that it is good for, and nowhere else. For each of them a user has 8 at most. A user without the
/// function `app_passwords` makes none (409), and those that there are rest.
#[utoipa::path(post, path = "/v1/users/{user}/app_passwords", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    request_body = NewAppPassword,
    responses((status = 201, description = "Made", body = AppPasswordCreated)))]
async fn create_app_password(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
    Json(new): Json<NewAppPassword>,
) -> Result<(StatusCode, Json<AppPasswordCreated>)> {
    let (app_password, password) = app::app_passwords::create(&cx, &user, new).await?;
    let created = AppPasswordCreated { app_password: app_password.into(), password };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Remove an app password
#[utoipa::path(delete, path = "/v1/users/{user}/app_passwords/{id}", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user"),
        ("id" = CredentialId, Path, description = "Id of the app password")),
    responses((status = 204, description = "Removed")))]
async fn delete_app_password(
    cx: Context,
    Named(path): Named<(Parsed<UserRef>, CredentialId)>,
) -> Result<StatusCode> {
    let (Parsed(user), id) = path;
    app::app_passwords::delete(&cx, &user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
