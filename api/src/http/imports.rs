//! `/v1/domains/{domain}/imports` and `/v1/imports`

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use umail_api_types::{
    imports::{ContentQuery, ErrorsQuery, Format, Import, NewImport},
    page::{Page, PageQuery},
    problem::Problem,
};
use umail_proto::ids::ImportId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{self, imports::Part},
    context::{Context, State},
    error::{Error, Result},
    http::{
        extract::{Json, Named, Pages, Parsed, Query},
        operations::location,
        problem::Refusal,
    },
    model::{
        self,
        domain::DomainRef,
        import::{Refused, write_cell},
    },
};

const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";
/// Errors that are read at once.
pub(super) const ERRORS: i64 = 1_000;

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(create_domain_import))
        .routes(routes!(list_imports, create_import))
        .routes(routes!(read_import, delete_import))
        .routes(routes!(list_import_errors))
}

pub(super) fn uploads() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(update_import_content))
}

impl From<model::import::Import> for Import {
    fn from(import: model::import::Import) -> Self {
        Self {
            id: import.id,
            domain_id: import.domain_id,
            key: import.key,
            mode: import.mode,
            dry_run: import.dry_run,
            state: import.state,
            received_bytes: import.received_bytes,
            received_lines: import.received_lines,
            done_lines: import.done_lines,
            created: import.counts.created,
            changed: import.counts.changed,
            unchanged: import.counts.unchanged,
            refused: import.counts.refused,
            operation_id: import.operation_id,
            error: Some(import.failure).filter(|failure| !failure.is_empty()),
            created_at: import.created_at,
            updated_at: import.updated_at,
        }
    }
}

/// In which form a body is.
fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let media = headers.get(CONTENT_TYPE).and_then(|one| one.to_str().ok());
    let media = media.and_then(|one| one.split(';').next()).unwrap_or_default().trim();
    if media.eq_ignore_ascii_case(CSV) {
        Ok(Format::Csv)
    } else if media.eq_ignore_ascii_case(NDJSON) {
        Ok(Format::Ndjson)
    } else {
        let text = "send text/csv or application/x-ndjson";
        Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
    }
}

/// The media type of a format, with which a file begins.
pub(super) fn media(format: Format) -> HeaderMap {
    let media = match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::Ndjson => NDJSON,
    };
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))])
}

/// Begin an import into a domain
///
/// Then send its content. Lines may name whole addresses, or what stands before the `@`.
#[utoipa::path(post, path = "/v1/domains/{domain}/imports", tag = "imports",
    params(("domain" = String, Path, description = "Id or name of the domain")),
    request_body = NewImport,
    responses((status = 201, description = "Begun: send the content", body = Import)))]
async fn create_domain_import(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    Json(new): Json<NewImport>,
) -> Result<(StatusCode, Json<Import>)> {
    let import = app::imports::create(&cx, Some(&domain), new).await?;
    Ok((StatusCode::CREATED, Json(import.into())))
}

/// Begin an import into many domains
///
/// Then send its content. Lines name whole addresses; those outside your scope are refused as if
/// their domains did not exist.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", request_body = NewImport,
    responses((status = 201, description = "Begun: send the content", body = Import)))]
async fn create_import(
    cx: Context,
    Json(new): Json<NewImport>,
) -> Result<(StatusCode, Json<Import>)> {
    Ok((StatusCode::CREATED, Json(app::imports::create(&cx, None, new).await?.into())))
}

/// List imports
///
/// Yours, the newest first; system administrators see all. They are kept for 30 days.
#[utoipa::path(get, path = "/v1/imports", tag = "imports", params(PageQuery),
    responses((status = 200, description = "A page of imports", body = Page<Import>)))]
async fn list_imports(cx: Context, pages: Pages) -> Result<(HeaderMap, axum::Json<Page<Import>>)> {
    let imports = app::imports::list(&cx, pages.wanted()).await?;
    Ok(pages.answer(imports, |one| one.id.uuid(), Import::from))
}

/// Read an import
///
/// Wait for its end at its operation.
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports",
    params(("id" = ImportId, Path, description = "Id of the import")),
    responses((status = 200, description = "The import", body = Import)))]
async fn read_import(cx: Context, Named(id): Named<ImportId>) -> Result<Json<Import>> {
    Ok(Json(app::imports::read(&cx, id).await?.into()))
}

