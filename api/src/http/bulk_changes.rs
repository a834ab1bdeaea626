//! `/v1/domains/{domain}/bulk_changes` and `/v1/bulk_changes`

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode},
};
use umail_api_types::{
    bulk_changes::{BulkChange, BulkChangeQuery, BulkRefusal, NewBulkChange},
    imports::{ErrorsQuery, Format, ImportState},
    operations::OperationState,
    page::{Page, PageQuery},
};
use umail_proto::ids::BulkChangeId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::{Error, Result},
    http::{
        extract::{Json, Named, Pages, Parsed, Query},
        imports::{ERRORS, file},
        operations::location,
    },
    model::{
        domain::DomainRef,
        import::{Fault, Import, Refused, write_cell},
    },
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(create_bulk_change))
        .routes(routes!(list_bulk_changes))
        .routes(routes!(read_bulk_change))
        .routes(routes!(list_bulk_change_errors))
}

/// As people see it; `reasons` as far as they are asked for.
fn shown(import: Import, reasons: Option<Vec<(Fault, i64)>>) -> Result<BulkChange> {
    let corrupt = |what: &str| Error::corrupt("import", import.id, what);
    let bulk = import.bulk.ok_or_else(|| corrupt("bulk"))?;
    let reason = |(fault, users): (Fault, i64)| BulkRefusal {
        field: fault.field,
        reason: fault.reason,
        users,
    };
    Ok(BulkChange {
        id: import.id.uuid().into(),
        domain_id: import.domain_id.ok_or_else(|| corrupt("domain_id"))?,
        filter: bulk.filter,
        change: bulk.change,
        mode: import.mode,
        dry_run: import.dry_run,
        state: match import.state {
            ImportState::Receiving | ImportState::Running => OperationState::Running,
            ImportState::Succeeded => OperationState::Succeeded,
            ImportState::Failed => OperationState::Failed,
            ImportState::Cancelled => OperationState::Cancelled,
        },
        matched: import.matched,
        done: import.done_lines,
        changed: import.counts.changed,
        unchanged: import.counts.unchanged,
        refused: import.counts.refused,
        reasons: reasons.map(|reasons| reasons.into_iter().map(reason).collect()),
        operation_id: import.operation_id,
        error: Some(import.failure).filter(|failure| !failure.is_empty()),
        created_at: import.created_at,
        updated_at: import.updated_at,
    })
}

/// Change many users of a domain
///
/// All who match the filter, are in your scope and were there when it began; each is changed like a
/// single user, by the same rules, when its turn comes and if it matches then. Users of whom all is
/// so already are left alone, so that it can be repeated. `dry_run=true` changes nothing and says
/// what would become of whom. Wait for the end at the operation, or cancel it there.
#[utoipa::path(post, path = "/v1/domains/{domain}/bulk_changes", tag = "bulk_changes",
    params(("domain" = String, Path, description = "Id or name of the domain"), BulkChangeQuery),
    request_body = NewBulkChange,
    responses((status = 202, description = "The work begins", body = BulkChange)))]
async fn create_bulk_change(
    cx: Context,
    Named(Parsed(domain)): Named<Parsed<DomainRef>>,
    Query(query): Query<BulkChangeQuery>,
    Json(new): Json<NewBulkChange>,
) -> Result<(StatusCode, HeaderMap, Json<BulkChange>)> {
    let new = (new, query.dry_run.unwrap_or_default());
    let change = shown(app::bulk_changes::create(&cx, &domain, new).await?, None)?;
    Ok((StatusCode::ACCEPTED, location(change.operation_id), Json(change)))
}

/// List bulk changes
///
/// Yours, the newest first; system administrators see all. They are kept for 30 days.
#[utoipa::path(get, path = "/v1/bulk_changes", tag = "bulk_changes", params(PageQuery),
    responses((status = 200, description = "A page of bulk changes", body = Page<BulkChange>)))]
async fn list_bulk_changes(
    cx: Context,
    pages: Pages,
) -> Result<(HeaderMap, axum::Json<Page<BulkChange>>)> {
    let changes = app::bulk_changes::list(&cx, pages.wanted()).await?;
    let changes: Vec<_> = changes.into_iter().map(|one| shown(one, None)).collect::<Result<_>>()?;
    Ok(pages.answer(changes, |one| one.id.uuid(), |one| one))
}

/// Read a bulk change
///
/// With the commonest reasons why users were refused.
#[utoipa::path(get, path = "/v1/bulk_changes/{id}", tag = "bulk_changes",
    params(("id" = BulkChangeId, Path, description = "Id of the bulk change")),
    responses((status = 200, description = "The bulk change", body = BulkChange)))]
async fn read_bulk_change(cx: Context, Named(id): Named<BulkChangeId>) -> Result<Json<BulkChange>> {
    let (import, reasons) = app::bulk_changes::read(&cx, id).await?;
    Ok(Json(shown(import, Some(reasons))?))
}

/// List the users whom a bulk change refused
///
/// As a file: the address (empty: the change as a whole), the field (empty: the user as a whole) and
/// the reason. The first 10,000 are kept.
#[utoipa::path(get, path = "/v1/bulk_changes/{id}/errors", tag = "bulk_changes",
    params(("id" = BulkChangeId, Path, description = "Id of the bulk change"), ErrorsQuery),
    responses((status = 200, description = "The users", content(
        (String = "text/csv"),
        (String = "application/x-ndjson")))))]
async fn list_bulk_change_errors(
    cx: Context,
    Named(id): Named<BulkChangeId>,
    Query(query): Query<ErrorsQuery>,
) -> Result<(HeaderMap, Body)> {
    let format = query.format.unwrap_or_default();
    let first = app::bulk_changes::errors(&cx, id, None, ERRORS).await?;
    let head = match format {
        Format::Csv => "address,field,reason\n",
        Format::Ndjson => "",
    };
    let next = move |last: Refused| {
        let cx = cx.clone();
        async move { app::bulk_changes::errors(&cx, id, Some(&last), ERRORS).await }
    };
    Ok(file(format, head, (first, next), written))
}

fn written(format: Format, one: &Refused) -> String {
    let (address, field, reason) = (&one.address, &one.fault.field, &one.fault.reason);
    match format {
        Format::Csv => {
            let cells = [address, field, reason].map(|cell| write_cell(cell));
            format!("{}\n", cells.join(","))
        }
        Format::Ndjson => {
            let object =
                serde_json::json!({ "address": address, "field": field, "reason": reason });
            format!("{object}\n")
        }
    }
}
