//! Secrets at rest, sealed.

use sqlx::PgExecutor;

use crate::{database::pool::Pool, error::Result};

/// The sealed secret of this name.
pub async fn find(db: impl PgExecutor<'_>, name: &str) -> Result<Option<Vec<u8>>> {
    let row = sqlx::query_scalar!("SELECT sealed FROM secret WHERE name = $1", name);
    Ok(row.fetch_optional(db).await?)
}

/// Stores a secret unless another instance was faster, and returns the one that is stored.
pub async fn insert_or_find(pool: &Pool, name: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    sqlx::query!(
        "INSERT INTO secret (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        name,
        sealed,
    )
    .execute(pool)
    .await?;
    Ok(sqlx::query_scalar!("SELECT sealed FROM secret WHERE name = $1", name)
        .fetch_one(pool)
        .await?)
}
