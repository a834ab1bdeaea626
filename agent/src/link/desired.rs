//! Following the desired state: into the ledger, or answered with why not.

use umail_proto::agent::{DesiredState, WatchDesiredStateRequest};

use super::{Backoff, Client, LinkError, within};
use crate::{durable, ledger::NotAccepted, state::State, status::AlarmKind};

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
            if take(state, desired) {
                backoff.reset();
            } else {
                // Asked for again: it was not written down.
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Accepts a state or says why not: both are told with the next status. False when the state has
/// to be asked for again.
fn take(state: &State, desired: DesiredState) -> bool {
    let generation = desired.generation;
    let accepted = state.ledger.accept(desired);
    let mut full = None;
    let detail = match &accepted {
        Ok(()) => None,
        Err(NotAccepted::Io(error)) if durable::is_full(error) => {
            full = Some(error.to_string());
            None
        }
        Err(NotAccepted::Refused { reason, .. }) => {
            Some(format!("generation {generation}: {reason}"))
        }
        Err(error @ NotAccepted::Io(_)) => Some(error.to_string()),
    };
    state.status.alarm(AlarmKind::StateRefused, detail);
    state.status.disk_full("ledger", full);
    state.status.touch();
    metrics::gauge!("umail_agent_generation_accepted").set(
        u32::try_from(state.ledger.desired().map_or(0, |desired| desired.generation))
            .unwrap_or(u32::MAX),
    );
    !matches!(accepted, Err(NotAccepted::Io(_)))
}
