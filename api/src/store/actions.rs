//! One-off verbs to nodes, and how they were answered.

use prost::Message;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::{
    agent::{Action, ActionFindings, ActionOutcome},
    ids::{ActionId, NodeId, OperationId},
};

use crate::error::{Error, Result};

/// How a node answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What became of it.
    pub outcome: ActionOutcome,
    /// What went wrong; empty on success.
    pub detail: String,
    /// What was found out.
    pub findings: ActionFindings,
}

/// Adds an action that its node has not answered.
pub async fn insert(
    db: impl PgExecutor<'_>,
    node: NodeId,
    operation: Option<OperationId>,
    (id, action): (ActionId, &Action),
    deadline: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO action (id, node_id, operation_id, body, deadline, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        id.uuid(),
        node.uuid(),
        operation.map(OperationId::uuid),
        action.encode_to_vec(),
        deadline,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The actions that a node has not answered, in the order they were made.
pub async fn list_open(db: impl PgExecutor<'_>, node: NodeId) -> Result<Vec<Action>> {
    let rows = sqlx::query!(
        "SELECT id, body FROM action WHERE node_id = $1 AND outcome IS NULL ORDER BY id LIMIT 1000",
        node.uuid(),
    )
    .fetch_all(db)
    .await?;
    let decode = |id: ActionId, body: &[u8]| {
        Action::decode(body).map_err(|cause| Error::corrupt("action", id, cause))
    };
    rows.iter().map(|row| decode(row.id, &row.body)).collect()
}

/// The newest open action of each of these nodes.
pub async fn list_newest(
    db: impl PgExecutor<'_>,
    nodes: &[NodeId],
) -> Result<Vec<(NodeId, ActionId)>> {
    let nodes: Vec<_> = nodes.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT DISTINCT ON (node_id) node_id, id FROM action
          WHERE outcome IS NULL AND node_id = ANY ($1) ORDER BY node_id, id DESC",
        &nodes,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.node_id, row.id)).collect())
}

/// Keeps the first answer of an action; any later one changes nothing. Returns whether there is
/// such an action of this node.
pub async fn answer(
    db: impl PgExecutor<'_>,
    node: NodeId,
    id: ActionId,
    answer: &Answer,
    now: OffsetDateTime,
) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE action SET
                outcome = coalesce(outcome, $3),
                detail = CASE WHEN outcome IS NULL THEN $4 ELSE detail END,
                findings = CASE WHEN outcome IS NULL THEN $5 ELSE findings END,
                finished_at = coalesce(finished_at, $6)
          WHERE id = $1 AND node_id = $2",
        id.uuid(),
        node.uuid(),
        outcome(answer.outcome),
        answer.detail,
        answer.findings.encode_to_vec(),
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The answer of an action; `None` while there is none.
pub async fn find_answer(db: impl PgExecutor<'_>, id: ActionId) -> Result<Option<Answer>> {
    let row = sqlx::query!("SELECT outcome, detail, findings FROM action WHERE id = $1", id.uuid())
        .fetch_optional(db)
        .await?
        .ok_or_else(|| Error::not_found("action", id))?;
    let Some(outcome) = row.outcome else { return Ok(None) };
    let findings = ActionFindings::decode(row.findings.unwrap_or_default().as_slice());
    Ok(Some(Answer {
        outcome: ActionOutcome::try_from(i32::from(outcome)).unwrap_or_default(),
        detail: row.detail,
        findings: findings.map_err(|cause| Error::corrupt("action", id, cause))?,
    }))
}

/// Closes actions whose deadline has passed without an answer: their nodes will not begin them.
pub async fn expire(
    db: impl PgExecutor<'_>,
    before: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<u64> {
    let done = sqlx::query!(
        "UPDATE action SET outcome = $3, detail = 'no answer before the deadline', finished_at = $2
          WHERE outcome IS NULL AND deadline < $1",
        before,
        now,
        outcome(ActionOutcome::Refused),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets actions that were finished long ago.
pub async fn delete_before(db: impl PgExecutor<'_>, time: OffsetDateTime) -> Result<u64> {
    let done = sqlx::query!("DELETE FROM action WHERE finished_at < $1", time).execute(db).await?;
    Ok(done.rows_affected())
}

/// Closes an action that its node has not answered: nobody waits for it any more.
pub async fn close(db: impl PgExecutor<'_>, id: ActionId, now: OffsetDateTime) -> Result<()> {
    sqlx::query!(
        "UPDATE action SET outcome = $2, detail = 'no answer in time', finished_at = $3
          WHERE id = $1 AND outcome IS NULL",
        id.uuid(),
        outcome(ActionOutcome::Refused),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

fn outcome(outcome: ActionOutcome) -> i16 {
    i16::try_from(i32::from(outcome)).unwrap_or_default()
}
