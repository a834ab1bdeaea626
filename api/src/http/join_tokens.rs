//! `/v1/join_tokens`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    join_tokens::{JoinToken, MadeJoinToken, NewJoinToken},
    page::{Page, PageQuery},
};
use umail_proto::ids::JoinTokenId;
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
        .routes(routes!(list_join_tokens, create_join_token))
        .routes(routes!(delete_join_token))
}

impl From<model::join_token::JoinToken> for JoinToken {
    fn from(token: model::join_token::JoinToken) -> Self {
        Self {
            id: token.id,
            node_name: token.node_name,
            roles: token.roles,
            expires_at: token.expires_at,
            used_at: token.used_at,
            created_at: token.created_at,
        }
    }
}

/// List join tokens
///
/// Their texts are not shown, nor known.
#[utoipa::path(get, path = "/v1/join_tokens", tag = "join_tokens", params(PageQuery),
    responses((status = 200, description = "A page of join tokens", body = Page<JoinToken>)))]
async fn list_join_tokens(
    cx: Context,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<JoinToken>>)> {
    let tokens = app::join_tokens::list(&cx, pages.wanted()).await?;
    Ok(pages.answer(tokens, |one| one.id.uuid(), JoinToken::from))
}

/// Make a join token
///
/// Hand it to the machine: `umail-agent join --token … --name … --ca-fingerprint …`. It can be
/// used once.
#[utoipa::path(post, path = "/v1/join_tokens", tag = "join_tokens", request_body = NewJoinToken,
    responses(
        (status = 201, description = "Made; its text is shown only here", body = MadeJoinToken)))]
async fn create_join_token(
    cx: Context,
    Json(new): Json<NewJoinToken>,
) -> Result<(StatusCode, Json<MadeJoinToken>)> {
    let (made, token) = app::join_tokens::create(&cx, new).await?;
    let made = MadeJoinToken {
        id: made.id,
        token,
        ca_fingerprint: cx.state().authority().fingerprint(),
        node_name: made.node_name,
        roles: made.roles,
        expires_at: made.expires_at,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Remove a join token
///
/// A node that it made stays.
#[utoipa::path(delete, path = "/v1/join_tokens/{id}", tag = "join_tokens",
    params(("id" = JoinTokenId, Path, description = "Id of the join token")),
    responses((status = 204, description = "Removed")))]
async fn delete_join_token(cx: Context, Named(id): Named<JoinTokenId>) -> Result<StatusCode> {
    app::join_tokens::delete(&cx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
