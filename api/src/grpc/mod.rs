//! In, from agents: one port, mutual TLS with the own authority.

mod acceptor;
mod actions;
mod agent;
mod convert;
mod desired_state;
mod directory;
mod enrolment;
pub mod identity;
pub mod status;
mod stream;

use std::{future::pending, time::Duration};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{service::interceptor::InterceptedService, transport::Server};
use umail_proto::agent::{
    agent_service_server::AgentServiceServer, enrolment_service_server::EnrolmentServiceServer,
};

use crate::{
    context::State,
    error::{Error, Result},
};

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// More than an agent opens: three watches and its reports.
const STREAMS_PER_CONNECTION: u32 = 64;

/// Reports of a node that was alone for long, with the usage of many mailboxes.
const REPORT_BYTES: usize = 16 << 20;

/// Serves agents until it shall stop; then waits for calls to end.
pub async fn serve(state: State, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let tracker = TaskTracker::new();
    let incoming = acceptor::accept(&state, listener, &tracker, stop.clone())?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<EnrolmentServiceServer<enrolment::Enrolment>>().await;
    let enrolment = EnrolmentServiceServer::new(enrolment::Enrolment::new(state.clone()));
    let agents = AgentServiceServer::new(agent::Agent::new(state.clone()))
        .max_decoding_message_size(REPORT_BYTES);
    let agents = InterceptedService::new(agents, identity::require_node(state.clock().clone()));
    let fleet = state.fleet().clone();
    // Streams end only when they are told to, and connections only with their streams. Told beside the
    // serving: it does not wait for its own signal any more once nothing comes in.
    let told = async {
        stop.cancelled().await;
        fleet.shut_down().await;
        pending().await
    };
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .add_service(health)
        .add_service(enrolment)
        .add_service(agents)
        .serve_with_incoming_shutdown(incoming, stop.cancelled());
    let served = tokio::select! {
        served = serving => served,
        never = told => never,
    };
    tracker.close();
    tracker.wait().await;
    served.map_err(Error::internal)
}
