//! Moves a mailbox to another storage node. What the steps are stands in `model::moves`.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use umail_api_types::operations::{Operation, OperationKind, OperationResult, OperationState};
use umail_proto::{
    agent::{ActionFindings, RowKind},
    ids::{ActionId, NodeId},
};

use crate::{
    app::{
        actions,
        audit::{self, Subject},
        directory, nodes,
        operations::{self, Effects},
        users,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    fleet::liveness::is_unreachable,
    model::{
        moves::{Failure, Move, Step, Waiting, Work},
        user::UserRef,
    },
    store::{self, node_status::Applied, placements::Placement},
};

/// How long the other nodes are waited for, out of courtesy.
const COURTESY: Duration = Duration::seconds(5);

/// Begins to move the mailbox of a user, named by id or address, to a node, named by id or name.
pub async fn start(cx: &Context, user: &UserRef, storage_node: &str) -> Result<Operation> {
    let found = users::find(cx, user, |scope| (Action::Operate, Resource::User(scope))).await?;
    let (user, domain_id) = (found.id, found.domain_id);
    let mut tx = cx.begin().await?;
    let place = store::placements::lock(&mut *tx, user)
        .await?
        .ok_or_else(|| Error::not_found("user", user))?;
    let node = nodes::find_storage(&mut *tx, storage_node).await?;
    let Some(source) = place.storage else {
        return Err(Error::Conflict("the user has no mailbox yet".to_owned()));
    };
    if source == node.id {
        return Err(Error::Conflict(format!("the mailbox is on {} already", node.name)));
    }
    let kind = OperationKind::MoveMailbox;
    if store::operations::is_running_for(&mut *tx, kind.name(), user.uuid()).await? {
        return Err(Error::Conflict("the mailbox is being moved already".to_owned()));
    }
    let plan = Move {
        user_id: user,
        source_node_id: source,
        destination_node_id: node.id,
        former_companion: place.companion,
        waiting: None,
        failures: 0,
        begun_at: cx.now(),
        error: None,
        messages: 0,
        bytes: 0,
        left_undone: Vec::new(),
    };
    let row = operations::new(cx, kind, Step::Introduce.name(), json(&plan)?);
    store::operations::insert(&mut *tx, &row).await?;
    let subject = Subject::of(domain_id, "user", user).about(Some(user));
    audit::record(&mut tx, cx, Action::Operate, subject, None, audit::shown(&plan)?).await?;
    tx.commit().await?;
    operations::tell(cx, &Effects::default());
    operations::shown(&row)
}

/// Takes the next step of a move, if it can be taken now.
pub async fn advance(
    cx: &Context,
    db: &mut PgConnection,
    row: &mut store::operations::Operation,
) -> Result<Effects> {
    let corrupt = |cause: String| Error::corrupt("operation", row.id, cause);
    let plan: Move =
        serde_json::from_value(row.input.clone()).map_err(|e| corrupt(e.to_string()))?;
    let step = Step::from_name(&row.step).ok_or_else(|| corrupt(format!("step {}", row.step)))?;
    let effects = Effects::default();
    let mut turn = Turn { cx, db, row, plan, step, effects };
    turn.take().await?;
    turn.row.input = json(&turn.plan)?;
    Ok(turn.effects)
}

/// One look at a move, inside the transaction that keeps what comes of it.
struct Turn<'a> {
    cx: &'a Context,
    db: &'a mut PgConnection,
    row: &'a mut store::operations::Operation,
    plan: Move,
    step: Step,
    effects: Effects,
}

