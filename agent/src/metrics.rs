//! The agent's own `/metrics`, on loopback only.

use std::net::{Ipv4Addr, SocketAddr};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio_util::sync::CancellationToken;

/// Serves `/metrics` on this port of 127.0.0.1 until it is told to stop; port 0 switches it off.
pub async fn serve(port: u16, stop: CancellationToken) {
    if port == 0 {
        return;
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (recorder, exporter) = match PrometheusBuilder::new().with_http_listener(address).build() {
        Ok(built) => built,
        Err(error) => {
            tracing::error!(%error, %address, "/metrics cannot be served");
            return;
        }
    };
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::error!("this process records its metrics elsewhere already");
        return;
    }
    describe();
    tokio::select! {
        () = stop.cancelled() => {}
        served = exporter => {
            if let Err(error) = served {
                tracing::error!(?error, %address, "/metrics is no longer served");
            }
        }
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge};
    describe_gauge!("umail_agent_link_connected", "1 while the link to a server is up");
    describe_gauge!("umail_agent_directory_version", "version of the replica");
    describe_counter!("umail_agent_directory_changes_total", "deltas and snapshots applied");
    describe_gauge!("umail_agent_generation_accepted", "generation in the ledger");
    describe_gauge!("umail_agent_generation_applied", "generation brought about");
    describe_gauge!("umail_agent_certificate_expires_at_seconds", "end of the node certificate");
    describe_counter!("umail_agent_actions_total", "actions by outcome");
    describe_gauge!("umail_agent_alarms", "alarms that are raised");
    describe_counter!("umail_agent_sending_refused_total", "refusals of what users may not send");
    describe_counter!("umail_agent_sending_unjudged_total", "messages taken without a judgement");
    describe_gauge!("umail_agent_queue_messages", "messages in Postfix's queue");
}
