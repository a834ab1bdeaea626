//! Logs and metrics of the process.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::{
    config::{LogConfig, LogFormat},
    error::{Error, Result},
};

/// Starts logging to standard error.
pub fn start_logging(config: &LogConfig) -> Result<()> {
    // What is configured comes last and wins; notices of migrations are noise.
    let filter = EnvFilter::try_new(format!("sqlx::postgres::notice=warn,{}", config.level))
        .map_err(|cause| Error::internal(format_args!("log.level: {cause}")))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Human => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    }
    .map_err(Error::internal)
}

/// Starts counting, and gives what `/metrics` is rendered from.
pub fn start_metrics() -> Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(Error::internal)?;
    describe();
    Ok(handle)
}

fn describe() {
    metrics::describe_counter!(
        "umail_api_http_requests_total",
        "Requests of people that were answered, by method, route and status."
    );
    metrics::describe_histogram!(
        "umail_api_http_request_duration_seconds",
        metrics::Unit::Seconds,
        "Time from request to answer, by method and route."
    );
    metrics::describe_gauge!(
        "umail_api_node_connections",
        "Connections of nodes to this instance."
    );
    metrics::describe_counter!(
        "umail_api_node_handshakes_total",
        "TLS handshakes on the agents' port, by outcome."
    );
}
