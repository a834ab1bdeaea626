//! The link: everything that is said between this node and the API servers.
//!
//! One connection at a time, to any of the servers. While it holds, each stream is followed and
//! each report is sent by a loop of its own, so that one that fails does not disturb the others.
//! Heartbeats tell whether the connection holds.

mod actions;
mod backoff;
mod connect;
mod desired;
mod directory;
mod renewal;
mod reports;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::{Code, Status as Refused, transport::Channel};
use umail_proto::agent::{HeartbeatRequest, agent_service_client::AgentServiceClient};

use self::backoff::Backoff;
pub use self::{
    connect::{ConnectError, connect},
    renewal::renew,
};
use crate::{actions::Actions, state::State, status::AlarmKind};

/// The largest message that is read: a chunk of a snapshot has at most 1,000 rows.
const MESSAGE_MAX: usize = 16 * 1024 * 1024;
/// Heartbeats that may fail in a row before the connection is given up.
const HEARTBEATS_MISSED_MAX: u32 = 2;

type Client = AgentServiceClient<Channel>;

/// Why a session has ended or a call has failed.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{:?}: {}", .0.code(), .0.message())]
    Refused(Box<Refused>),
    #[error("no answer in time")]
    Late,
}

impl From<Refused> for LinkError {
    fn from(status: Refused) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl LinkError {
    /// Whether the server has said that this node may not talk to it.
    fn is_unwelcome(&self) -> bool {
        matches!(self, Self::Refused(status)
            if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied))
    }
}

/// Holds the link until it is told to stop.
pub async fn run(
    state: Arc<State>,
    actions: Arc<Actions>,
    servers: Vec<String>,
    stop: CancellationToken,
) {
    let work = async {
        let mut backoff = Backoff::new(state.pace.pause);
        for server in servers.iter().cycle() {
            let session = Session { state: &state, actions: &actions, server };
            match Box::pin(session.run(&mut backoff)).await {
                Ok(()) => continue,
                Err(error) if error.is_unwelcome() => {
                    state.status.alarm(AlarmKind::NodeRefused, Some(error.to_string()));
                }
                Err(error) => tracing::warn!(server, %error, "the link is down"),
            }
            state.status.connected(None);
            metrics::gauge!("umail_agent_link_connected").set(0.0);
            backoff.pause().await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => tracing::error!("no servers are configured"),
    }
}

/// One connection to one server.
struct Session<'a> {
    state: &'a Arc<State>,
    actions: &'a Arc<Actions>,
    server: &'a str,
}

impl Session<'_> {
    /// Holds the connection. Ends without an error when it shall be made anew at once.
    async fn run(&self, backoff: &mut Backoff) -> Result<(), LinkError> {
        let renewed = self.state.identity.renewed();
        let channel = connect(self.server, self.state.identity.client_config()).await?;
        let client = AgentServiceClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
        beat(self.state, &mut client.clone()).await?;
        tracing::info!(server = self.server, "the link is up");
        backoff.reset();
        self.state.status.connected(Some(self.server));
        self.state.status.alarm(AlarmKind::NodeRefused, None);
        metrics::gauge!("umail_agent_link_connected").set(1.0);
        let state = self.state;
        tokio::select! {
            error = heartbeats(state, client.clone()) => Err(error),
            () = renewed => Ok(()),
            () = desired::follow(state, client.clone()) => Ok(()),
            () = directory::follow(state, client.clone()) => Ok(()),
            () = actions::follow(state, self.actions, client.clone()) => Ok(()),
            () = reports::status(state, client.clone()) => Ok(()),
            () = reports::traffic(state, client) => Ok(()),
        }
    }
}

/// Sends heartbeats until they fail.
async fn heartbeats(state: &State, mut client: Client) -> LinkError {
    let mut missed = 0;
    loop {
        tokio::time::sleep(state.pace.heartbeat).await;
        match beat(state, &mut client).await {
            Ok(()) => missed = 0,
            Err(error) => {
                missed += 1;
                if missed >= HEARTBEATS_MISSED_MAX || error.is_unwelcome() {
                    return error;
                }
            }
        }
    }
}

async fn beat(state: &State, client: &mut Client) -> Result<(), LinkError> {
    let heartbeat = HeartbeatRequest {
        boot: state.status.boot().to_owned(),
        directory_version: state.status.directory_version(),
        generation: state.ledger.desired().map_or(0, |desired| desired.generation),
    };
    let answer = within(state.pace.call_limit, client.heartbeat(heartbeat)).await?;
    if answer.into_inner().report_in_full {
        state.status.touch();
    }
    Ok(())
}

/// Gives a call this long.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Refused>>,
) -> Result<T, LinkError> {
    let answer = tokio::time::timeout(limit, call).await.map_err(|_elapsed| LinkError::Late)?;
    Ok(answer?)
}
