//! `/v1/nodes/{node}/traffic`, `/v1/nodes/{node}/load`, `/v1/nodes/{node}/queue/flush` and
//! `/v1/users/{user}/usage`

use umail_api_types::{
    operations::Operation,
    problem::Problem,
    traffic::{LoadSeries, TimeQuery, Traffic, Usage},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::{
        extract::{Json, Named, Parsed, Query},
        operations::Accepted,
    },
    model::user::UserRef,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(read_traffic))
        .routes(routes!(read_load))
        .routes(routes!(flush_queue))
        .routes(routes!(read_usage))
}

/// Read the traffic of a node
///
/// Counted on the node, and reported exactly once. What the node counted while the server was
/// away is there as soon as both are in touch again.
#[utoipa::path(get, path = "/v1/nodes/{node}/traffic", tag = "nodes",
    params(("node" = String, Path, description = "Id or name of the node"), TimeQuery),
    responses((status = 200, description = "What it counted, by minute", body = Traffic)))]
async fn read_traffic(
    cx: Context,
    Named(node): Named<String>,
    Query(time): Query<TimeQuery>,
) -> Result<Json<Traffic>> {
    Ok(Json(app::traffic::read(&cx, &node, time).await?))
}

/// Read load and queues of a node
#[utoipa::path(get, path = "/v1/nodes/{node}/load", tag = "nodes",
    params(("node" = String, Path, description = "Id or name of the node"), TimeQuery),
    responses((status = 200, description = "Load and queues, by minute", body = LoadSeries)))]
async fn read_load(
    cx: Context,
    Named(node): Named<String>,
    Query(time): Query<TimeQuery>,
) -> Result<Json<LoadSeries>> {
    Ok(Json(app::traffic::read_load(&cx, &node, time).await?))
}

/// Deliver what waits in the queue of a node
#[utoipa::path(post, path = "/v1/nodes/{node}/queue/flush", tag = "nodes",
    params(("node" = String, Path, description = "Id or name of the node")),
    responses(
        (status = 202, description = "The node is being asked", body = Operation),
        (status = 409, description = "The node has no queue",
            body = Problem, content_type = "application/problem+json")))]
async fn flush_queue(cx: Context, Named(node): Named<String>) -> Result<Accepted> {
    Ok(Accepted(app::flushes::start(&cx, &node).await?))
}

/// Read what the mailbox of a user takes
///
/// As its storage node saw it last.
#[utoipa::path(get, path = "/v1/users/{user}/usage", tag = "users",
    params(("user" = String, Path, description = "Id or address of the user")),
    responses((status = 200, description = "Bytes and messages", body = Usage)))]
async fn read_usage(
    cx: Context,
    Named(Parsed(user)): Named<Parsed<UserRef>>,
) -> Result<Json<Usage>> {
    Ok(Json(app::traffic::read_usage(&cx, &user).await?))
}
