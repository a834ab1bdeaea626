//! What the agent looks after by itself, without being asked by the server.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{meters::Meters, replica::ReplicaError, state::State, status::AlarmKind};

/// A check of the replica takes at most one part in this many of the time.
const CHECK_SHARE: u32 = 20;

/// Checks the replica now and then. A damaged one is emptied in place and filled by a snapshot;
/// meanwhile lookups fail temporarily.
pub async fn replica(state: Arc<State>, stop: CancellationToken) {
    let mut pause = state.pace.check_replica;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let start = Instant::now();
        match state.replica.check().await {
            Ok(()) => {}
            Err(ReplicaError::Damaged(detail)) => rebuild(&state, detail).await,
            Err(error) => tracing::warn!(%error, "the replica was not checked"),
        }
        pause = state.pace.check_replica.max(start.elapsed() * CHECK_SHARE);
    }
}

async fn rebuild(state: &State, detail: String) {
    state.status.alarm(AlarmKind::ReplicaDamaged, Some(detail));
    match state.replica.rebuild().await {
        Ok(()) => {
            state.status.directory(0);
            state.replica_moved.notify_one();
            // The daemons may still have a file open that no longer has a name.
            state.restart_services.store(true, Ordering::SeqCst);
            state.reconcile.notify_one();
        }
        Err(error) => tracing::error!(%error, "the replica cannot be rebuilt"),
    }
}

/// Looks at the load of the node and at Postfix's queue, for the status.
pub async fn load(state: Arc<State>, meters: Arc<Meters>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let (load, queue) = meters.observe().await;
        state.status.meters(load, queue, state.spool.alarms());
        state.status.disk_full("spool", state.spool.unwritten());
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(state.pace.observe) => {}
        }
    }
}

/// Writes the state file for people on this node and sets the gauges.
pub async fn state_file(state: Arc<State>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let observed = state.status.observed(&state.ledger, &state.clock);
        let written = state.status.write(&state.layout, &observed);
        state.status.disk_full("state file", written.err().map(|error| error.to_string()));
        let gauge = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        metrics::gauge!("umail_agent_generation_applied").set(gauge(observed.applied_generation));
        metrics::gauge!("umail_agent_alarms").set(gauge(observed.alarms.len() as u64));
        let queue = observed.queue.unwrap_or_default();
        let queued = queue.active + queue.deferred + queue.hold + queue.incoming;
        metrics::gauge!("umail_agent_queue_messages").set(gauge(queued));
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(state.pace.observe) => {}
        }
    }
}
