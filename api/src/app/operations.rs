//! Tracked long work: looked at, waited for, given up, and carried on by a task.

use std::{collections::BTreeSet, time::Duration};

use time::OffsetDateTime;
use umail_api_types::operations::{Operation, OperationKind, OperationResult, OperationState};
use umail_proto::ids::{NodeId, OperationId, UserId};

use crate::{
    app::{compromised, flushes, moves, users, waiting},
    authz::{Action, Resource},
    context::{Caller, Context},
    error::{Error, Result},
    model::{moves::Step, page::Page, user::UserRef},
    store,
};

/// Steps of one operation in a row, before others get their turn.
const STEPS_AT_ONCE: u64 = 20;

/// What a step of an operation leads to, once it is committed.
#[derive(Debug, Default)]
pub struct Effects {
    /// Whether anything changed.
    pub is_progress: bool,
    /// Whether the directory changed.
    pub directory: bool,
    /// Nodes with new actions.
    pub asked: BTreeSet<NodeId>,
}

/// A page of operations, newest first.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<Operation>> {
    cx.authorize(Action::List, Resource::Operations)?;
    let before = page.after.map(OperationId::from);
    let rows = store::operations::list(cx.pool(), before, page.limit).await?;
    rows.iter().map(shown).collect()
}

/// An operation; waits for its end, at most this long.
pub async fn read(cx: &Context, id: OperationId, wait: Duration) -> Result<Operation> {
    let asked = readable(cx, id).await?;
    let row =
        waiting::watch(cx, asked, wait, || find(cx, id), |row| row.state != "running").await?;
    shown(&row)
}

/// What the caller must be allowed to read the operation: to read operations, or the user whose
/// account it secures, which is for whoever outranks the user.
async fn readable(cx: &Context, id: OperationId) -> Result<(Action, Resource)> {
    let any = (Action::Read, Resource::Operations);
    let Err(refusal) = cx.authorize(any.0, any.1.clone()) else { return Ok(any) };
    let row = store::operations::find(cx.state().pool(), id).await?;
    if row.as_ref().is_some_and(|row| is_own_change(cx, row)) {
        return Ok((Action::Read, Resource::Imports(None)));
    }
    let Some(row) = row.filter(|row| row.kind == OperationKind::SecureAccount.name()) else {
        return Err(refusal);
    };
    let user = row.input.get("user_id").and_then(|id| id.as_str()?.parse().ok());
    let user: UserId = user.ok_or_else(|| Error::corrupt("operation", id, "user_id"))?;
    let update = |scope| (Action::Update, Resource::User(scope));
    match users::find(cx, &UserRef::Id(user), update).await {
        Ok(user) => Ok(update(user.scope())),
        Err(Error::NotFound { .. } | Error::Forbidden(_)) => Err(refusal),
        Err(error) => Err(error),
    }
}

/// Whoever begins an import or a bulk change looks at its work, and may end it.
fn is_own_change(cx: &Context, row: &store::operations::Operation) -> bool {
    let kinds = [OperationKind::ImportUsers, OperationKind::ChangeUsers].map(OperationKind::name);
    kinds.contains(&row.kind.as_str()) && cx.caller().id() == Some(row.created_by)
}

/// Asks an operation to end. It may take a while to clean up; a move that has passed its switch
/// cannot be given up.
pub async fn cancel(cx: &Context, id: OperationId) -> Result<Operation> {
    let row = store::operations::find(cx.state().pool(), id).await?;
    let is_own = row.is_some_and(|row| is_own_change(cx, &row));
    if !is_own {
        cx.authorize(Action::Update, Resource::Operations)?;
    }
    // Nothing but the wish is written, which those who began it may not write themselves.
    let mut tx = cx.state().pool().begin().await?;
    let row = store::operations::lock(&mut *tx, id)
        .await?
        .ok_or_else(|| Error::not_found("operation", id))?;
    if row.state != "running" {
        return Err(Error::Conflict(format!("operation {id} has ended")));
    }
    let is_move = kind(&row)? == OperationKind::MoveMailbox;
    let is_late = Step::from_name(&row.step).filter(|_| is_move).is_some_and(|step| {
        !step.can_be_undone() && !matches!(step, Step::Undo | Step::UndoRelease | Step::UndoClose)
    });
    if is_late {
        return Err(Error::Conflict(format!("operation {id} is past the point of no return")));
    }
    store::operations::request_cancel(&mut *tx, id).await?;
    tx.commit().await?;
    cx.state().fleet().progressed();
    shown(&find(cx, id).await?)
}

