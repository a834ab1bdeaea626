//! Load and queues of nodes, one row a minute.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::NodeId;

use crate::error::Result;

/// What was last seen in one minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// The minute.
    pub minute: OffsetDateTime,
    /// Load average of a minute.
    pub load_1m: f64,
    /// Memory of the machine.
    pub memory_total_bytes: i64,
    /// Memory that programs can still get.
    pub memory_available_bytes: i64,
    /// Size of the file system of mailboxes or queue.
    pub disk_total_bytes: i64,
    /// What is left of it.
    pub disk_available_bytes: i64,
    /// Messages being delivered.
    pub queue_active: i64,
    /// Messages that wait for another attempt.
    pub queue_deferred: i64,
    /// Messages that wait for an operator.
    pub queue_hold: i64,
    /// Messages that have just arrived.
    pub queue_incoming: i64,
}

/// Keeps the newest figures of a minute.
pub async fn upsert(db: impl PgExecutor<'_>, node: NodeId, load: &Load) -> Result<()> {
    sqlx::query!(
        "INSERT INTO load (node_id, minute, load_1m, memory_total_bytes, memory_available_bytes,
                disk_total_bytes, disk_available_bytes, queue_active, queue_deferred, queue_hold,
                queue_incoming)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (node_id, minute) DO UPDATE SET
                load_1m = excluded.load_1m, memory_total_bytes = excluded.memory_total_bytes,
                memory_available_bytes = excluded.memory_available_bytes,
                disk_total_bytes = excluded.disk_total_bytes,
                disk_available_bytes = excluded.disk_available_bytes,
                queue_active = excluded.queue_active, queue_deferred = excluded.queue_deferred,
                queue_hold = excluded.queue_hold, queue_incoming = excluded.queue_incoming",
        node.uuid(),
        load.minute,
        load.load_1m,
        load.memory_total_bytes,
        load.memory_available_bytes,
        load.disk_total_bytes,
        load.disk_available_bytes,
        load.queue_active,
        load.queue_deferred,
        load.queue_hold,
        load.queue_incoming,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Minutes of a node in their order; the end is not included.
pub async fn list(
    db: impl PgExecutor<'_>,
    node: NodeId,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Vec<Load>> {
    Ok(sqlx::query_as!(
        Load,
        "SELECT minute, load_1m, memory_total_bytes, memory_available_bytes, disk_total_bytes,
                disk_available_bytes, queue_active, queue_deferred, queue_hold, queue_incoming
           FROM load WHERE node_id = $1 AND minute >= $2 AND minute < $3 ORDER BY minute",
        node.uuid(),
        from,
        to,
    )
    .fetch_all(db)
    .await?)
}

/// Forgets old minutes.
pub async fn delete_before(db: impl PgExecutor<'_>, time: OffsetDateTime) -> Result<u64> {
    let done = sqlx::query!("DELETE FROM load WHERE minute < $1", time).execute(db).await?;
    Ok(done.rows_affected())
}
