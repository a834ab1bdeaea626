//! Recovery codes, hashed.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::Result;

/// How many an operator or user has left.
pub async fn count(db: impl PgExecutor<'_>, owner: Uuid) -> Result<i64> {
    let row = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM recovery_code WHERE owner_id = $1"#,
        owner,
    );
    Ok(row.fetch_one(db).await?)
}

/// Adds recovery codes.
pub async fn insert(db: impl PgExecutor<'_>, owner: Uuid, hashes: &[Vec<u8>]) -> Result<()> {
    sqlx::query!(
        "INSERT INTO recovery_code (owner_id, hash) SELECT $1, unnest($2::bytea[])",
        owner,
        hashes,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Uses up a recovery code; false if there is no such one.
pub async fn delete(db: impl PgExecutor<'_>, owner: Uuid, hash: &[u8]) -> Result<bool> {
    let done =
        sqlx::query!("DELETE FROM recovery_code WHERE owner_id = $1 AND hash = $2", owner, hash,)
            .execute(db)
            .await?;
    Ok(done.rows_affected() > 0)
}
