//! `/v1/nodes/{node}/services`

use umail_api_types::{
    page::Page,
    services::{Listener, ObservedService, Service, ServiceHealth, ServiceKind, ServicePatch},
};
use umail_proto::agent;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Named, Tagged},
    model::{self, node::available_listeners, overview::Overview},
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_services))
        .routes(routes!(read_service, update_service))
        .routes(routes!(restart_service))
}

/// A service as people see it.
pub(super) fn show(service: &model::node::Service, overview: &Overview) -> Service {
    Service {
        node_id: service.node,
        kind: service.kind,
        running: service.running,
        listeners: service.listeners.clone(),
        available_listeners: available_listeners(&overview.node.roles, service.kind),
        restarts: service.restarts,
        revision: service.revision,
        generation: overview.generation(),
        observed: overview.observed(service.kind).map(observed),
    }
}

fn observed(service: &agent::ObservedService) -> ObservedService {
    let health = match service.health() {
        agent::ServiceHealth::Unspecified => ServiceHealth::Unknown,
        agent::ServiceHealth::Running => ServiceHealth::Running,
        agent::ServiceHealth::Stopped => ServiceHealth::Stopped,
        agent::ServiceHealth::Failed => ServiceHealth::Failed,
    };
    ObservedService {
        health,
        listeners: service.listeners().filter_map(listener).collect(),
        version: service.version.clone(),
        restarts: service.restarts,
        detail: service.detail.clone(),
    }
}

fn listener(kind: agent::ListenerKind) -> Option<Listener> {
    match kind {
        agent::ListenerKind::Unspecified => None,
        agent::ListenerKind::Smtp => Some(Listener::Smtp),
        agent::ListenerKind::Submission => Some(Listener::Submission),
        agent::ListenerKind::Pop3 => Some(Listener::Pop3),
        agent::ListenerKind::Imap => Some(Listener::Imap),
        agent::ListenerKind::Lmtp => Some(Listener::Lmtp),
    }
}

fn tagged((service, overview): (model::node::Service, Overview)) -> Tagged<Service> {
    Tagged(service.revision, show(&service, &overview))
}

/// List the services of a node
///
/// There are few: they all are on the first page.
#[utoipa::path(get, path = "/v1/nodes/{node}/services", tag = "services",
    params(("node" = String, Path, description = "Id or name of the node")),
    responses((status = 200, description = "All services of the node", body = Page<Service>)))]
async fn list_services(cx: Context, Named(node): Named<String>) -> Result<Json<Page<Service>>> {
    let overview = app::services::list(&cx, &node).await?;
    let items = overview.services.iter().map(|service| show(service, &overview)).collect();
    Ok(Json(Page { items, next_page_token: None, total: None }))
}

/// Read a service of a node
#[utoipa::path(get, path = "/v1/nodes/{node}/services/{kind}", tag = "services",
    params(("node" = String, Path, description = "Id or name of the node"),
        ("kind" = ServiceKind, Path, description = "Which daemon")),
    responses((status = 200, description = "The service", body = Service)))]
async fn read_service(
    cx: Context,
    Named((node, kind)): Named<(String, ServiceKind)>,
) -> Result<Tagged<Service>> {
    Ok(tagged(app::services::read(&cx, &node, kind).await?))
}

/// Change a service of a node
///
/// Stops and starts it, or single listeners of it. The node follows within seconds:
/// `generation.applied` reaches `generation.desired` then.
#[utoipa::path(patch, path = "/v1/nodes/{node}/services/{kind}", tag = "services",
    params(("node" = String, Path, description = "Id or name of the node"),
        ("kind" = ServiceKind, Path, description = "Which daemon"), IfMatch),
    request_body(content = ServicePatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Service)))]
async fn update_service(
    cx: Context,
    Named((node, kind)): Named<(String, ServiceKind)>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<ServicePatch>,
) -> Result<Tagged<Service>> {
    Ok(tagged(app::services::update(&cx, &node, kind, precondition, patch).await?))
}

/// Restart a service of a node
#[utoipa::path(post, path = "/v1/nodes/{node}/services/{kind}/restart", tag = "services",
    params(("node" = String, Path, description = "Id or name of the node"),
        ("kind" = ServiceKind, Path, description = "Which daemon")),
    responses(
        (status = 200, description = "It will be restarted once", body = Service),
        (status = 409, description = "It shall not run",
            body = umail_api_types::problem::Problem, content_type = "application/problem+json")))]
async fn restart_service(
    cx: Context,
    Named((node, kind)): Named<(String, ServiceKind)>,
) -> Result<Tagged<Service>> {
    Ok(tagged(app::services::restart(&cx, &node, kind).await?))
}
