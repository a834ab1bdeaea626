//! What the node is right now, as every part of the agent has told it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use umail_proto::{
    agent::{Alarm, Load, ObservedService, ObservedState, Queue},
    clock::Clock,
};

use crate::{layout::Layout, ledger::Ledger};

/// What an operator should look at, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// The replica did not hold together and is being filled again.
    ReplicaDamaged,
    /// The ledger could not be read when the agent started.
    LedgerDamaged,
    /// Something could not be written.
    DiskFull,
    /// The certificate is no longer good.
    CertificateExpired,
    /// The server's directory does not apply.
    DirectoryRefused,
    /// The server's desired state was not accepted.
    StateRefused,
    /// The accepted state could not be brought about.
    ConfigurationRefused,
    /// The server does not know this node, or no longer.
    NodeRefused,
}

impl AlarmKind {
    /// The stable name for machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReplicaDamaged => "replica_damaged",
            Self::LedgerDamaged => "ledger_damaged",
            Self::DiskFull => "disk_full",
            Self::CertificateExpired => "certificate_expired",
            Self::DirectoryRefused => "directory_refused",
            Self::StateRefused => "state_refused",
            Self::ConfigurationRefused => "configuration_refused",
            Self::NodeRefused => "node_refused",
        }
    }
}

#[derive(Default)]
struct Seen {
    sequence: u64,
    server: Option<String>,
    refused: (u64, String),
    directory_version: u64,
    services: Vec<ObservedService>,
    load: Load,
    queue: Queue,
    alarms: BTreeMap<AlarmKind, String>,
    /// What could not be written, by the part of the agent.
    full: BTreeMap<&'static str, String>,
    meter_alarms: Vec<Alarm>,
}

/// The observed state, put together from what the parts of the agent report.
pub struct Status {
    boot: String,
    seen: Mutex<Seen>,
    changed: Notify,
}

impl Status {
    /// The status of this boot.
    #[must_use]
    pub fn new(boot: &str) -> Self {
        Self { boot: boot.to_owned(), seen: Mutex::default(), changed: Notify::new() }
    }

    /// The boot of the agent.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Resolves when something has changed that the server should know at once.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Asks for a report at once.
    pub fn touch(&self) {
        self.changed.notify_one();
    }

    /// The server that the link is connected to.
    pub fn connected(&self, server: Option<&str>) {
        self.seen().server = server.map(str::to_owned);
    }

    /// What the services are.
    pub fn services(&self, services: Vec<ObservedService>) {
        let mut seen = self.seen();
        if seen.services != services {
            seen.services = services;
            drop(seen);
            self.touch();
        }
    }

    /// Why this generation is not applied, or not accepted; empty when nothing is wrong.
    pub fn refuse(&self, generation: u64, reason: &str) {
        self.seen().refused = (generation, reason.to_owned());
        // The applied generation may have changed: it stands in the ledger.
        self.touch();
    }

    /// The version that the replica has reached.
    pub fn directory(&self, version: u64) {
        let before = std::mem::replace(&mut self.seen().directory_version, version);
        if before != version {
            self.touch();
        }
    }

    /// The version that the replica has reached.
    #[must_use]
    pub fn directory_version(&self) -> u64 {
        self.seen().directory_version
    }

    /// What the meters saw.
    pub fn meters(&self, load: Load, queue: Queue, alarms: Vec<Alarm>) {
        let mut seen = self.seen();
        seen.load = load;
        seen.queue = queue;
        seen.meter_alarms = alarms;
    }

    /// Raises an alarm with this detail, or ends it.
    pub fn alarm(&self, kind: AlarmKind, detail: Option<String>) {
        let mut seen = self.seen();
        let before = match detail.clone() {
            Some(detail) => seen.alarms.insert(kind, detail),
            None => seen.alarms.remove(&kind),
        };
        drop(seen);
        if before != detail {
            if let Some(detail) = detail {
                tracing::warn!(alarm = kind.name(), detail, "alarm");
            }
            self.touch();
        }
    }

    /// Notes that this part of the agent found no room for what it writes, or that it did again:
    /// the alarm lasts for as long as one of them has none.
    pub fn disk_full(&self, part: &'static str, error: Option<String>) {
        let mut seen = self.seen();
        match error {
            Some(error) => seen.full.insert(part, error),
            None => seen.full.remove(part),
        };
        let parts = seen.full.iter().map(|(part, error)| format!("{part}: {error}"));
        let detail = parts.collect::<Vec<_>>().join("; ");
        drop(seen);
        self.alarm(AlarmKind::DiskFull, Some(detail).filter(|detail| !detail.is_empty()));
    }

