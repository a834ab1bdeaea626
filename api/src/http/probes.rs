//! Is it alive, is it ready, and what has it counted: for orchestrators and monitors.

use std::time::Duration;

use axum::{Router, extract::State as Shared, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::timeout;

use crate::{context::State, store};

const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// `/livez`, `/readyz` and `/metrics`, open to everybody who reaches the listener.
pub fn router(state: State, metrics: PrometheusHandle) -> Router {
    let links = state.clone();
    let render = move || async move {
        #[expect(clippy::cast_precision_loss, reason = "there are not that many connections")]
        metrics::gauge!("umail_api_node_connections").set(links.fleet().links().count() as f64);
        metrics.render()
    };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .with_state(state)
        .route("/metrics", get(render))
}

async fn readyz(Shared(state): Shared<State>) -> (StatusCode, &'static str) {
    match timeout(READY_TIMEOUT, store::control_plane::get(state.pool())).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready\n"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database is away\n"),
    }
}
