//! Reports: the status when it changes and every few seconds, traffic when there is some.

use umail_proto::agent::ReportStatusRequest;

use super::{Backoff, Client, within};
use crate::state::State;

/// Reports the status for as long as the connection holds.
pub(super) async fn status(state: &State, mut client: Client) {
    let mut backoff = Backoff::new(state.pace.pause);
    loop {
        let observed = state.status.observed(&state.ledger, &state.clock);
        let report = ReportStatusRequest { state: Some(observed) };
        match within(state.pace.call_limit, client.report_status(report)).await {
            Ok(_) => {
                backoff.reset();
                // What changes together is told together.
                tokio::time::sleep(state.pace.heartbeat / 20).await;
                tokio::select! {
                    () = state.status.changed() => {}
                    () = tokio::time::sleep(state.pace.report) => {}
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the status was not reported");
                backoff.pause().await;
            }
        }
    }
}

/// Hands over traffic for as long as the connection holds.
pub(super) async fn traffic(_state: &State, _client: Client) {
    std::future::pending::<()>().await;
}
