//! `/v1/domains`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    domains::{Domain, DomainFilter, DomainPatch, DomainQuery, NewDomain},
    functions::names,
    page::{Page, PageQuery},
    problem::Problem,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Pages, Parsed, Query, Tagged},
    model::{self, domain::DomainRef},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_domains, create_domain))
        .routes(routes!(read_domain, update_domain, delete_domain))
        .routes(routes!(restore_domain))
        .routes(routes!(purge_domain))
}

impl From<model::domain::Domain> for Domain {
    fn from(domain: model::domain::Domain) -> Self {
        Self {
            id: domain.id,
            name: domain.name.to_string(),
            status: domain.status,
            functions: names(domain.functions),
            catch_all: domain.catch_all.map(|address| address.to_string()),
            deferred_until: domain.deferred_until,
            deleted_at: domain.deletion.map(|one| one.deleted_at),
            purge_at: domain.deletion.map(|one| one.purge_at),
            created_at: domain.created_at,
            updated_at: domain.updated_at,
        }
    }
}

fn tagged(domain: model::domain::Domain) -> Tagged<Domain> {
    Tagged(domain.revision, domain.into())
}

/// List domains
///
/// Those of your scope.
#[utoipa::path(get, path = "/v1/domains", tag = "domains", params(DomainFilter, PageQuery),
    responses((status = 200, description = "A page of domains", body = Page<Domain>)))]
async fn list_domains(
    cx: Context,
    pages: Pages<DomainFilter>,
) -> Result<(HeaderMap, axum::Json<Page<Domain>>)> {
    let domains = app::domains::list(&cx, &pages.filter, pages.wanted()).await?;
    Ok(pages.answer(domains, |one| one.id.uuid(), Domain::from))
}

/// Add a domain
///
/// Mail for it is accepted as soon as the nodes have learnt of it, within a second.
#[utoipa::path(post, path = "/v1/domains", tag = "domains", request_body = NewDomain,
    responses((status = 201, description = "Added", body = Domain)))]
async fn create_domain(
    cx: Context,
    Json(new): Json<NewDomain>,
) -> Result<(StatusCode, Tagged<Domain>)> {
    Ok((StatusCode::CREATED, tagged(app::domains::create(&cx, new).await?)))
}

/// Read a domain
#[utoipa::path(get, path = "/v1/domains/{domain}", tag = "domains",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    responses((status = 200, description = "The domain", body = Domain)))]
async fn read_domain(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
) -> Result<Tagged<Domain>> {
    Ok(tagged(app::domains::read(&cx, &domain).await?))
}

/// Change a domain
///
/// Name, status and functions are for system administrators. With a new name all addresses in the
/// domain change at once, and no mail moves. The old name stays as a domain alias, so that mail and
/// programs that know it go on, unless `keep_old_name=false`. Aliases, forwardings and the catch-all
/// of the domain that lead to its old addresses lead to the new ones; those of other domains stay as
/// they are. A domain alias of the domain can become its name.
#[utoipa::path(patch, path = "/v1/domains/{domain}", tag = "domains",
    params(("domain" = String, Path, description = "Id or name of the domain"), IfMatch,
        DomainQuery),
    request_body(content = DomainPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Domain)))]
async fn update_domain(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    IfMatch(precondition): IfMatch,
    Query(query): Query<DomainQuery>,
    Json(patch): Json<DomainPatch>,
) -> Result<Tagged<Domain>> {
    let keep_old_name = query.keep_old_name.unwrap_or(true);
    Ok(tagged(app::domains::update(&cx, &domain, precondition, patch, keep_old_name).await?))
}

/// Delete a domain
///
/// With all in it: mail is refused and nobody signs in. The name stays taken, and the domain can be
/// restored, until its grace time ends (`deleted_grace_days` of the settings).
#[utoipa::path(delete, path = "/v1/domains/{domain}", tag = "domains",
    params(("domain" = String, Path, description = "Id or name of the domain"), IfMatch),
    responses((status = 204, description = "Deleted")))]
async fn delete_domain(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    app::domains::delete(&cx, &domain, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restore a domain
///
/// Takes back its deletion, within its grace time; its users and all else in it are there again. A
/// domain that was not deleted is left as it is.
#[utoipa::path(post, path = "/v1/domains/{domain}/restore", tag = "domains",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    responses(
        (status = 200, description = "Restored", body = Domain),
        (status = 409, description = "The grace time has ended", body = Problem,
            content_type = "application/problem+json")))]
async fn restore_domain(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
) -> Result<Tagged<Domain>> {
    Ok(tagged(app::domains::restore(&cx, &domain).await?))
}

/// Purge a domain
///
/// Ends the grace time of a domain that was deleted. Its mailboxes are removed from their nodes,
/// then its users and all else in it, and its name is free again: it is gone when it can no longer
/// be listed. For system administrators.
#[utoipa::path(post, path = "/v1/domains/{domain}/purge", tag = "domains",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    responses(
        (status = 202, description = "It will be removed", body = Domain),
        (status = 409, description = "It was not deleted", body = Problem,
            content_type = "application/problem+json")))]
async fn purge_domain(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
) -> Result<(StatusCode, Tagged<Domain>)> {
    Ok((StatusCode::ACCEPTED, tagged(app::domains::purge(&cx, &domain).await?)))
}
