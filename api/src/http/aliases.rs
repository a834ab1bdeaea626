//! `/v1/domains/{domain}/aliases` and `/v1/aliases`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    aliases::{Alias, AliasFilter, AliasPatch, NewAlias},
    page::{Page, PageQuery},
};
use umail_proto::ids::AliasId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Pages, Parsed, Tagged},
    model::{self, domain::DomainRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list_aliases, create_alias)).routes(routes!(
        read_alias,
        update_alias,
        delete_alias
    ))
}

impl From<model::alias::Alias> for Alias {
    fn from(alias: model::alias::Alias) -> Self {
        Self {
            id: alias.id,
            domain_id: alias.domain_id,
            address: alias.address.to_string(),
            targets: alias.targets.iter().map(ToString::to_string).collect(),
            user_id: alias.user_id,
            created_at: alias.created_at,
            updated_at: alias.updated_at,
        }
    }
}

fn tagged(alias: model::alias::Alias) -> Tagged<Alias> {
    Tagged(alias.revision, alias.into())
}

/// List the aliases of a domain
#[utoipa::path(get, path = "/v1/domains/{domain}/aliases", tag = "aliases",
    params(("domain" = String, Path, description = "Id or name of the domain"),
        AliasFilter, PageQuery),
    responses((status = 200, description = "A page of aliases", body = Page<Alias>)))]
async fn list_aliases(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    pages: Pages<AliasFilter>,
) -> Result<(HeaderMap, axum::Json<Page<Alias>>)> {
    let aliases = app::aliases::list(&cx, &domain, &pages.filter, pages.wanted()).await?;
    Ok(pages.answer(aliases, |one| one.id.uuid(), Alias::from))
}

/// Add an alias
///
/// A user of the domain who is the only target may send as this address.
#[utoipa::path(post, path = "/v1/domains/{domain}/aliases", tag = "aliases",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    request_body = NewAlias,
    responses((status = 201, description = "Added", body = Alias)))]
async fn create_alias(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    Json(new): Json<NewAlias>,
) -> Result<(StatusCode, Tagged<Alias>)> {
    Ok((StatusCode::CREATED, tagged(app::aliases::create(&cx, &domain, new).await?)))
}

/// Read an alias
#[utoipa::path(get, path = "/v1/aliases/{id}", tag = "aliases",
    params(("id" = AliasId, Path, description = "Id of the alias")),
    responses((status = 200, description = "The alias", body = Alias)))]
async fn read_alias(cx: Context, Named(id): Named<AliasId>) -> Result<Tagged<Alias>> {
    Ok(tagged(app::aliases::read(&cx, id).await?))
}

/// Change an alias
#[utoipa::path(patch, path = "/v1/aliases/{id}", tag = "aliases",
    params(("id" = AliasId, Path, description = "Id of the alias"), IfMatch),
    request_body(content = AliasPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Alias)))]
async fn update_alias(
    cx: Context,
    Named(id): Named<AliasId>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<AliasPatch>,
) -> Result<Tagged<Alias>> {
    Ok(tagged(app::aliases::update(&cx, id, precondition, patch).await?))
}

/// Remove an alias
#[utoipa::path(delete, path = "/v1/aliases/{id}", tag = "aliases",
    params(("id" = AliasId, Path, description = "Id of the alias"), IfMatch),
    responses((status = 204, description = "Removed")))]
async fn delete_alias(
    cx: Context,
    Named(id): Named<AliasId>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    app::aliases::delete(&cx, id, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
