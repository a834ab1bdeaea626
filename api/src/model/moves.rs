//! A mailbox move: its steps, what each asks of whom, and what follows. Pure: `app::moves` does it.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use umail_proto::{
    agent::{
        CopyMailbox, FlushQueue, FreezeMailbox, PrepareMove, ReleaseMailbox, RemoveMailbox,
        VerifyMailbox, action::Verb,
    },
    ids::{ActionId, NodeId, OperationId, UserId},
};

/// Tries of a step before the switch; after the last one the move is undone.
const TRIES: u32 = 3;
/// Tries to remove what the source has left.
const REMOVALS: u32 = 8;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::seconds(60);
/// How long a step behind the point of no return is tried.
const PERSISTENCE: Duration = Duration::hours(24);

/// A step, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The destination learns of the user.
    Introduce,
    /// The destination lets the source copy the mailbox in.
    Prepare,
    /// A copy while the mailbox is in use.
    CopyFirst,
    /// Another, so that the last one is short.
    CopyAgain,
    /// Deliveries and logins are held back where the nodes know it already.
    Hold,
    /// The source holds them back for certain: the barrier.
    Freeze,
    /// The copy that is complete.
    CopyLast,
    /// Both sides describe the mailbox, and agree.
    Verify,
    /// The mailbox is at the destination: the point of no return.
    Switch,
    /// The source forwards what still arrives there.
    Release,
    /// What was held back is delivered.
    Flush,
    /// The source removes its copy.
    Remove,
    /// The destination closes what it had opened.
    Close,
    /// The user stays where it was.
    Undo,
    /// The source serves the mailbox again.
    UndoRelease,
    /// The destination closes what it had opened.
    UndoClose,
}

