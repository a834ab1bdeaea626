//! Reports: the status when it changes and every few seconds, traffic when there is some.

use umail_proto::agent::{ReportStatusRequest, ReportTrafficRequest};

use super::{Backoff, Client, within};
use crate::state::State;

/// Reports of traffic that are handed over at a time.
const REPORTS_MAX: usize = 500;

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

/// Hands over traffic for as long as the connection holds. A report stays in the spool until the
/// server says that it is committed; one that is sent again changes nothing there.
pub(super) async fn traffic(state: &State, mut client: Client) {
    let mut backoff = Backoff::new(state.pace.pause);
    loop {
        match hand_over(state, &mut client).await {
            Ok(true) => backoff.reset(),
            Ok(false) => {
                backoff.reset();
                tokio::select! {
                    () = state.spool.appended().notified() => {}
                    () = tokio::time::sleep(state.pace.report) => {}
                }
            }
            Err(error) => {
                tracing::debug!(error, "traffic was not handed over");
                backoff.pause().await;
            }
        }
    }
}

/// Sends the oldest reports. True when the server has taken some: more may be waiting.
async fn hand_over(state: &State, client: &mut Client) -> Result<bool, String> {
    let reports = state.spool.oldest(REPORTS_MAX).map_err(|error| error.to_string())?;
    if reports.is_empty() {
        return Ok(false);
    }
    let request = ReportTrafficRequest { reports };
    let answer = within(state.pace.call_limit, client.report_traffic(request)).await;
    let accepted = answer.map_err(|error| error.to_string())?.into_inner().accepted;
    state.spool.accepted(&accepted).map_err(|error| error.to_string())?;
    Ok(!accepted.is_empty())
}
