//! `/v1/domains/{domain}/domain_aliases` and `/v1/domain_aliases`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    domain_aliases::{DomainAlias, NewDomainAlias},
    page::{Page, PageQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{Json, Named, Pages, Parsed},
    model::{self, domain::DomainRef, domain_alias::DomainAliasRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_domain_aliases, create_domain_alias))
        .routes(routes!(read_domain_alias, delete_domain_alias))
}

impl From<model::domain_alias::DomainAlias> for DomainAlias {
    fn from(alias: model::domain_alias::DomainAlias) -> Self {
        Self {
            id: alias.id,
            domain_id: alias.domain_id,
            name: alias.name.to_string(),
            created_at: alias.created_at,
        }
    }
}

/// List the other names of a domain
#[utoipa::path(get, path = "/v1/domains/{domain}/domain_aliases", tag = "domain_aliases",
    params(("domain" = String, Path, description = "Id or name of the domain"), PageQuery),
    responses((status = 200, description = "A page of domain aliases", body = Page<DomainAlias>)))]
async fn list_domain_aliases(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<DomainAlias>>)> {
    let aliases = app::domain_aliases::list(&cx, &domain, pages.wanted()).await?;
    Ok(pages.answer(aliases, |one| one.id.uuid(), DomainAlias::from))
}

/// Add another name to a domain
///
/// Every address of the domain gets mail under this name, may be sent from, and is good for signing
/// in to the mail services; so are addresses that are added later. The status of the domain, its
/// catch-all and its limits hold. For system administrators, as adding domains is.
#[utoipa::path(post, path = "/v1/domains/{domain}/domain_aliases", tag = "domain_aliases",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    request_body = NewDomainAlias,
    responses((status = 201, description = "Added", body = DomainAlias)))]
async fn create_domain_alias(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    Json(new): Json<NewDomainAlias>,
) -> Result<(StatusCode, Json<DomainAlias>)> {
    let alias = app::domain_aliases::create(&cx, &domain, new).await?;
    Ok((StatusCode::CREATED, Json(alias.into())))
}

/// Read a domain alias
#[utoipa::path(get, path = "/v1/domain_aliases/{domain_alias}", tag = "domain_aliases",
    params(("domain_alias" = String, Path, description = "Id or name of the domain alias")),
    responses((status = 200, description = "The domain alias", body = DomainAlias)))]
async fn read_domain_alias(
    cx: Context,
    Named(Parsed(alias)): Named<Parsed<DomainAliasRef>>,
) -> Result<Json<DomainAlias>> {
    Ok(Json(app::domain_aliases::read(&cx, &alias).await?.into()))
}

/// Remove another name from its domain
///
/// Mail to it is refused, and the name is free for other domains. For system administrators.
#[utoipa::path(delete, path = "/v1/domain_aliases/{domain_alias}", tag = "domain_aliases",
    params(("domain_alias" = String, Path, description = "Id or name of the domain alias")),
    responses((status = 204, description = "Removed")))]
async fn delete_domain_alias(
    cx: Context,
    Named(Parsed(alias)): Named<Parsed<DomainAliasRef>>,
) -> Result<StatusCode> {
    app::domain_aliases::delete(&cx, &alias).await?;
    Ok(StatusCode::NO_CONTENT)
}
