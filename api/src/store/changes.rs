//! The change log of the directory: what has changed, and in which order nodes learn of it.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use umail_proto::{
    agent::RowKind,
    ids::{NodeId, UserId},
};
use uuid::Uuid;

use crate::error::Result;

/// Changes that get their version in one transaction, and how many of them may be of those that
/// came in bulk: what comes alone meanwhile has the next turn.
const BATCH: i64 = 10_000;
const BULK_BATCH: i64 = 2_000;

/// A change that has its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The place in the order that every node follows.
    pub version: i64,
    /// The kind of the row; `Unspecified` says that the whole view of the node `key` is another.
    pub kind: RowKind,
    /// The row.
    pub key: Uuid,
}

/// How far the log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The life of the database.
    pub epoch: Uuid,
    /// The newest version.
    pub version: i64,
    /// The newest version whose change is no longer in the log; 0 when all are.
    pub trimmed: i64,
    /// Whether committed changes wait for their version.
    pub is_pending: bool,
}

/// Notes that a row has changed, in the transaction of the change. `nodes` are the storage nodes
/// whose view it may concern, before or after; `None` means every node.
pub async fn insert(
    db: impl PgExecutor<'_>,
    kind: RowKind,
    key: Uuid,
    nodes: Option<&[NodeId]>,
) -> Result<()> {
    let nodes = nodes.map(|nodes| nodes.iter().map(|id| id.uuid()).collect::<Vec<_>>());
    sqlx::query!(
        "INSERT INTO change (entity, key, nodes) VALUES ($1, $2, $3)",
        entity(kind),
        key,
        nodes.as_deref(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The same of a row that lies where the mailbox of its user does, and has the id of the user.
pub async fn insert_of_user(db: impl PgExecutor<'_>, kind: RowKind, user: UserId) -> Result<()> {
    sqlx::query!(
        "INSERT INTO change (entity, key, nodes)
         SELECT $1, id, array_remove(ARRAY[storage_node_id, companion_node_id], NULL)
           FROM account WHERE id = $2",
        entity(kind),
        user.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The same of many rows that no storage node carries.
pub async fn insert_all(db: impl PgExecutor<'_>, kind: RowKind, keys: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "INSERT INTO change (entity, key, nodes) SELECT $1, key, '{}' FROM unnest($2::uuid[]) AS key",
        entity(kind),
        keys,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A row that has changed together with many, and the storage nodes whose view it concerns.
pub type BulkChange = (Uuid, Vec<NodeId>);

/// Notes that many rows have changed. They get their versions behind what changes alone, and a
/// few at a time, so that nobody waits for them.
pub async fn insert_bulk(
    db: impl PgExecutor<'_>,
    kind: RowKind,
    changes: &[BulkChange],
) -> Result<()> {
    let keys: Vec<_> = changes.iter().map(|(key, _)| *key).collect();
    let node = |place: usize| -> Vec<Option<Uuid>> {
        changes.iter().map(|(_, nodes)| nodes.get(place).map(|id| id.uuid())).collect()
    };
    // A user is on two nodes at most.
    let (first, second) = (node(0), node(1));
    sqlx::query!(
        "INSERT INTO change (entity, key, nodes, is_bulk)
         SELECT $1, key, array_remove(ARRAY[first, second], NULL), true
           FROM unnest($2::uuid[], $3::uuid[], $4::uuid[]) AS new (key, first, second)",
        entity(kind),
        &keys,
        &first as &[Option<Uuid>],
        &second as &[Option<Uuid>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The version of the newest change of a row, or a later one when that is no longer in the log;
/// `None` while it waits for its version.
pub async fn version_of_row(db: impl PgExecutor<'_>, row: Uuid) -> Result<Option<i64>> {
    let newest = sqlx::query!(
        r#"SELECT trimmed_version, newest.id IS NOT NULL AS "is_logged!", version AS "version?"
             FROM control_plane LEFT JOIN LATERAL
                  (SELECT id, version FROM change WHERE key = $1 ORDER BY id DESC LIMIT 1)
                  AS newest ON true"#,
        row,
    )
    .fetch_one(db)
    .await?;
    Ok(if newest.is_logged { newest.version } else { Some(newest.trimmed_version) })
}

/// Gives every committed change its version, without a gap, and returns how many there were.
/// Ids become visible out of order; versions never do, since one transaction at a time holds
/// the row of the control plane and numbers what it can see then.
pub async fn sequence(db: &mut PgConnection) -> Result<u64> {
    let last = sqlx::query_scalar!("SELECT directory_version FROM control_plane FOR UPDATE")
        .fetch_one(&mut *db)
        .await?;
    // A statement of its own, so that its snapshot is younger than the lock.
    let numbered = sqlx::query!(
        "UPDATE change SET version = $1 + numbered.place
           FROM (SELECT id, row_number() OVER (ORDER BY is_bulk, id) AS place
                   FROM ((SELECT is_bulk, id FROM change
                           WHERE version IS NULL AND NOT is_bulk ORDER BY id LIMIT $2)
                         UNION ALL
                         (SELECT is_bulk, id FROM change
                           WHERE version IS NULL AND is_bulk ORDER BY id LIMIT $3)) AS open
                ) AS numbered
          WHERE change.id = numbered.id",
        last,
        BATCH,
        BULK_BATCH,
    )
    .execute(&mut *db)
    .await?
    .rows_affected();
    sqlx::query!(
        "UPDATE control_plane SET directory_version = $1",
        last + i64::try_from(numbered).unwrap_or_default(),
    )
    .execute(db)
    .await?;
    Ok(numbered)
}

/// How far the log has come.
pub async fn watermark(db: impl PgExecutor<'_>) -> Result<Watermark> {
    Ok(sqlx::query_as!(
        Watermark,
        r#"SELECT epoch, directory_version AS version, trimmed_version AS trimmed,
                  EXISTS (SELECT FROM change WHERE version IS NULL) AS "is_pending!"
             FROM control_plane"#,
    )
    .fetch_one(db)
    .await?)
}

/// The first changes after a version, in their order.
pub async fn list(db: impl PgExecutor<'_>, after: i64, limit: i64) -> Result<Vec<Change>> {
    let rows = sqlx::query!(
        r#"SELECT version AS "version!", entity, key FROM change
            WHERE version > $1 ORDER BY version LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| change(row.version, row.entity, row.key)).collect())
}

/// The first changes after a version that may concern this storage node, in their order.
pub async fn list_for_storage(
    db: impl PgExecutor<'_>,
    node: NodeId,
    after: i64,
    limit: i64,
) -> Result<Vec<Change>> {
    let rows = sqlx::query!(
        r#"SELECT version AS "version!", entity, key FROM change
            WHERE version > $1 AND (nodes IS NULL OR $2 = ANY (nodes))
            ORDER BY version LIMIT $3"#,
        after,
        node.uuid(),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| change(row.version, row.entity, row.key)).collect())
}

/// The id of the newest change of a row, to ask later for its version.
pub async fn newest(db: impl PgExecutor<'_>, key: Uuid) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar!("SELECT max(id) FROM change WHERE key = $1", key).fetch_one(db).await?)
}

/// The id of the newest change that is committed; `None` in a log that is empty.
pub async fn newest_of_all(db: impl PgExecutor<'_>) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar!("SELECT max(id) FROM change").fetch_one(db).await?)
}

/// The version at which a change can be seen: `None` while it waits for one. A change that has
/// been trimmed is older than everything that nodes resume from.
pub async fn version(db: impl PgExecutor<'_>, id: i64) -> Result<Option<i64>> {
    let row =
        sqlx::query!("SELECT version FROM change WHERE id = $1", id).fetch_optional(db).await?;
    Ok(row.map_or(Some(0), |row| row.version))
}

/// Forgets changes older than a time and those beyond the newest `keep`, at most 10,000 of them.
/// Nodes that are further behind get a snapshot.
pub async fn trim(db: &mut PgConnection, before: OffsetDateTime, keep: i64) -> Result<u64> {
    let last =
        sqlx::query!("SELECT directory_version, trimmed_version FROM control_plane FOR UPDATE")
            .fetch_one(&mut *db)
            .await?;
    let aged = sqlx::query_scalar!(
        r#"SELECT coalesce(max(version), 0) AS "version!" FROM
             (SELECT version, created_at FROM change WHERE version IS NOT NULL
               ORDER BY version LIMIT $2) AS oldest
            WHERE created_at < $1"#,
        before,
        BATCH,
    )
    .fetch_one(&mut *db)
    .await?;
    let upto = aged
        .max((last.directory_version - keep).min(last.trimmed_version + BATCH))
        .max(last.trimmed_version);
    let trimmed =
        sqlx::query!("DELETE FROM change WHERE version <= $1", upto).execute(&mut *db).await?;
    sqlx::query!("UPDATE control_plane SET trimmed_version = $1", upto).execute(db).await?;
    Ok(trimmed.rows_affected())
}

fn change(version: i64, entity: i16, key: Uuid) -> Change {
    Change { version, kind: RowKind::try_from(i32::from(entity)).unwrap_or_default(), key }
}

fn entity(kind: RowKind) -> i16 {
    i16::try_from(i32::from(kind)).unwrap_or_default()
}