    /// The next report. Its sequence is one higher than that of the last one.
    pub fn observed(&self, ledger: &Ledger, clock: &Clock) -> ObservedState {
        let mut seen = self.seen();
        seen.sequence += 1;
        let desired = ledger.desired();
        let alarms = seen
            .alarms
            .iter()
            .map(|(kind, detail)| Alarm { kind: kind.name().to_owned(), detail: detail.clone() });
        ObservedState {
            boot: self.boot.clone(),
            sequence: seen.sequence,
            observed_at: Some(timestamp(clock)),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: desired.as_ref().map(|desired| desired.epoch.clone()).unwrap_or_default(),
            accepted_generation: desired.as_ref().map_or(0, |desired| desired.generation),
            applied_generation: ledger.applied_generation(),
            refusal: seen.refused.1.clone(),
            directory_version: seen.directory_version,
            services: seen.services.clone(),
            load: Some(seen.load),
            queue: Some(seen.queue),
            alarms: alarms.chain(seen.meter_alarms.iter().cloned()).collect(),
        }
    }

    /// Writes the state file for `umail-agent status`. Not durable: the next one comes soon.
    pub fn write(&self, layout: &Layout, observed: &ObservedState) -> io::Result<()> {
        let file = StateFile::new(observed, self.seen().server.clone());
        let path = StateFile::path(layout);
        let aside = path.with_extension("new");
        std::fs::write(&aside, serde_json::to_vec_pretty(&file)?)?;
        std::fs::rename(aside, path)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timestamp(clock: &Clock) -> prost_types::Timestamp {
    let now = clock.now();
    prost_types::Timestamp {
        seconds: now.unix_timestamp(),
        nanos: now.nanosecond().try_into().unwrap_or_default(),
    }
}

/// What a running agent leaves for people on its node: `umail-agent status` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Seconds since 1970 when this was written.
    pub written_at: i64,
    /// The boot of the agent that wrote it.
    pub boot: String,
    /// The server that the link is connected to.
    pub server: Option<String>,
    /// Epoch of the control plane.
    pub epoch: String,
    /// Generation in the ledger.
    pub accepted_generation: u64,
    /// Generation brought about.
    pub applied_generation: u64,
    /// Why that is not the same.
    pub refusal: String,
    /// Version of the replica.
    pub directory_version: u64,
    /// The services.
    pub services: Vec<StateFileService>,
    /// Messages in the queue.
    pub queued: u64,
    /// Alarms, worst first, each as `kind: detail`.
    pub alarms: Vec<String>,
}

/// A service in the state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFileService {
    /// Such as `postfix`.
    pub name: String,
    /// Such as `running`.
    pub health: String,
    /// Open listeners, such as `smtp`.
    pub listeners: Vec<String>,
    /// Version of the package.
    pub version: String,
    /// What is wrong.
    pub detail: String,
}

impl StateFile {
    /// Where it lies.
    #[must_use]
    pub fn path(layout: &Layout) -> PathBuf {
        layout.agent().join("state.json")
    }

    /// Reads the file that a running agent has left.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    fn new(observed: &ObservedState, server: Option<String>) -> Self {
        let short = |name: &str, prefix: &str| name.trim_start_matches(prefix).to_lowercase();
        let services = observed.services.iter().map(|service| StateFileService {
            name: short(service.kind().as_str_name(), "SERVICE_KIND_"),
            health: short(service.health().as_str_name(), "SERVICE_HEALTH_"),
            listeners: service
                .listeners()
                .map(|listener| short(listener.as_str_name(), "LISTENER_KIND_"))
                .collect(),
            version: service.version.clone(),
            detail: service.detail.clone(),
        });
        let queue = observed.queue.unwrap_or_default();
        Self {
            written_at: observed.observed_at.unwrap_or_default().seconds,
            boot: observed.boot.clone(),
            server,
            epoch: observed.epoch.clone(),
            accepted_generation: observed.accepted_generation,
            applied_generation: observed.applied_generation,
            refusal: observed.refusal.clone(),
            directory_version: observed.directory_version,
            services: services.collect(),
            queued: queue.active + queue.deferred + queue.hold + queue.incoming,
            alarms: observed
                .alarms
                .iter()
                .map(|alarm| format!("{}: {}", alarm.kind, alarm.detail))
                .collect(),
        }
    }
}