impl Turn<'_> {
    async fn take(&mut self) -> Result<()> {
        if self.row.cancel_requested && self.step.can_be_undone() {
            return self.undo("cancelled".to_owned()).await;
        }
        match self.plan.waiting.clone() {
            None => self.begin().await,
            Some(Waiting::Pause { until }) if self.cx.now() < until => Ok(()),
            Some(Waiting::Pause { .. }) => self.begin().await,
            Some(Waiting::Answers { actions, until }) => self.hear(&actions, until).await,
            Some(Waiting::Applied { change, courtesy_until, until }) => {
                self.look(change, courtesy_until, until).await
            }
        }
    }

    /// Begins the step, for the first time or again.
    async fn begin(&mut self) -> Result<()> {
        let now = self.cx.now();
        let relays = self.relays().await?;
        self.effects.is_progress = true;
        match self.plan.work(self.row.id, self.step, &relays) {
            Work::Ask { asks, patience, deadline } => {
                let mut ids = Vec::new();
                for (node, verb) in asks {
                    let ask = (node, verb);
                    ids.push(actions::issue(self.db, ask, Some(self.row.id), deadline, now).await?);
                    self.effects.asked.insert(node);
                }
                self.plan.waiting = Some(Waiting::Answers { actions: ids, until: now + patience });
            }
            Work::Place { storage, companion, is_moving, patience, .. } => {
                let to = Placement { storage: Some(storage), companion, is_moving };
                let change = self.place(to).await?;
                self.effects.directory = true;
                self.plan.waiting = Some(Waiting::Applied {
                    change,
                    courtesy_until: now + COURTESY,
                    until: now + patience,
                });
            }
        }
        Ok(())
    }

    /// Writes a placement, and tells every node that has or had the user.
    async fn place(&mut self, to: Placement) -> Result<i64> {
        let user = self.plan.user_id;
        let before = store::placements::lock(&mut *self.db, user)
            .await?
            .ok_or_else(|| Error::not_found("user", user))?;
        store::placements::update(&mut *self.db, user, &to, self.cx.now()).await?;
        let concerned = [before.storage, before.companion, to.storage, to.companion];
        let nodes: Vec<NodeId> = concerned.into_iter().flatten().collect();
        let key = user.uuid();
        store::changes::insert(&mut *self.db, RowKind::User, key, Some(&nodes)).await?;
        let change = store::changes::newest(&mut *self.db, key).await?;
        change.ok_or_else(|| Error::internal("the change of a placement is not in the log"))
    }

    /// Looks whether the nodes have answered.
    async fn hear(&mut self, actions: &[ActionId], until: OffsetDateTime) -> Result<()> {
        match operations::answers(self.db, actions, until, self.cx.now()).await? {
            None => Ok(()),
            Some(Ok(findings)) if self.step == Step::Verify => match agreed(&findings) {
                Ok((messages, bytes)) => {
                    (self.plan.messages, self.plan.bytes) = (messages, bytes);
                    self.go_on()
                }
                Err(reason) => self.fail(reason).await,
            },
            Some(Ok(_)) => self.go_on(),
            Some(Err(reason)) => self.fail(reason).await,
        }
    }

    /// Looks whether the nodes have applied a change of the directory.
    async fn look(
        &mut self,
        change: i64,
        courtesy_until: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<()> {
        let now = self.cx.now();
        let Some(version) = store::changes::version(&mut *self.db, change).await? else {
            return Ok(());
        };
        let nodes = directory::applied(self.cx, &mut *self.db).await?;
        let has = |id: NodeId| nodes.iter().any(|one| one.node_id == id && one.version >= version);
        let must = match self.plan.work(self.row.id, self.step, &[]) {
            Work::Place { must, .. } => must,
            Work::Ask { .. } => Vec::new(),
        };
        if let Some(missing) = must.iter().find(|id| !has(**id)) {
            if now < until {
                return Ok(());
            }
            return self.fail(format!("node {missing} does not follow the directory")).await;
        }
        // The source forwards what comes from others that are behind, or refuses it for a while.
        let is_late = |one: &&Applied| one.version < version && is_relay(one) && is_near(one, now);
        if now < courtesy_until && nodes.iter().any(|one| is_late(&one)) {
            return Ok(());
        }
        self.go_on()
    }

    /// The nodes that relay mail and can be reached.
    async fn relays(&mut self) -> Result<Vec<NodeId>> {
        let now = self.cx.now();
        let nodes = directory::applied(self.cx, &mut *self.db).await?;
        let relays = nodes
            .iter()
            .filter(|one| one.roles.iter().any(|role| role == "smtp") && is_near(one, now));
        Ok(relays.map(|one| one.node_id).collect())
    }

    /// Takes the next step, or ends the operation after the last one.
    fn go_on(&mut self) -> Result<()> {
        if let Some(next) = self.step.next() {
            self.turn_to(next, None);
            // Copying again and finding differences again is one and the same failure.
            if next != Step::Verify {
                self.plan.failures = 0;
            }
            self.plan.begun_at = self.cx.now();
            return Ok(());
        }
        self.effects.is_progress = true;
        self.plan.waiting = None;
        match self.plan.error.clone() {
            None => {
                let result = OperationResult {
                    messages: Some(self.plan.messages),
                    bytes: Some(self.plan.bytes),
                    left_undone: self.plan.left_undone.clone(),
                };
                operations::end(self.row, OperationState::Succeeded, None, Some(result))
            }
            Some(error) if self.row.cancel_requested => {
                operations::end(self.row, OperationState::Cancelled, Some(error), None)
            }
            Some(error) => operations::end(self.row, OperationState::Failed, Some(error), None),
        }
    }

    /// Decides what follows a failed try.
    async fn fail(&mut self, reason: String) -> Result<()> {
        self.plan.failures += 1;
        let lasted = self.cx.now() - self.plan.begun_at;
        let step = self.step;
        tracing::info!(operation.id = %self.row.id, step = step.name(), reason, "a step failed");
        match step.after_failure(self.plan.failures, lasted) {
            Failure::Retry(to, pause) => {
                self.turn_to(to, Some(Waiting::Pause { until: self.cx.now() + pause }));
                Ok(())
            }
            Failure::Undo => self.undo(format!("{}: {reason}", step.name())).await,
            Failure::GoOn => {
                self.plan.left_undone.push(format!("{}: {reason}", step.name()));
                self.go_on()
            }
        }
    }

    /// Begins to undo the move: what nodes were asked for and have not begun is taken back.
    async fn undo(&mut self, reason: String) -> Result<()> {
        if let Some(Waiting::Answers { actions, .. }) = &self.plan.waiting {
            for id in actions {
                store::actions::close(&mut *self.db, *id, self.cx.now()).await?;
            }
        }
        self.plan.error = Some(reason);
        self.plan.failures = 0;
        self.plan.begun_at = self.cx.now();
        self.turn_to(Step::Undo, None);
        Ok(())
    }

    fn turn_to(&mut self, step: Step, waiting: Option<Waiting>) {
        self.effects.is_progress = true;
        self.step = step;
        step.name().clone_into(&mut self.row.step);
        self.plan.waiting = waiting;
    }
}

/// Whether both sides hold the same messages: how many, and their bytes.
fn agreed(findings: &[ActionFindings]) -> Result<(u64, u64), String> {
    let [source, destination] = findings else {
        return Err("two descriptions were expected".to_owned());
    };
    if source.digest.is_empty() {
        return Err("the source did not describe the mailbox".to_owned());
    }
    if source.digest != destination.digest || source.messages != destination.messages {
        return Err(format!(
            "the copies differ: {} messages here, {} there",
            source.messages, destination.messages
        ));
    }
    Ok((source.messages, source.bytes))
}

fn is_relay(node: &Applied) -> bool {
    node.roles.iter().any(|role| role == "smtp" || role == "pop")
}

fn is_near(node: &Applied, now: OffsetDateTime) -> bool {
    node.seen_at.is_some_and(|seen| !is_unreachable(seen, now))
}

fn json(plan: &Move) -> Result<serde_json::Value> {
    serde_json::to_value(plan).map_err(Error::internal)
}
