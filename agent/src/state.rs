//! What the parts of a running agent share.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::sync::Notify;
use umail_proto::clock::Clock;

use crate::{
    identity::Identity, layout::Layout, ledger::Ledger, replica::Replica, spool::Spool,
    status::Status,
};

/// The shared handles of one agent.
pub struct State {
    /// Where everything lies.
    pub layout: Layout,
    /// Where the time comes from.
    pub clock: Clock,
    /// Who this node is.
    pub identity: Identity,
    /// What was accepted and done.
    pub ledger: Arc<Ledger>,
    /// The directory.
    pub replica: Replica,
    /// What was counted and is not committed by the server yet.
    pub spool: Arc<Spool>,
    /// What the node is.
    pub status: Arc<Status>,
    /// How often things are done.
    pub pace: Pace,
    /// Wakes the reconciler.
    pub reconcile: Notify,
    /// Every running service has to be restarted: the files it had open are gone.
    pub restart_services: AtomicBool,
    /// Wakes the directory stream: the replica stands elsewhere than before.
    pub replica_moved: Notify,
    /// Wakes who looks for sessions that are no longer allowed: the directory has changed.
    pub directory_changed: Notify,
}

/// How often and how patiently the agent does things.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// How long any short call may take.
    pub call_limit: Duration,
    /// Between two reports of an unchanged status.
    pub report: Duration,
    /// The first pause after a failure, and the longest one.
    pub pause: (Duration, Duration),
    /// Between two looks at the services, the load and the queue.
    pub observe: Duration,
    /// Between two passes of the reconciler when nothing has changed.
    pub reconcile_full: Duration,
    /// Between two passes of the reconciler after a refusal.
    pub reconcile_retry: Duration,
    /// Between two looks at the certificate's age.
    pub renewal: Duration,
    /// Between two checks of the replica.
    pub check_replica: Duration,
    /// Rows of a snapshot that are too many.
    pub snapshot_rows_max: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(2),
            call_limit: Duration::from_secs(10),
            report: Duration::from_secs(5),
            pause: (Duration::from_millis(250), Duration::from_secs(30)),
            observe: Duration::from_secs(2),
            reconcile_full: Duration::from_secs(30),
            reconcile_retry: Duration::from_secs(5),
            renewal: Duration::from_secs(10),
            check_replica: Duration::from_secs(20),
            snapshot_rows_max: 1_000_000_000,
        }
    }
}
