//! Renewing the node certificate at half of its life, and after its end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use umail_proto::agent::{RenewRequest, enrolment_service_client::EnrolmentServiceClient};

use super::{Backoff, connect, within};
use crate::{identity::Lifetime, state::State, status::AlarmKind};

/// After a renewal the next one is this many times later than any other look at the age.
const RENEWED_PAUSES: u32 = 60;

/// Keeps the certificate fresh until it is told to stop. Has connections of its own: an expired
/// certificate may renew itself, and nothing else.
pub async fn renew(state: Arc<State>, servers: Vec<String>, stop: CancellationToken) {
    let work = async {
        let mut backoff = Backoff::new(state.pace.pause);
        let mut servers = servers.iter().cycle();
        loop {
            let lifetime = state.identity.lifetime();
            watch_age(&state, lifetime);
            let Some(server) = servers.next() else { return };
            if state.clock.now() < due_at(lifetime, &state.identity.node_id()) {
                tokio::time::sleep(state.pace.renewal).await;
                continue;
            }
            match attempt(&state, server).await {
                Ok(()) => {
                    tracing::info!(until = %state.identity.lifetime().until, "certificate renewed");
                    backoff.reset();
                    // By a clock that is wrong the new certificate is due at once again.
                    tokio::time::sleep(state.pace.renewal * RENEWED_PAUSES).await;
                }
                Err(error) => {
                    tracing::warn!(server, error, "the certificate was not renewed");
                    backoff.pause().await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Half of the life, and up to a tenth of that later: nodes that joined together spread out.
fn due_at(lifetime: Lifetime, node_id: &str) -> time::OffsetDateTime {
    let share = node_id.bytes().next_back().map_or(0, |byte| i32::from(byte % 16));
    let half = lifetime.half();
    half + (half - lifetime.from) * share / 160
}

fn watch_age(state: &State, lifetime: Lifetime) {
    let is_over = state.clock.now() > lifetime.until;
    let detail = is_over.then(|| format!("the certificate was good until {}", lifetime.until));
    state.status.alarm(AlarmKind::CertificateExpired, detail);
    let until = i32::try_from(lifetime.until.unix_timestamp()).unwrap_or(i32::MAX);
    metrics::gauge!("umail_agent_certificate_expires_at_seconds").set(until);
}

async fn attempt(state: &State, server: &str) -> Result<(), String> {
    let signing_request = state.identity.signing_request().map_err(|error| error.to_string())?;
    let channel =
        connect(server, state.identity.client_config()).await.map_err(|error| error.to_string())?;
    let mut client = EnrolmentServiceClient::new(channel);
    let call = client.renew(RenewRequest { signing_request });
    let answer = within(state.pace.call_limit, call).await.map_err(|error| error.to_string())?;
    let certificate = answer.into_inner().certificate.ok_or("the server sent no certificate")?;
    state.identity.install(&certificate).map_err(|error| error.to_string())?;
    watch_age(state, state.identity.lifetime());
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;

    #[test]
    fn renewal_is_due_soon_after_half_of_the_life() {
        let from = OffsetDateTime::UNIX_EPOCH;
        let lifetime = Lifetime { from, until: from + Duration::hours(20) };
        assert_eq!(due_at(lifetime, "…0"), from + Duration::hours(10));
        let late = due_at(lifetime, "…f");
        assert!(late > from + Duration::hours(10) && late <= from + Duration::hours(11), "{late}");
    }
}
