//! Following actions: each is answered, and unanswered ones come again.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use umail_proto::agent::{Action, ReportActionRequest, WatchActionsRequest};

use super::{Backoff, Client, LinkError, within};
use crate::{actions::Actions, state::State};

/// Actions that wait for their answer; no further one is read meanwhile.
const WAITING_MAX: usize = 64;

/// Follows actions for as long as the connection holds, once the epoch is known.
pub(super) async fn follow(state: &State, actions: &Arc<Actions>, mut client: Client) {
    let mut backoff = Backoff::new(state.pace.pause);
    let mut desired = state.ledger.watch();
    if desired.wait_for(Option::is_some).await.is_err() {
        return;
    }
    loop {
        if let Err(error) = watch(state, actions, &mut client, &mut backoff).await {
            tracing::debug!(%error, "the stream of actions has ended");
        }
        backoff.pause().await;
    }
}

async fn watch(
    state: &State,
    actions: &Arc<Actions>,
    client: &mut Client,
    backoff: &mut Backoff,
) -> Result<(), LinkError> {
    let call = client.watch_actions(WatchActionsRequest {});
    let mut stream = within(state.pace.call_limit, call).await?.into_inner();
    let mut waiting = FuturesUnordered::new();
    loop {
        tokio::select! {
            message = stream.message(), if waiting.len() < WAITING_MAX => {
                let Some(message) = message? else { return Ok(()) };
                if let Some(action) = message.action {
                    waiting.push(answer(state, actions, client.clone(), action));
                }
            }
            Some(reported) = waiting.next() => {
                // A stream of its own would not bring the action again: this one is given up.
                let () = reported?;
                backoff.reset();
            }
        }
    }
}

/// Executes an action and reports what became of it. When the report fails the action goes on,
/// and its answer is reported when the server sends it again.
async fn answer(
    state: &State,
    actions: &Arc<Actions>,
    mut client: Client,
    action: Action,
) -> Result<(), LinkError> {
    let action_id = action.action_id.clone();
    let answer = actions.answer(action).await;
    let report = ReportActionRequest {
        action_id,
        outcome: answer.outcome.into(),
        detail: answer.detail,
        findings: answer.findings,
    };
    within(state.pace.call_limit, client.report_action(report)).await?;
    Ok(())
}
