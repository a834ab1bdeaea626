//! `/v1/api_keys`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    api_keys::{ApiKey, ApiKeyCreated, NewApiKey, Rotation},
    page::{Page, PageQuery},
};
use umail_proto::ids::ApiKeyId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{Json, Named, Pages},
    model,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_api_keys, create_api_key))
        .routes(routes!(read_api_key, delete_api_key))
        .routes(routes!(rotate_api_key))
}

impl From<model::api_key::ApiKey> for ApiKey {
    fn from(key: model::api_key::ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            prefix: key.prefix,
            role: key.scope.role,
            domain_id: key.scope.domain_id,
            department_id: key.scope.department_id,
            read_only: key.scope.read_only,
            login_links: key.scope.login_links,
            networks: key.networks.iter().map(ToString::to_string).collect(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            former_until: key.former_until,
        }
    }
}

/// List my API keys
#[utoipa::path(get, path = "/v1/api_keys", tag = "api_keys",
    params(PageQuery),
    responses((status = 200, description = "A page of API keys", body = Page<ApiKey>)))]
async fn list_api_keys(cx: Context, pages: Pages) -> Result<(HeaderMap, axum::Json<Page<ApiKey>>)> {
    let keys = app::api_keys::list(&cx, pages.wanted()).await?;
    Ok(pages.answer(keys, |one| one.id.uuid(), ApiKey::from))
}

/// Make an API key
///
/// The secret is shown in this answer only. Whoever sends it as `Authorization: Bearer …` acts on
/// your behalf, with those of your rights that the key has, for as long as you have them. A key makes
/// no keys, and has nothing to do with passwords, second factors, sign-ins and operators; login links
/// it makes if it was made with `login_links`.
#[utoipa::path(post, path = "/v1/api_keys", tag = "api_keys", request_body = NewApiKey,
    responses((status = 201, description = "Made", body = ApiKeyCreated)))]
async fn create_api_key(
    cx: Context,
    Json(new): Json<NewApiKey>,
) -> Result<(StatusCode, Json<ApiKeyCreated>)> {
    let (key, secret) = app::api_keys::create(&cx, &new).await?;
    Ok((StatusCode::CREATED, Json(ApiKeyCreated { api_key: key.into(), secret })))
}

/// Read one of my API keys
#[utoipa::path(get, path = "/v1/api_keys/{id}", tag = "api_keys",
    params(("id" = ApiKeyId, Path, description = "Id of the API key")),
    responses((status = 200, description = "The API key", body = ApiKey)))]
async fn read_api_key(cx: Context, Named(id): Named<ApiKeyId>) -> Result<Json<ApiKey>> {
    Ok(Json(app::api_keys::read(&cx, id).await?.into()))
}

/// Revoke one of my API keys
///
/// Within a second nobody acts by it any more.
#[utoipa::path(delete, path = "/v1/api_keys/{id}", tag = "api_keys",
    params(("id" = ApiKeyId, Path, description = "Id of the API key")),
    responses((status = 204, description = "Revoked")))]
async fn delete_api_key(cx: Context, Named(id): Named<ApiKeyId>) -> Result<StatusCode> {
    app::api_keys::delete(&cx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give one of my API keys a new secret
///
/// The secret is shown in this answer only. The one before stays good for a while, so that whoever
/// uses it can change over; one that was still good from an earlier rotation ends at once.
#[utoipa::path(post, path = "/v1/api_keys/{id}/rotate", tag = "api_keys", request_body = Rotation,
    params(("id" = ApiKeyId, Path, description = "Id of the API key")),
    responses((status = 200, description = "The new secret", body = ApiKeyCreated)))]
async fn rotate_api_key(
    cx: Context,
    Named(id): Named<ApiKeyId>,
    Json(rotation): Json<Rotation>,
) -> Result<Json<ApiKeyCreated>> {
    let (key, secret) = app::api_keys::rotate(&cx, id, &rotation).await?;
    Ok(Json(ApiKeyCreated { api_key: key.into(), secret }))
}
