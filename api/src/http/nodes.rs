//! `/v1/nodes`

use axum::http::{HeaderMap, StatusCode};
use umail_api_types::{
    nodes::{Alarm, Load, Node, NodePatch, Queue},
    page::{Page, PageQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::{
        extract::{IfMatch, Json, Named, Pages, Tagged},
        services,
    },
    model::overview::Overview,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list_nodes))
        .routes(routes!(read_node, update_node, delete_node))
        .routes(routes!(revoke_node))
}

impl From<Overview> for Node {
    fn from(overview: Overview) -> Self {
        let services = overview.services.iter().map(|one| services::show(one, &overview)).collect();
        let generation = overview.generation();
        let (node, said) = (overview.node, overview.said);
        let observed = said.observed.as_ref();
        Self {
            id: node.id,
            name: node.name,
            address: node.address,
            roles: node.roles,
            eligible: node.eligible,
            revoked_at: node.revoked_at,
            status: overview.status,
            status_reason: overview.reason,
            revision: node.revision,
            generation,
            directory_version: said.directory_version,
            agent_version: said.agent_version,
            seen_at: said.seen_at,
            load: observed.and_then(|state| state.load.as_ref()).map(load),
            queue: observed.and_then(|state| state.queue.as_ref()).map(queue),
            services,
            alarms: said.alarms.iter().map(alarm).collect(),
            created_at: node.created_at,
            updated_at: node.updated_at,
        }
    }
}

fn load(load: &umail_proto::agent::Load) -> Load {
    Load {
        load_1m: load.load_1m,
        cpus: load.cpus,
        memory_total_bytes: load.memory_total_bytes,
        memory_available_bytes: load.memory_available_bytes,
        disk_total_bytes: load.disk_total_bytes,
        disk_available_bytes: load.disk_available_bytes,
    }
}

fn queue(queue: &umail_proto::agent::Queue) -> Queue {
    Queue {
        active: queue.active,
        deferred: queue.deferred,
        hold: queue.hold,
        incoming: queue.incoming,
    }
}

fn alarm(alarm: &umail_proto::agent::Alarm) -> Alarm {
    Alarm { kind: alarm.kind.clone(), detail: alarm.detail.clone() }
}

fn tagged(overview: Overview) -> Tagged<Node> {
    Tagged(overview.node.revision, overview.into())
}

/// List nodes
#[utoipa::path(get, path = "/v1/nodes", tag = "nodes", params(PageQuery),
    responses((status = 200, description = "A page of nodes", body = Page<Node>)))]
async fn list_nodes(cx: Context, pages: Pages) -> Result<(HeaderMap, axum::Json<Page<Node>>)> {
    let nodes = app::nodes::list(&cx, pages.wanted()).await?;
    Ok(pages.answer(nodes, |one| one.node.id.uuid(), Node::from))
}

/// Read a node
#[utoipa::path(get, path = "/v1/nodes/{node}", tag = "nodes",
    params(("node" = String, Path, description = "Id or name of the node")),
    responses((status = 200, description = "The node", body = Node)))]
async fn read_node(cx: Context, Named(node): Named<String>) -> Result<Tagged<Node>> {
    Ok(tagged(app::nodes::read(&cx, &node).await?))
}

/// Change a node
///
/// A new address reaches all other nodes, and the node gets a certificate for it.
#[utoipa::path(patch, path = "/v1/nodes/{node}", tag = "nodes",
    params(("node" = String, Path, description = "Id or name of the node"), IfMatch),
    request_body(content = NodePatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Node)))]
async fn update_node(
    cx: Context,
    Named(node): Named<String>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<NodePatch>,
) -> Result<Tagged<Node>> {
    Ok(tagged(app::nodes::update(&cx, &node, precondition, patch).await?))
}

/// Remove a node
///
/// Refused while it keeps the mail of users. Its mail daemons are left as they are.
#[utoipa::path(delete, path = "/v1/nodes/{node}", tag = "nodes",
    params(("node" = String, Path, description = "Id or name of the node"), IfMatch),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "It keeps the mail of users",
            body = umail_api_types::problem::Problem, content_type = "application/problem+json")))]
async fn delete_node(
    cx: Context,
    Named(node): Named<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    app::nodes::delete(&cx, &node, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revoke a node's right to connect
///
/// Its connections are cut within a second, and it may not renew its certificate. It comes back
/// with a new join token of its name. Its mail daemons are left as they are.
#[utoipa::path(post, path = "/v1/nodes/{node}/revoke", tag = "nodes",
    params(("node" = String, Path, description = "Id or name of the node")),
    responses((status = 200, description = "Revoked", body = Node)))]
async fn revoke_node(cx: Context, Named(node): Named<String>) -> Result<Tagged<Node>> {
    Ok(tagged(app::nodes::revoke(&cx, &node).await?))
}
