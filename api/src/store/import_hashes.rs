//! Hashes of the passwords that came in clear, until the import has ended.

use std::collections::HashMap;

use sqlx::PgExecutor;
use umail_proto::ids::ImportId;

use crate::error::Result;

/// Adds hashes, each with its line.
pub async fn insert_all(
    db: impl PgExecutor<'_>,
    import: ImportId,
    hashes: &[(i64, String)],
) -> Result<()> {
    let (lines, hashes): (Vec<_>, Vec<_>) = hashes.iter().cloned().unzip();
    sqlx::query!(
        "INSERT INTO import_hash (import_id, line, hash)
         SELECT $1, line, hash FROM unnest($2::bigint[], $3::text[]) AS new (line, hash)
         ON CONFLICT DO NOTHING",
        import.uuid(),
        &lines,
        &hashes,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The hashes of some lines.
pub async fn list(
    db: impl PgExecutor<'_>,
    import: ImportId,
    lines: std::ops::Range<i64>,
) -> Result<HashMap<i64, String>> {
    let rows = sqlx::query!(
        "SELECT line, hash FROM import_hash WHERE import_id = $1 AND line >= $2 AND line < $3",
        import.uuid(),
        lines.start,
        lines.end,
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.line, row.hash)).collect())
}

/// Removes the hashes of an import that has ended.
pub async fn delete(db: impl PgExecutor<'_>, import: ImportId) -> Result<()> {
    sqlx::query!("DELETE FROM import_hash WHERE import_id = $1", import.uuid()).execute(db).await?;
    Ok(())
}
