//! Failures to sign in, by the name that was tried.

use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::{
    error::Result,
    model::lockout::{Lockout, PAUSE},
};

/// The worst of these names.
pub async fn find(db: impl PgExecutor<'_>, names: &[String]) -> Result<Option<Lockout>> {
    let row = sqlx::query_as!(
        Lockout,
        "SELECT failures, failed_at FROM lockout WHERE name = ANY ($1)
          ORDER BY failures DESC, failed_at DESC LIMIT 1",
        names,
    );
    Ok(row.fetch_optional(db).await?)
}

/// Counts an attempt as a failure; the first one again after a pause.
pub async fn count(db: impl PgExecutor<'_>, name: &str, now: OffsetDateTime) -> Result<Lockout> {
    let row = sqlx::query_as!(
        Lockout,
        "INSERT INTO lockout AS before (name, failures, failed_at) VALUES ($1, 1, $2)
         ON CONFLICT (name) DO UPDATE
            SET failures = CASE WHEN before.failed_at > $3 THEN before.failures + 1 ELSE 1 END,
                failed_at = excluded.failed_at
         RETURNING failures, failed_at",
        name,
        now,
        now - PAUSE,
    );
    Ok(row.fetch_one(db).await?)
}

/// Takes back the last attempt, which was no failure.
pub async fn take_back(db: impl PgExecutor<'_>, name: &str) -> Result<()> {
    sqlx::query!("UPDATE lockout SET failures = greatest(failures - 1, 0) WHERE name = $1", name)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets the failures of these names.
pub async fn delete(db: impl PgExecutor<'_>, names: &[String]) -> Result<()> {
    sqlx::query!("DELETE FROM lockout WHERE name = ANY ($1)", names).execute(db).await?;
    Ok(())
}

/// Forgets failures from before this time.
pub async fn delete_before(db: impl PgExecutor<'_>, time: OffsetDateTime) -> Result<u64> {
    let done = sqlx::query!("DELETE FROM lockout WHERE failed_at < $1", time).execute(db).await?;
    Ok(done.rows_affected())
}
