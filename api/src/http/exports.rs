//! `/v1/domains/{domain}/users/export` and `/v1/users/export`

use axum::{body::Body, http::HeaderMap};
use futures_util::stream;
use umail_api_types::imports::ExportQuery;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{self, exports::Export},
    context::{Context, State},
    error::{Error, Result},
    http::{
        extract::{Named, Parsed, Query},
        imports::media,
    },
    model::domain::DomainRef,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(export_domain_users)).routes(routes!(export_users))
}

/// Export the users of a domain
///
/// Those of your scope, as a file that can be imported.
#[utoipa::path(get, path = "/v1/domains/{domain}/users/export", tag = "imports",
    params(("domain" = String, Path, description = "Id or name of the domain"), ExportQuery),
    responses((status = 200, description = "The users", content(
        (String = "text/csv"),
        (String = "application/x-ndjson")))))]
async fn export_domain_users(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    Query(query): Query<ExportQuery>,
) -> Result<(HeaderMap, Body)> {
    answer(&cx, Some(&domain), query).await
}

/// Export the users of all domains
///
/// Those of your scope, as a file that can be imported.
#[utoipa::path(get, path = "/v1/users/export", tag = "imports", params(ExportQuery),
    responses((status = 200, description = "The users", content(
        (String = "text/csv"),
        (String = "application/x-ndjson")))))]
async fn export_users(cx: Context, Query(query): Query<ExportQuery>) -> Result<(HeaderMap, Body)> {
    answer(&cx, None, query).await
}

async fn answer(
    cx: &Context,
    domain: Option<&DomainRef>,
    query: ExportQuery,
) -> Result<(HeaderMap, Body)> {
    let format = query.format.unwrap_or_default();
    let how = (format, query.password_hashes.unwrap_or_default());
    let export = app::exports::begin(cx, domain, how).await?;
    let parts = stream::try_unfold(export, |mut export: Export| async {
        let part = export.next().await?;
        Ok::<_, Error>(part.map(|part| (part, export)))
    });
    Ok((media(format), Body::from_stream(parts)))
}
