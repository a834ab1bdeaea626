//! Following the desired state: into the ledger, or answered with why not.

use umail_proto::agent::{DesiredState, WatchDesiredStateRequest};

use super::{Backoff, Client, LinkError, within};
use crate::{ledger::NotAccepted, state::State, status::AlarmKind};

/// Follows the desired state for as long as the connection holds.
pub(super) async fn follow(state: &State, mut client: Client) {
    let mut backoff = Backoff::new(state.pace.pause);
    loop {
        if let Err(error) = watch(state, &mut client, &mut backoff).await {
            tracing::debug!(%error, "the stream of desired states has ended");
        }
        backoff.pause().await;
    }
}

async fn watch(state: &State, client: &mut Client, backoff: &mut Backoff) -> Result<(), LinkError> {
    let call = client.watch_desired_state(WatchDesiredStateRequest {});
    let mut stream = within(state.pace.call_limit, call).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if let Some(desired) = message.state {
            take(state, desired);
            backoff.reset();
        }
    }
    Ok(())
}

/// Accepts a state or says why not: both are told with the next status.
fn take(state: &State, desired: DesiredState) {
    let generation = desired.generation;
    match state.ledger.accept(desired) {
        Ok(()) => {
            state.status.alarm(AlarmKind::StateRefused, None);
            state.status.touch();
        }
        Err(NotAccepted::Refused { reason, .. }) => {
            let detail = format!("generation {generation}: {reason}");
            state.status.alarm(AlarmKind::StateRefused, Some(detail));
        }
        Err(error @ NotAccepted::Io(_)) => {
            state.status.alarm(AlarmKind::StateRefused, Some(error.to_string()));
        }
    }
    metrics::gauge!("umail_agent_generation_accepted").set(
        u32::try_from(state.ledger.desired().map_or(0, |desired| desired.generation))
            .unwrap_or(u32::MAX),
    );
}