/// A move, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Whose mailbox.
    pub user_id: UserId,
    /// From where.
    pub source_node_id: NodeId,
    /// To where.
    pub destination_node_id: NodeId,
    /// What carried the row besides the source before.
    pub former_companion: Option<NodeId>,
    /// What the step waits for; `None` when it has not begun.
    pub waiting: Option<Waiting>,
    /// Failed tries of the step.
    pub failures: u32,
    /// When the step was begun for the first time.
    #[serde(with = "time::serde::rfc3339")]
    pub begun_at: OffsetDateTime,
    /// Why the move is being undone.
    pub error: Option<String>,
    /// Messages that both sides agreed on.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What could not be done after the switch.
    pub left_undone: Vec<String>,
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Answers of nodes, until a time.
    Answers {
        /// The actions, in the order of `Work::Ask`.
        actions: Vec<ActionId>,
        /// When silence counts as failure.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// Nodes that apply a change of the directory.
    Applied {
        /// The change, by its id in the log.
        change: i64,
        /// Others are waited for until then, and then left behind.
        #[serde(with = "time::serde::rfc3339")]
        courtesy_until: OffsetDateTime,
        /// When the silence of those that matter counts as failure.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// The next try.
    Pause {
        /// When it begins.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Asks nodes and needs all of them to do it.
    Ask {
        /// Whom, for what.
        asks: Vec<(NodeId, Verb)>,
        /// How long the answer may take.
        patience: Duration,
        /// How long a node may begin it.
        deadline: Duration,
    },
    /// Changes where the directory says that the mailbox is.
    Place {
        /// The node that holds it.
        storage: NodeId,
        /// Another one that carries the row.
        companion: Option<NodeId>,
        /// Whether everything is held back.
        is_moving: bool,
        /// Nodes that must have applied it before the next step.
        must: Vec<NodeId>,
        /// How long these may take.
        patience: Duration,
    },
}

/// What follows a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The step, or an earlier one, is tried again after a pause.
    Retry(Step, Duration),
    /// The move is undone.
    Undo,
    /// The next step is taken all the same.
    GoOn,
}

impl Step {
    /// The word for it in the API and the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Introduce => "introduce",
            Self::CopyFirst => "copy_first",
            Self::CopyAgain => "copy_again",
            Self::Hold => "hold",
            Self::Freeze => "freeze",
            Self::CopyLast => "copy_last",
            Self::Verify => "verify",
            Self::Switch => "switch",
            Self::Release => "release",
            Self::Flush => "flush",
            Self::Remove => "remove",
            Self::Close => "close",
            Self::Undo => "undo",
            Self::UndoRelease => "undo_release",
            Self::UndoClose => "undo_close",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::from(name)).ok()
    }

    /// The step that follows; `None` after the last one.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Some(match self {
            Self::Introduce => Self::Prepare,
            Self::Prepare => Self::CopyFirst,
            Self::CopyFirst => Self::CopyAgain,
            Self::CopyAgain => Self::Hold,
            Self::Hold => Self::Freeze,
            Self::Freeze => Self::CopyLast,
            Self::CopyLast => Self::Verify,
            Self::Verify => Self::Switch,
            Self::Switch => Self::Release,
            Self::Release => Self::Flush,
            Self::Flush => Self::Remove,
            Self::Remove => Self::Close,
            Self::Undo => Self::UndoRelease,
            Self::UndoRelease => Self::UndoClose,
            Self::Close | Self::UndoClose => return None,
        })
    }

    /// Whether the move can still be given up.
    #[must_use]
    pub const fn can_be_undone(self) -> bool {
        match self {
            Self::Prepare
            | Self::Introduce
            | Self::CopyFirst
            | Self::CopyAgain
            | Self::Hold
            | Self::Freeze
            | Self::CopyLast
            | Self::Verify => true,
            Self::Switch
            | Self::Release
            | Self::Flush
            | Self::Remove
            | Self::Close
            | Self::Undo
            | Self::UndoRelease
            | Self::UndoClose => false,
        }
    }

    /// What follows when a try has failed. `failures` counts this one.
    #[must_use]
    pub fn after_failure(self, failures: u32, lasted: Duration) -> Failure {
        let pause = Duration::seconds(1 << failures.saturating_sub(1).min(6)).min(LONGEST_PAUSE);
        match self {
            // Nodes that were not reached deliver at their next attempt; a mailbox that stays
            // open to the source is closed by its deadline.
            Self::Flush | Self::Close | Self::UndoClose => Failure::GoOn,
            // It refuses what has changed since: that is for people to look at.
            Self::Remove if failures >= REMOVALS => Failure::GoOn,
            _ if !self.can_be_undone() && lasted < PERSISTENCE => Failure::Retry(self, pause),
            _ if !self.can_be_undone() => Failure::GoOn,
            _ if failures >= TRIES => Failure::Undo,
            // What differs is copied again.
            Self::Verify => Failure::Retry(Self::CopyLast, pause),
            _ => Failure::Retry(self, pause),
        }
    }
}

impl Move {
    /// What a step does. `relays` are the nodes that have mail in their queues.
    #[must_use]
    pub fn work(&self, id: OperationId, step: Step, relays: &[NodeId]) -> Work {
        let (source, destination) = (self.source_node_id, self.destination_node_id);
        let (move_id, user_id) = (id.to_string(), self.user_id.to_string());
        let release = || {
            let (move_id, user_id) = (move_id.clone(), user_id.clone());
            Verb::ReleaseMailbox(ReleaseMailbox { move_id, user_id })
        };
        let verify = || {
            let (move_id, user_id) = (move_id.clone(), user_id.clone());
            Verb::VerifyMailbox(VerifyMailbox { move_id, user_id })
        };
        match step {
            Step::Prepare => {
                let source_node_id = source.to_string();
                let verb = Verb::PrepareMove(PrepareMove { move_id, user_id, source_node_id });
                // Its deadline is that of the whole move.
                let (patience, deadline) = (Duration::minutes(1), PERSISTENCE);
                Work::Ask { asks: vec![(destination, verb)], patience, deadline }
            }
            Step::CopyFirst | Step::CopyAgain | Step::CopyLast => {
                let destination_node_id = destination.to_string();
                let verb = Verb::CopyMailbox(CopyMailbox { move_id, user_id, destination_node_id });
                // Nobody reads or gets mail during the last one.
                let is_last = step == Step::CopyLast;
                let patience = if is_last { Duration::minutes(5) } else { Duration::hours(2) };
                ask(vec![(source, verb)], patience)
            }
            Step::Freeze => {
                let verb = Verb::FreezeMailbox(FreezeMailbox { move_id, user_id });
                ask(vec![(source, verb)], Duration::minutes(1))
            }
            Step::Verify => {
                ask(vec![(source, verify()), (destination, verify())], Duration::minutes(5))
            }
            Step::Release => ask(vec![(source, release())], Duration::minutes(1)),
            Step::Flush => {
                let flush = |node: &NodeId| (*node, Verb::FlushQueue(FlushQueue {}));
                ask(relays.iter().map(flush).collect(), Duration::seconds(10))
            }
            Step::Remove => {
                let verb = Verb::RemoveMailbox(RemoveMailbox { move_id, user_id });
                ask(vec![(source, verb)], Duration::minutes(10))
            }
            Step::Close | Step::UndoClose => {
                ask(vec![(destination, release())], Duration::minutes(1))
            }
            Step::UndoRelease => ask(vec![(source, release())], Duration::minutes(1)),
            Step::Introduce => place(source, Some(destination), false, vec![destination]),
            Step::Hold => place(source, Some(destination), true, vec![source]),
            Step::Switch => place(destination, Some(source), false, vec![destination, source]),
            Step::Undo => place(source, self.former_companion, false, Vec::new()),
        }
    }
}

