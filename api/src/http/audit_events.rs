//! `/v1/audit_events`

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT, CONTENT_DISPOSITION},
    },
    response::{IntoResponse, Response},
};
use futures_util::stream;
use umail_api_types::{
    audit_events::{AuditEvent, AuditEventFilter},
    imports::Format,
    page::{Page, PageQuery},
};
use umail_proto::ids::AuditEventId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::{Error, Result},
    http::{
        extract::{Named, Pages, Query},
        imports::media,
    },
    model,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_audit_events))
        .routes(routes!(export_audit_events))
        .routes(routes!(read_audit_event))
}

impl From<model::audit::Named> for AuditEvent {
    fn from(model::audit::Named { event, actor }: model::audit::Named) -> Self {
        // The database wrote it, and keeps nothing else in these columns.
        let read = |json: Option<String>| json.and_then(|json| serde_json::from_str(&json).ok());
        Self {
            id: event.id,
            at: event.at,
            kind: event.kind,
            actor_kind: event.actor_kind.into_owned(),
            actor_id: event.actor_id,
            actor,
            api_key_id: event.api_key_id,
            client_address: event.client_address,
            action: event.action.into_owned(),
            resource: event.resource.into_owned(),
            resource_id: event.resource_id,
            domain_id: event.domain_id,
            department_id: event.department_id,
            user_id: event.user_id,
            before: read(event.before),
            after: read(event.after),
            request_id: event.request_id,
        }
    }
}

/// List audit events
///
/// Those in your scope, the newest first: operators see all (super-domain administrators those of
/// domains), administrators those of their domains and departments, and everybody what they did
/// themselves and what was done to them.
#[utoipa::path(get, path = "/v1/audit_events", tag = "audit_events",
    params(AuditEventFilter, PageQuery),
    responses((status = 200, description = "A page of audit events", body = Page<AuditEvent>)))]
async fn list_audit_events(
    cx: Context,
    pages: Pages<AuditEventFilter>,
) -> Result<(HeaderMap, axum::Json<Page<AuditEvent>>)> {
    let events = app::audit_events::list(&cx, &pages.filter, pages.wanted()).await?;
    Ok(pages.answer(events, |one| one.event.id.uuid(), AuditEvent::from))
}

/// Read an audit event
///
/// One that a list of yours would show.
#[utoipa::path(get, path = "/v1/audit_events/{id}", tag = "audit_events",
    params(("id" = AuditEventId, Path, description = "Id of the event")),
    responses((status = 200, description = "The event", body = AuditEvent)))]
async fn read_audit_event(
    cx: Context,
    Named(id): Named<AuditEventId>,
) -> Result<axum::Json<AuditEvent>> {
    Ok(axum::Json(app::audit_events::get(&cx, id).await?.into()))
}

/// In which form events are exported.
fn format(headers: &HeaderMap) -> Format {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_csv = accept.is_some_and(|accept| accept.trim().starts_with("text/csv"));
    if is_csv { Format::Csv } else { Format::Ndjson }
}

/// Export audit events
///
/// All that `GET /v1/audit_events` would list, as a stream: one JSON object per line; with
/// `Accept: text/csv` as CSV with a heading. An answer that is cut off is not complete.
#[utoipa::path(get, path = "/v1/audit_events/export", tag = "audit_events",
    params(AuditEventFilter),
    responses((status = 200, description = "The events",
        content((AuditEvent = "application/x-ndjson"), (String = "text/csv")))))]
async fn export_audit_events(
    cx: Context,
    headers: HeaderMap,
    Query(filter): Query<AuditEventFilter>,
) -> Result<Response> {
    let export = app::audit_events::export(&cx, &filter).await?;
    let format = format(&headers);
    let heading = (format == Format::Csv).then(|| Bytes::from(format!("{HEADING}\r\n")));
    let chunks = stream::try_unfold((export, heading), move |(mut export, heading)| async move {
        if let Some(heading) = heading {
            return Ok(Some((heading, (export, None))));
        }
        let events = export.next().await?;
        if events.is_empty() {
            return Ok(None);
        }
        let mut lines = Vec::new();
        for event in events {
            write(&mut lines, &event.into(), format)?;
        }
        Ok::<_, Error>(Some((Bytes::from(lines), (export, None))))
    });
    let disposition = match format {
        Format::Ndjson => "attachment; filename=\"audit.ndjson\"",
        Format::Csv => "attachment; filename=\"audit.csv\"",
    };
    let mut headers = media(format);
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    Ok((headers, Body::from_stream(chunks)).into_response())
}

const HEADING: &str = "id,at,kind,actor_kind,actor_id,actor,api_key_id,client_address,action,resource,\
                       resource_id,domain_id,department_id,user_id,before,after,request_id";

fn write(lines: &mut Vec<u8>, event: &AuditEvent, format: Format) -> Result<()> {
    match format {
        Format::Ndjson => {
            serde_json::to_writer(&mut *lines, event).map_err(Error::internal)?;
            lines.push(b'\n');
        }
        Format::Csv => {
            let object = serde_json::to_value(event).map_err(Error::internal)?;
            let cells = HEADING.split(',').map(|column| match object.get(column) {
                None | Some(serde_json::Value::Null) => String::new(),
                Some(serde_json::Value::String(text)) => cell(text),
                Some(other) => cell(&other.to_string()),
            });
            lines.extend(cells.collect::<Vec<_>>().join(",").bytes());
            lines.extend(b"\r\n");
        }
    }
    Ok(())
}

/// RFC 4180. What a spreadsheet would take for a formula is marked as text.
fn cell(text: &str) -> String {
    let mark = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if mark.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        return text.to_owned();
    }
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_whatever_it_holds() {
        assert_eq!(cell("user"), "user");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
    }
}
