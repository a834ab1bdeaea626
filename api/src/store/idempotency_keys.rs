//! Answers to requests with an `Idempotency-Key`, kept for a day.

use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;

/// A stored answer.
#[derive(Debug)]
pub struct Stored {
    /// SHA-256 of the request.
    pub request_hash: Vec<u8>,
    /// The status.
    pub status: i16,
    /// The headers that matter.
    pub headers: Value,
    /// The body, sealed: it may hold a secret.
    pub body: Vec<u8>,
}

/// Holds the key until the end of the transaction; false if another request holds it.
pub async fn try_lock(db: &mut PgConnection, caller: Uuid, key: &str) -> Result<bool> {
    let name = format!("{caller} {key}");
    let row = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS "locked!""#,
        name,
    );
    Ok(row.fetch_one(db).await?)
}

/// The answer stored under this key.
pub async fn find(db: impl PgExecutor<'_>, caller: Uuid, key: &str) -> Result<Option<Stored>> {
    let row = sqlx::query!(
        r#"SELECT body_hash, status AS "status!", headers AS "headers!", body AS "body!"
             FROM idempotency_key
            WHERE caller_id = $1 AND key = $2 AND status IS NOT NULL"#,
        caller,
        key,
    );
    let row = row.fetch_optional(db).await?;
    Ok(row.map(|row| Stored {
        request_hash: row.body_hash,
        status: row.status,
        headers: row.headers,
        body: row.body,
    }))
}

/// Stores an answer.
pub async fn insert(
    db: impl PgExecutor<'_>,
    caller: Uuid,
    key: &str,
    answer: &Stored,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO idempotency_key (caller_id, key, body_hash, status, headers, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        caller,
        key,
        answer.request_hash,
        answer.status,
        answer.headers,
        answer.body,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets answers from before this time.
pub async fn delete_old(db: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<u64> {
    let done = sqlx::query!("DELETE FROM idempotency_key WHERE created_at < $1", before)
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}
