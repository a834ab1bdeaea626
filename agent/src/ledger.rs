//! The ledger: what this node has accepted and done, on the disk before anything acts on it.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prost::Message;
use time::{Duration, OffsetDateTime};
use tokio::sync::watch;
use umail_proto::agent::{Action, ActionFindings, ActionOutcome, DesiredState, ServiceKind};

use crate::{desired, durable, layout::Layout};

/// More actions than this are not remembered at a time, and then no further one is executed.
const ACTIONS_MAX: usize = 2_000;
/// How long an action is remembered beyond its deadline, in case the clock is set back.
const ACTION_GRACE: Duration = Duration::hours(24);

/// The file. Its tags are never used again for something else.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(message, optional, tag = "1")]
    desired: Option<DesiredState>,
    #[prost(uint64, tag = "2")]
    applied_generation: u64,
    #[prost(message, repeated, tag = "3")]
    services: Vec<ServiceRecord>,
    #[prost(message, repeated, tag = "4")]
    actions: Vec<ActionRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct ServiceRecord {
    #[prost(enumeration = "ServiceKind", tag = "1")]
    kind: i32,
    /// The desired restarts that have been carried out.
    #[prost(uint64, tag = "2")]
    restarts: u64,
    /// Its configuration is being changed: whether it has taken effect is not known.
    #[prost(bool, tag = "3")]
    is_unsettled: bool,
}

#[derive(Clone, PartialEq, Message)]
struct ActionRecord {
    #[prost(string, tag = "1")]
    action_id: String,
    /// Seconds since 1970.
    #[prost(int64, tag = "2")]
    deadline: i64,
    /// Unspecified while it runs.
    #[prost(enumeration = "ActionOutcome", tag = "3")]
    outcome: i32,
    #[prost(string, tag = "4")]
    detail: String,
    #[prost(message, optional, tag = "5")]
    findings: Option<ActionFindings>,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// How it ended.
    pub outcome: ActionOutcome,
    /// What went wrong; empty on success.
    pub detail: String,
    /// What it found out.
    pub findings: Option<ActionFindings>,
}

impl Answer {
    /// An action that was not tried.
    #[must_use]
    pub fn refused(detail: impl Into<String>) -> Self {
        Self { outcome: ActionOutcome::Refused, detail: detail.into(), findings: None }
    }

    /// An action that was tried and did not work.
    #[must_use]
    pub fn failed(detail: impl Into<String>) -> Self {
        Self { outcome: ActionOutcome::Failed, detail: detail.into(), findings: None }
    }
}

