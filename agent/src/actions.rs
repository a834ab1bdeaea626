//! Actions: one-off verbs, each executed at most once, in its epoch, before its deadline.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use time::{Duration, OffsetDateTime};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use umail_proto::agent::{Action, ActionFindings, ActionOutcome, Peer, action::Verb};

use crate::{drivers::Refusal, ledger::Answer, state::State};

/// Actions that run at the same time; further ones wait.
const SLOTS: usize = 16;
/// No action is given longer than this, whatever its deadline says.
const LONGEST: Duration = Duration::hours(24);

/// Carries out verbs. The node does it by Postfix, Dovecot and other agents; tests by a fake.
pub trait Verbs: Send + Sync {
    /// Carries out one verb; dropping the future gives it up.
    fn execute<'a>(
        &'a self,
        verb: &'a Verb,
        deadline: OffsetDateTime,
        peers: &'a [Peer],
    ) -> BoxFuture<'a, Result<ActionFindings, Refusal>>;
}

type Outcome = watch::Receiver<Option<Answer>>;

/// Executes actions and remembers what became of them.
pub struct Actions {
    state: Arc<State>,
    verbs: Arc<dyn Verbs>,
    tracker: TaskTracker,
    running: Mutex<HashMap<String, Outcome>>,
    slots: Semaphore,
}

impl Actions {
    /// Actions are executed as tasks of this tracker: they go on when the link breaks.
    #[must_use]
    pub fn new(state: Arc<State>, verbs: Arc<dyn Verbs>, tracker: TaskTracker) -> Arc<Self> {
        let slots = Semaphore::new(SLOTS);
        Arc::new(Self { state, verbs, tracker, running: Mutex::default(), slots })
    }

    /// Executes an action and returns what became of it: the same answer however often it is asked.
    pub async fn answer(self: &Arc<Self>, action: Action) -> Answer {
        let mut outcome = match self.begin(action) {
            Ok(outcome) => outcome,
            Err(answer) => return answer,
        };
        let ended = outcome.wait_for(Option::is_some).await;
        let answer = ended.ok().and_then(|answer| answer.clone());
        answer.unwrap_or_else(|| Answer::failed("the agent stops"))
    }

    /// Begins an action, or finds the one that runs already. The error is the answer that is known
    /// at once.
    fn begin(self: &Arc<Self>, action: Action) -> Result<Outcome, Answer> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = running.get(&action.action_id) {
            return Ok(outcome.clone());
        }
        if let Some(answer) = self.state.ledger.answer(&action.action_id) {
            return Err(answer);
        }
        let (deadline, peers) = self.check(&action).map_err(Answer::refused)?;
        match self.state.ledger.begin(&action, deadline) {
            Ok(true) => {}
            Ok(false) => return Err(Answer::refused("this node has too many unfinished actions")),
            Err(error) => {
                return Err(Answer::refused(format!("the ledger cannot be written: {error}")));
            }
        }
        let (sender, outcome) = watch::channel(None);
        running.insert(action.action_id.clone(), outcome.clone());
        drop(running);
        let actions = Arc::clone(self);
        self.tracker.spawn(async move {
            let answer = actions.execute(&action, deadline, &peers).await;
            actions.end(&action.action_id, answer, &sender);
        });
        Ok(outcome)
    }

    /// Whether the action may be executed here and now.
    fn check(&self, action: &Action) -> Result<(OffsetDateTime, Vec<Peer>), String> {
        let id = &action.action_id;
        uuid::Uuid::parse_str(id).map_err(|_error| format!("{id:?} is not the id of an action"))?;
        let desired = self.state.ledger.desired().ok_or("this node has no desired state yet")?;
        if desired.epoch != action.epoch {
            return Err(format!("it belongs to epoch {}, this is {}", action.epoch, desired.epoch));
        }
        if action.verb.is_none() {
            return Err("this agent does not know the verb".to_owned());
        }
        let deadline = action.deadline.as_ref().ok_or("it has no deadline")?;
        let deadline = OffsetDateTime::from_unix_timestamp(deadline.seconds)
            .map_err(|error| format!("its deadline is not a time: {error}"))?;
        let now = self.state.clock.now();
        if deadline <= now {
            return Err("its deadline has passed".to_owned());
        }
        Ok((deadline.min(now + LONGEST), desired.peers.clone()))
    }

    async fn execute(&self, action: &Action, deadline: OffsetDateTime, peers: &[Peer]) -> Answer {
        let Some(verb) = &action.verb else { return Answer::refused("there is no verb") };
        tracing::info!(action.id = action.action_id, ?verb, "action begins");
        let limit = (deadline - self.state.clock.now()).try_into().unwrap_or_default();
        let work = async {
            // Never closed, so there is always a permit some time.
            let _slot = self.slots.acquire().await.ok();
            self.verbs.execute(verb, deadline, peers).await
        };
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(findings)) => Answer {
                outcome: ActionOutcome::Done,
                detail: String::new(),
                findings: Some(findings),
            },
            Ok(Err(refusal)) => Answer::failed(refusal.to_string()),
            Err(_elapsed) => Answer::failed("it was not done before its deadline"),
        }
    }

    fn end(&self, action_id: &str, answer: Answer, outcome: &watch::Sender<Option<Answer>>) {
        let Answer { outcome: result, detail, .. } = &answer;
        tracing::info!(action.id = action_id, ?result, detail, "action has ended");
        metrics::counter!("umail_agent_actions_total", "outcome" => result.as_str_name())
            .increment(1);
        let noted = self.state.ledger.end(action_id, &answer, self.state.clock.now());
        outcome.send_replace(Some(answer));
        match noted {
            Ok(()) => {
                self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(action_id);
            }
            // The answer stays in memory, where whoever asks again finds it.
            Err(error) => tracing::error!(%error, "the ledger cannot be written"),
        }
    }
}
