//! What imports have received: sealed blocks of lines.

use sqlx::PgExecutor;
use umail_proto::ids::ImportId;

use crate::error::Result;

/// A block of lines.
#[derive(Clone, Debug)]
pub struct Block {
    /// The number of the first one.
    pub first_line: i64,
    /// How many there are.
    pub lines: i64,
    /// The lines.
    pub sealed: Vec<u8>,
}

/// Adds a block.
pub async fn insert(db: impl PgExecutor<'_>, import: ImportId, block: &Block) -> Result<()> {
    sqlx::query!(
        "INSERT INTO import_block (import_id, first_line, lines, sealed) VALUES ($1, $2, $3, $4)",
        import.uuid(),
        block.first_line,
        block.lines,
        block.sealed,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The first block that begins behind this line.
pub async fn next(db: impl PgExecutor<'_>, import: ImportId, after: i64) -> Result<Option<Block>> {
    Ok(sqlx::query_as!(
        Block,
        "SELECT first_line, lines, sealed FROM import_block
          WHERE import_id = $1 AND first_line > $2 ORDER BY first_line LIMIT 1",
        import.uuid(),
        after,
    )
    .fetch_optional(db)
    .await?)
}

/// Removes the blocks of an import that has ended.
pub async fn delete(db: impl PgExecutor<'_>, import: ImportId) -> Result<()> {
    sqlx::query!("DELETE FROM import_block WHERE import_id = $1", import.uuid())
        .execute(db)
        .await?;
    Ok(())
}