/// Remove an import
///
/// With all that was received, unless it is at work: that is cancelled at its operation. What it
/// has changed stays.
#[utoipa::path(delete, path = "/v1/imports/{id}", tag = "imports",
    params(("id" = ImportId, Path, description = "Id of the import")),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "It is at work", body = Problem,
            content_type = "application/problem+json")))]
async fn delete_import(cx: Context, Named(id): Named<ImportId>) -> Result<StatusCode> {
    app::imports::delete(&cx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send the content of an import
///
/// In one request or in several: whoever is cut off goes on from `received_bytes`. With the last
/// part the work begins. At most 20,000 lines have a password in clear; those beyond are refused.
#[utoipa::path(put, path = "/v1/imports/{id}/content", tag = "imports",
    params(("id" = ImportId, Path, description = "Id of the import"), ContentQuery),
    request_body(content(
        (String = "text/csv"),
        (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "Kept; more is to follow", body = Import),
        (status = 202, description = "All is there, and the work begins", body = Import),
        (status = 409, description = "It has begun, or goes on elsewhere than at this offset",
            body = Problem, content_type = "application/problem+json")))]
async fn update_import_content(
    cx: Context,
    Named(id): Named<ImportId>,
    Query(query): Query<ContentQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app::imports::read(&cx, id).await?;
    let format = format(&headers)?;
    let has_more = query.more.unwrap_or_default();
    let part = Part { offset: query.offset.unwrap_or_default(), has_more, format };
    let pieces = body.into_data_stream().map(|piece| {
        let cut = "the content was cut off: go on from received_bytes";
        piece.map_err(|_cause| Error::Unavailable(cut.to_owned()))
    });
    let import = app::imports::receive::<Bytes>(&cx, id, part, pieces).await?;
    let status = if has_more { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = location(import.operation_id);
    Ok((status, location, Json(Import::from(import))).into_response())
}

/// List the lines of an import that were refused
///
/// As a file: the number of the line (0: the file as a whole), the field (empty: the line as a
/// whole) and the reason. The first 10,000 are kept.
#[utoipa::path(get, path = "/v1/imports/{id}/errors", tag = "imports",
    params(("id" = ImportId, Path, description = "Id of the import"), ErrorsQuery),
    responses((status = 200, description = "The lines", content(
        (String = "text/csv"),
        (String = "application/x-ndjson")))))]
async fn list_import_errors(
    cx: Context,
    Named(id): Named<ImportId>,
    Query(query): Query<ErrorsQuery>,
) -> Result<(HeaderMap, Body)> {
    let format = query.format.unwrap_or_default();
    let first = app::imports::errors(&cx, id, None, ERRORS).await?;
    let head = match format {
        Format::Csv => "line,field,reason\n",
        Format::Ndjson => "",
    };
    let next = move |last: Refused| {
        let cx = cx.clone();
        async move { app::imports::errors(&cx, id, Some(&last), ERRORS).await }
    };
    Ok(file(format, head, (first, next), written))
}

/// A file of what was refused: its first line, then page after page.
pub(super) fn file<F>(
    format: Format,
    head: &'static str,
    (first, next): (Vec<Refused>, impl Fn(Refused) -> F + Send + 'static),
    written: fn(Format, &Refused) -> String,
) -> (HeaderMap, Body)
where
    F: Future<Output = Result<Vec<Refused>>> + Send,
{
    let head = stream::once(async move { Ok(head.to_owned()) });
    let pages = stream::try_unfold((Some(first), next), move |(page, next)| async move {
        let Some(page) = page else { return Ok::<_, Error>(None) };
        let text: String = page.iter().map(|one| written(format, one)).collect();
        let more = match page.into_iter().next_back() {
            Some(last) => Some(next(last).await?),
            None => None,
        };
        Ok(Some((text, (more, next))))
    });
    (media(format), Body::from_stream(head.chain(pages)))
}

fn written(format: Format, one: &Refused) -> String {
    let (line, field, reason) = (one.line, &one.fault.field, &one.fault.reason);
    match format {
        Format::Csv => format!("{line},{},{}\n", write_cell(field), write_cell(reason)),
        Format::Ndjson => {
            let object = serde_json::json!({ "line": line, "field": field, "reason": reason });
            format!("{object}\n")
        }
    }
}