/// Takes the steps that can be taken now. Each is a transaction of its own, so that a server that
/// dies in between leaves nothing half done; whoever comes next goes on from there.
pub async fn carry_on(cx: &Context, id: OperationId) -> Result<u64> {
    let mut done = 0;
    while done < STEPS_AT_ONCE {
        let mut tx = cx.begin().await?;
        let Some(mut row) = store::operations::lock_running(&mut *tx, id).await? else { break };
        let effects = match kind(&row)? {
            OperationKind::MoveMailbox => moves::advance(cx, &mut tx, &mut row).await?,
            OperationKind::FlushQueue => flushes::advance(cx, &mut tx, &mut row).await?,
            OperationKind::SecureAccount => compromised::advance(cx, &mut tx, &mut row).await?,
            // Have a task of their own: they take long.
            OperationKind::ImportUsers | OperationKind::ChangeUsers => Effects::default(),
        };
        if !effects.is_progress {
            // Nothing was written; the end of the transaction gives the row free at once.
            tx.commit().await?;
            break;
        }
        row.updated_at = cx.now();
        store::operations::update(&mut *tx, &row).await?;
        tx.commit().await?;
        tell(cx, &effects);
        done += 1;
    }
    Ok(done)
}

/// Wakes whoever a committed step concerns.
pub fn tell(cx: &Context, effects: &Effects) {
    let state = cx.state();
    if effects.directory {
        state.changes().notify_one();
    }
    for node in &effects.asked {
        state.fleet().registry().actions_changed(*node);
    }
    state.fleet().progressed();
}

/// A new operation, about to be stored.
#[must_use]
pub fn new(
    cx: &Context,
    kind: OperationKind,
    step: &str,
    input: serde_json::Value,
) -> store::operations::Operation {
    let now = cx.now();
    let created_by = match cx.caller() {
        Caller::Operator { id, .. } => id.uuid(),
        Caller::User { id, .. } => id.uuid(),
        Caller::Node(id) => id.uuid(),
        Caller::System | Caller::Nobody => uuid::Uuid::nil(),
    };
    store::operations::Operation {
        id: OperationId::generate(now),
        kind: kind.name().to_owned(),
        state: OperationState::Running.name().to_owned(),
        step: step.to_owned(),
        input,
        result: None,
        error: None,
        cancel_requested: false,
        created_by,
        created_at: now,
        updated_at: now,
    }
}

/// Ends an operation.
pub fn end(
    row: &mut store::operations::Operation,
    state: OperationState,
    error: Option<String>,
    result: Option<OperationResult>,
) -> Result<()> {
    state.name().clone_into(&mut row.state);
    row.step.clear();
    row.error = error;
    row.result = result.map(serde_json::to_value).transpose().map_err(Error::internal)?;
    Ok(())
}

/// An operation as people see it.
pub fn shown(row: &store::operations::Operation) -> Result<Operation> {
    let kind = kind(row)?;
    let corrupt = |what: &str| Error::corrupt("operation", row.id, what.to_owned());
    let id = |field: &str| row.input.get(field).and_then(|id| id.as_str()?.parse().ok());
    let result = row.result.clone().map(serde_json::from_value).transpose();
    Ok(Operation {
        id: row.id,
        kind,
        state: OperationState::from_name(&row.state).ok_or_else(|| corrupt("state"))?,
        step: Some(row.step.clone()).filter(|step| !step.is_empty()),
        user_id: id("user_id").map(uuid::Uuid::into),
        nodes: match kind {
            OperationKind::SecureAccount => compromised::nodes(row)?,
            OperationKind::MoveMailbox
            | OperationKind::FlushQueue
            | OperationKind::ImportUsers
            | OperationKind::ChangeUsers => Vec::new(),
        },
        node_id: id("node_id").or_else(|| id("destination_node_id")).map(uuid::Uuid::into),
        import_id: id("import_id").map(uuid::Uuid::into),
        bulk_change_id: id("bulk_change_id").map(uuid::Uuid::into),
        cancel_requested: row.cancel_requested,
        result: result.map_err(|cause| corrupt(&cause.to_string()))?,
        error: row.error.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Whether the answers of all these actions are there, and good; `None` while some are missing
/// that may still come. What never came is closed, so that it is not begun late.
pub async fn answers(
    db: &mut sqlx::PgConnection,
    actions: &[umail_proto::ids::ActionId],
    until: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<Option<Result<Vec<umail_proto::agent::ActionFindings>, String>>> {
    let (mut found, mut failed) = (Vec::new(), None);
    for id in actions {
        match store::actions::find_answer(&mut *db, *id).await? {
            Some(answer) if answer.outcome == umail_proto::agent::ActionOutcome::Done => {
                found.push(answer.findings);
            }
            Some(answer) => failed = Some(format!("a node did not do it: {}", answer.detail)),
            None if now < until => return Ok(None),
            None => {
                store::actions::close(&mut *db, *id, now).await?;
                failed = Some("a node did not answer in time".to_owned());
            }
        }
    }
    Ok(Some(failed.map_or(Ok(found), Err)))
}

fn kind(row: &store::operations::Operation) -> Result<OperationKind> {
    OperationKind::from_name(&row.kind)
        .ok_or_else(|| Error::corrupt("operation", row.id, format!("kind {}", row.kind)))
}

async fn find(cx: &Context, id: OperationId) -> Result<store::operations::Operation> {
    let row = store::operations::find(cx.state().pool(), id).await?;
    row.ok_or_else(|| Error::not_found("operation", id))
}
