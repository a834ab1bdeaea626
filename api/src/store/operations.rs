//! Tracked long work.

use serde_json::Value;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::OperationId;
use uuid::Uuid;

use crate::error::Result;

/// A row of long work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub kind: String,
    /// `running`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// What it is at.
    pub step: String,
    /// What was asked, and what has been found out so far.
    pub input: Value,
    /// What came out, once it has succeeded.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether somebody wants it to end.
    pub cancel_requested: bool,
    /// Who asked for it.
    pub created_by: Uuid,
    /// When.
    pub created_at: OffsetDateTime,
    /// When it changed last.
    pub updated_at: OffsetDateTime,
}

/// Adds an operation.
pub async fn insert(db: impl PgExecutor<'_>, operation: &Operation) -> Result<()> {
    sqlx::query!(
        "INSERT INTO operation (id, kind, state, step, input, result, error, cancel_requested,
                created_by, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        operation.id.uuid(),
        operation.kind,
        operation.state,
        operation.step,
        operation.input,
        operation.result,
        operation.error,
        operation.cancel_requested,
        operation.created_by,
        operation.created_at,
        operation.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Finds an operation.
pub async fn find(db: impl PgExecutor<'_>, id: OperationId) -> Result<Option<Operation>> {
    Ok(sqlx::query_as!(
        Operation,
        r#"SELECT id AS "id: OperationId", kind, state, step, input, result, error,
                  cancel_requested, created_by, created_at, updated_at
             FROM operation WHERE id = $1"#,
        id.uuid(),
    )
    .fetch_optional(db)
    .await?)
}

/// Locks an operation.
pub async fn lock(db: impl PgExecutor<'_>, id: OperationId) -> Result<Option<Operation>> {
    Ok(sqlx::query_as!(
        Operation,
        r#"SELECT id AS "id: OperationId", kind, state, step, input, result, error,
                  cancel_requested, created_by, created_at, updated_at
             FROM operation WHERE id = $1 FOR UPDATE"#,
        id.uuid(),
    )
    .fetch_optional(db)
    .await?)
}

/// Locks a running operation; `None` when it has ended or somebody else has it at the moment.
pub async fn lock_running(db: impl PgExecutor<'_>, id: OperationId) -> Result<Option<Operation>> {
    Ok(sqlx::query_as!(
        Operation,
        r#"SELECT id AS "id: OperationId", kind, state, step, input, result, error,
                  cancel_requested, created_by, created_at, updated_at
             FROM operation WHERE id = $1 AND state = 'running' FOR UPDATE SKIP LOCKED"#,
        id.uuid(),
    )
    .fetch_optional(db)
    .await?)
}

/// Operations after one, newest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    before: Option<OperationId>,
    limit: i64,
) -> Result<Vec<Operation>> {
    Ok(sqlx::query_as!(
        Operation,
        r#"SELECT id AS "id: OperationId", kind, state, step, input, result, error,
                  cancel_requested, created_by, created_at, updated_at
             FROM operation WHERE id < $1 ORDER BY id DESC LIMIT $2"#,
        before.map_or(Uuid::max(), OperationId::uuid),
        limit,
    )
    .fetch_all(db)
    .await?)
}

/// The operations that have not ended, oldest first.
pub async fn list_running(db: impl PgExecutor<'_>) -> Result<Vec<OperationId>> {
    let ids = sqlx::query_scalar!("SELECT id FROM operation WHERE state = 'running' ORDER BY id")
        .fetch_all(db)
        .await?;
    Ok(ids)
}

/// Whether an operation of this kind on this user has not ended.
pub async fn is_running_for(db: impl PgExecutor<'_>, kind: &str, user: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM operation
             WHERE state = 'running' AND kind = $1 AND input ->> 'user_id' = $2) AS "is!""#,
        kind,
        user.to_string(),
    )
    .fetch_one(db)
    .await?)
}

/// Writes how far an operation has come.
pub async fn update(db: impl PgExecutor<'_>, operation: &Operation) -> Result<()> {
    sqlx::query!(
        "UPDATE operation SET state = $2, step = $3, input = $4, result = $5, error = $6,
                updated_at = $7
          WHERE id = $1",
        operation.id.uuid(),
        operation.state,
        operation.step,
        operation.input,
        operation.result,
        operation.error,
        operation.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Asks a running operation to end. Returns whether there is such a one.
pub async fn request_cancel(db: impl PgExecutor<'_>, id: OperationId) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE operation SET cancel_requested = true WHERE id = $1 AND state = 'running'",
        id.uuid(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