fn place(storage: NodeId, companion: Option<NodeId>, is_moving: bool, must: Vec<NodeId>) -> Work {
    // A node is not its own companion.
    let companion = companion.filter(|one| *one != storage);
    Work::Place { storage, companion, is_moving, must, patience: Duration::minutes(1) }
}

fn ask(asks: Vec<(NodeId, Verb)>, patience: Duration) -> Work {
    Work::Ask { asks, patience, deadline: patience }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(from: Step) -> Vec<Step> {
        std::iter::successors(Some(from), |step| step.next()).collect()
    }

    #[test]
    fn the_mailbox_is_frozen_before_the_last_copy_and_removed_after_the_switch() {
        let order = walk(Step::Introduce);
        let place = |step| order.iter().position(|one| *one == step).unwrap();
        assert!(place(Step::Freeze) < place(Step::CopyLast));
        assert!(place(Step::CopyLast) < place(Step::Verify));
        assert!(place(Step::Verify) < place(Step::Switch));
        assert!(place(Step::Switch) < place(Step::Release));
        assert!(place(Step::Switch) < place(Step::Remove));
        assert!(!order.contains(&Step::Undo));
    }

    #[test]
    fn only_what_comes_before_the_switch_can_be_undone() {
        for (place, step) in walk(Step::Introduce).into_iter().enumerate() {
            assert_eq!(step.can_be_undone(), place < 8, "{step:?}");
        }
        assert_eq!(walk(Step::Undo), [Step::Undo, Step::UndoRelease, Step::UndoClose]);
    }

    #[test]
    fn a_step_is_tried_three_times_and_then_undone() {
        let short = Duration::seconds(5);
        let retry = Failure::Retry(Step::Freeze, Duration::seconds(1));
        assert_eq!(Step::Freeze.after_failure(1, short), retry);
        assert_eq!(Step::Freeze.after_failure(3, short), Failure::Undo);
        let again = Failure::Retry(Step::CopyLast, Duration::seconds(2));
        assert_eq!(Step::Verify.after_failure(2, short), again);
    }

    #[test]
    fn what_comes_after_the_switch_is_never_undone() {
        let long = Duration::seconds(60);
        assert_eq!(Step::Release.after_failure(99, long), Failure::Retry(Step::Release, long));
        assert_eq!(Step::Release.after_failure(99, Duration::days(1)), Failure::GoOn);
        assert_eq!(Step::Remove.after_failure(8, long), Failure::GoOn);
        assert_eq!(Step::Flush.after_failure(1, long), Failure::GoOn);
    }

    #[test]
    fn every_step_reads_back_from_its_name() {
        for step in walk(Step::Introduce).into_iter().chain(walk(Step::Undo)) {
            assert_eq!(Step::from_name(step.name()), Some(step));
        }
        assert_eq!(Step::from_name("elsewhere"), None);
    }
}