/// Why a desired state was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// The agent says no: the state is answered with this reason.
    #[error("generation {generation} is refused: {reason}")]
    Refused {
        /// Generation of the refused state.
        generation: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// It could not be written down.
    #[error("the ledger cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// The ledger of this node.
pub struct Ledger {
    path: PathBuf,
    node_id: String,
    record: Mutex<Record>,
    desired: watch::Sender<Option<Arc<DesiredState>>>,
    was_damaged: bool,
}

impl Ledger {
    /// Opens the ledger. One that cannot be read is put aside: the server knows the desired state,
    /// and sends no action again that was answered.
    pub fn open(layout: &Layout, node_id: &str) -> io::Result<Self> {
        let path = layout.agent().join("ledger");
        let content = durable::read(&path)?.unwrap_or_default();
        let (mut record, was_damaged) = match Record::decode(content.as_slice()) {
            Ok(record) => (record, false),
            Err(error) => {
                tracing::error!(%error, "the ledger cannot be read and is put aside");
                std::fs::rename(&path, layout.agent().join("ledger.damaged"))?;
                (Record::default(), true)
            }
        };
        for action in &mut record.actions {
            if action.outcome() == ActionOutcome::Unspecified {
                action.set_outcome(ActionOutcome::Failed);
                "the agent was stopped while the action ran".clone_into(&mut action.detail);
            }
        }
        let desired = watch::Sender::new(record.desired.clone().map(Arc::new));
        let node_id = node_id.to_owned();
        Ok(Self { path, node_id, record: Mutex::new(record), desired, was_damaged })
    }

    /// The state in the ledger of an agent that may be running.
    pub fn read(layout: &Layout) -> io::Result<Option<DesiredState>> {
        let content = durable::read(&layout.agent().join("ledger"))?.unwrap_or_default();
        let record = Record::decode(content.as_slice()).map_err(io::Error::other)?;
        Ok(record.desired)
    }

    /// Whether the ledger of the last boot could not be read.
    #[must_use]
    pub const fn was_damaged(&self) -> bool {
        self.was_damaged
    }

    /// The state accepted last.
    #[must_use]
    pub fn desired(&self) -> Option<Arc<DesiredState>> {
        self.desired.borrow().clone()
    }

    /// Follows the accepted state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<DesiredState>>> {
        self.desired.subscribe()
    }

    /// Accepts a state, or says why not. Accepted is a state of a new epoch, one with a higher
    /// generation, and the one that is accepted already.
    pub fn accept(&self, state: DesiredState) -> Result<(), NotAccepted> {
        let generation = state.generation;
        let refused = |reason| Err(NotAccepted::Refused { generation, reason });
        if let Err(reason) = desired::check(&state, &self.node_id) {
            return refused(reason);
        }
        let known = self.desired();
        let is_new_epoch = known.as_ref().is_none_or(|known| known.epoch != state.epoch);
        match known {
            Some(known) if is_new_epoch => {
                tracing::warn!(old = known.epoch, new = state.epoch, "a new epoch begins");
            }
            Some(known) if known.generation > generation => {
                return refused(format!("generation {} is accepted already", known.generation));
            }
            Some(known) if known.generation == generation && *known == state => return Ok(()),
            Some(known) if known.generation == generation => {
                return refused("the same generation was accepted with other content".to_owned());
            }
            _ => {}
        }
        self.update(|record| {
            if is_new_epoch {
                record.applied_generation = 0;
                // Restarts are counted from where the new epoch begins: none of them is due.
                for service in &state.services {
                    record.service(service.kind()).restarts = service.restarts;
                }
            }
            record.desired = Some(state);
        })?;
        let accepted = self.record().desired.clone().map(Arc::new);
        self.desired.send_replace(accepted);
        Ok(())
    }

    /// Generation that the services were last brought to.
    #[must_use]
    pub fn applied_generation(&self) -> u64 {
        self.record().applied_generation
    }

    /// Notes that the services were brought to this generation of this epoch.
    pub fn applied(&self, state: &DesiredState) -> io::Result<()> {
        let is_current = |record: &Record| {
            record.desired.as_ref().is_some_and(|desired| desired.epoch == state.epoch)
                && record.applied_generation != state.generation
        };
        if !is_current(&self.record()) {
            return Ok(());
        }
        self.update(|record| record.applied_generation = state.generation)
    }

    /// The restarts of a service that have been carried out.
    #[must_use]
    pub fn restarts(&self, kind: ServiceKind) -> u64 {
        self.record().service(kind).restarts
    }

    /// Notes that a service has been restarted as often as this.
    pub fn restarted(&self, kind: ServiceKind, restarts: u64) -> io::Result<()> {
        if self.restarts(kind) == restarts {
            return Ok(());
        }
        self.update(|record| record.service(kind).restarts = restarts)
    }

    /// Whether a change of this service's configuration was begun and not finished.
    #[must_use]
    pub fn is_unsettled(&self, kind: ServiceKind) -> bool {
        self.record().service(kind).is_unsettled
    }

    /// Notes that a change of this service's configuration begins, or has taken effect.
    pub fn unsettle(&self, kind: ServiceKind, is_unsettled: bool) -> io::Result<()> {
        if self.is_unsettled(kind) == is_unsettled {
            return Ok(());
        }
        self.update(|record| record.service(kind).is_unsettled = is_unsettled)
    }

    /// What became of this action; none when it was never begun or has not ended.
    #[must_use]
    pub fn answer(&self, action_id: &str) -> Option<Answer> {
        let record = self.record();
        let action = record.actions.iter().find(|action| action.action_id == action_id)?;
        let outcome = action.outcome();
        let answer =
            Answer { outcome, detail: action.detail.clone(), findings: action.findings.clone() };
        (outcome != ActionOutcome::Unspecified).then_some(answer)
    }

    /// Notes that an action begins: after a crash it is not begun again. False when there are more
    /// actions than can be remembered.
    pub fn begin(&self, action: &Action, deadline: OffsetDateTime) -> io::Result<bool> {
        if self.record().actions.len() >= ACTIONS_MAX {
            return Ok(false);
        }
        self.update(|record| {
            record.actions.push(ActionRecord {
                action_id: action.action_id.clone(),
                deadline: deadline.unix_timestamp(),
                ..ActionRecord::default()
            });
        })?;
        Ok(true)
    }

    /// Notes how an action has ended, and forgets those whose time is long over.
    pub fn end(&self, action_id: &str, answer: &Answer, now: OffsetDateTime) -> io::Result<()> {
        let forget_before = (now - ACTION_GRACE).unix_timestamp();
        self.update(|record| {
            record
                .actions
                .retain(|action| action.deadline >= forget_before || action.action_id == action_id);
            for action in &mut record.actions {
                if action.action_id == action_id {
                    action.set_outcome(answer.outcome);
                    action.detail.clone_from(&answer.detail);
                    action.findings.clone_from(&answer.findings);
                }
            }
        })
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record, on the disk first.
    fn update(&self, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        let mut record = self.record();
        let mut next = record.clone();
        change(&mut next);
        durable::write(&self.path, &next.encode_to_vec(), 0o600)?;
        *record = next;
        Ok(())
    }
}

impl Record {
    fn service(&mut self, kind: ServiceKind) -> &mut ServiceRecord {
        let place = self.services.iter().position(|service| service.kind() == kind);
        let place = place.unwrap_or_else(|| {
            self.services.push(ServiceRecord { kind: kind.into(), ..ServiceRecord::default() });
            self.services.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        &mut self.services[place]
    }
}
