//! One running agent: its parts, and the tasks that they are.

use std::{
    fs::File,
    io,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_proto::clock::Clock;

use crate::{
    actions::{Actions, Verbs},
    config::Config,
    drivers::Driver,
    identity::{Identity, IdentityError},
    layout::Layout,
    ledger::Ledger,
    link, metrics,
    reconciler::Reconciler,
    replica::{Replica, ReplicaError},
    spool::Spool,
    state::{Pace, State},
    status::{AlarmKind, Status},
    watchers,
};

/// How long another agent may take to be gone.
const LOCK_LIMIT: Duration = Duration::from_secs(3);
const LOCK_INTERVAL: Duration = Duration::from_millis(50);
/// How long the tasks may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(4);

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It has not joined, or its identity is broken.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The replica cannot be opened.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// Another agent runs on the same data directory.
    #[error("another agent runs on this data directory")]
    Locked,
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An agent whose files are open.
pub struct Agent {
    state: Arc<State>,
    config: Config,
    tracker: TaskTracker,
    stop: CancellationToken,
    /// Held for as long as the agent runs.
    _lock: Flock<File>,
}

impl Agent {
    /// Opens identity, replica and ledger. Nothing runs yet.
    pub async fn open(config: Config, clock: Clock, pace: Pace) -> Result<Self, StartError> {
        let layout = Layout::new(&config.data_dir);
        let identity = Identity::load(&layout)?;
        let lock = lock(&layout).await?;
        let replica = Replica::open(&layout).await?;
        let ledger = Arc::new(Ledger::open(&layout, &identity.node_id())?);
        let spool = Arc::new(Spool::open(&layout, clock.clone())?);
        let status = Arc::new(Status::new(spool.boot()));
        if let Some(position) = replica.position().await? {
            status.directory(position.version);
        }
        if ledger.was_damaged() {
            let detail = "it was put aside and starts anew".to_owned();
            status.alarm(AlarmKind::LedgerDamaged, Some(detail));
        }
        let state = Arc::new(State {
            layout,
            clock,
            identity,
            ledger,
            replica,
            spool,
            status,
            pace,
            reconcile: Notify::new(),
            restart_services: AtomicBool::new(false),
            replica_moved: Notify::new(),
            directory_changed: Notify::new(),
        });
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        Ok(Self { state, config, tracker, stop, _lock: lock })
    }

    /// The shared handles.
    #[must_use]
    pub const fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// What tells all tasks to stop.
    #[must_use]
    pub const fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Starts a task that the end of the agent waits for.
    pub fn task(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Starts everything.
    pub fn start(&self, drivers: Vec<Arc<dyn Driver>>, verbs: Arc<dyn Verbs>) {
        let state = || Arc::clone(&self.state);
        let stop = || self.stop.clone();
        let servers = || self.config.servers.clone();
        let actions = Actions::new(state(), verbs, self.tracker.clone());
        self.task(Reconciler::new(state(), drivers).run(stop()));
        self.task(link::run(state(), actions, servers(), stop()));
        self.task(link::renew(state(), servers(), stop()));
        self.task(watchers::replica(state(), stop()));
        self.task(watchers::state_file(state(), stop()));
        self.task(metrics::serve(self.config.metrics_port, stop()));
    }

    /// Ends all tasks. The mail daemons go on. False when a task had to be given up.
    pub async fn stop(self) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(STOP_LIMIT, self.tracker.wait()).await.is_ok()
    }
}

/// Keeps a second agent away from the same files. A predecessor that was killed while it started
/// a process keeps the lock until that process is what it shall be: this waits a moment.
async fn lock(layout: &Layout) -> Result<Flock<File>, StartError> {
    let mut file = File::create(layout.agent().join("lock"))?;
    let limit = Instant::now() + LOCK_LIMIT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((same, Errno::EWOULDBLOCK)) if Instant::now() < limit => file = same,
            Err((_file, Errno::EWOULDBLOCK)) => return Err(StartError::Locked),
            Err((_file, error)) => return Err(StartError::Io(error.into())),
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
}
