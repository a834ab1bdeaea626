//! Mailboxes that nodes are to remove, of users whose grace time is over.

use std::collections::HashMap;

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{ActionId, DomainId, NodeId, UserId};

use crate::error::Result;

/// Mailboxes that one node is to remove at a time.
const AT_ONCE: i64 = 200;

/// What a node has not removed yet.
#[derive(Clone, Debug)]
pub struct Delayed {
    /// Mailboxes.
    pub mailboxes: i64,
    /// When the first of them was to be removed.
    pub since: OffsetDateTime,
    /// How the node refused one of them; empty: it did not answer.
    pub detail: String,
}

/// Users whose grace time, or that of their domain, is over and whose purge has not begun. Those
/// on a node that has enough to do wait.
pub async fn list_due(
    db: impl PgExecutor<'_>,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<UserId>> {
    let rows = sqlx::query_scalar!(
        r#"WITH busy AS (
               SELECT node_id FROM mailbox_removal WHERE done_at IS NULL
                GROUP BY node_id HAVING count(*) >= $3
           )
           (SELECT id AS "id!: UserId" FROM account
             WHERE purge_at <= $1 AND purge_begun_at IS NULL
               AND (storage_node_id IS NULL OR storage_node_id NOT IN (SELECT node_id FROM busy))
             ORDER BY purge_at LIMIT $2)
           UNION
           (SELECT account.id FROM domain JOIN account ON account.domain_id = domain.id
             WHERE domain.deleted_at IS NOT NULL AND domain.purge_at <= $1
               AND purge_begun_at IS NULL
               AND (storage_node_id IS NULL OR storage_node_id NOT IN (SELECT node_id FROM busy))
             LIMIT $2)"#,
        now,
        limit,
        AT_ONCE,
    );
    Ok(rows.fetch_all(db).await?)
}

/// Notes that a user is being purged: these nodes are to remove the mailbox.
pub async fn begin(
    db: impl PgExecutor<'_>,
    user: UserId,
    nodes: &[NodeId],
    now: OffsetDateTime,
) -> Result<()> {
    let nodes: Vec<_> = nodes.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "WITH begun AS (
             UPDATE account SET purge_begun_at = $3 WHERE id = $1 AND purge_begun_at IS NULL
         )
         INSERT INTO mailbox_removal (account_id, node_id, created_at)
         SELECT $1, node_id, $3 FROM unnest($2::uuid[]) AS wanted (node_id)
         ON CONFLICT (account_id, node_id) DO NOTHING",
        user.uuid(),
        &nodes,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes over what nodes have answered; returns how many mailboxes are gone.
pub async fn hear(db: impl PgExecutor<'_>, now: OffsetDateTime) -> Result<u64> {
    let heard = sqlx::query!(
        "UPDATE mailbox_removal
            SET done_at = CASE WHEN outcome = 1 THEN $1 ELSE done_at END, detail = action.detail
           FROM action
          WHERE action.id = action_id AND done_at IS NULL
            AND (outcome = 1 OR outcome IS NOT NULL AND mailbox_removal.detail <> action.detail)",
        now,
    );
    Ok(heard.execute(db).await?.rows_affected())
}

/// Locks removals that their node has not been asked for yet, or is to be asked for again: after
/// as long as it has been tried already, between 15 seconds and an hour.
pub async fn lock_wanted(
    db: impl PgExecutor<'_>,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<(UserId, NodeId)>> {
    let rows = sqlx::query!(
        "SELECT account_id, mailbox_removal.node_id
           FROM mailbox_removal LEFT JOIN action ON action.id = action_id
          WHERE done_at IS NULL AND (action_id IS NULL OR outcome IS NOT NULL AND outcome <> 1)
            AND (asked_at IS NULL OR $1 >= asked_at
                 + least(greatest(asked_at - mailbox_removal.created_at, interval '15 seconds'),
                         interval '1 hour'))
          ORDER BY asked_at NULLS FIRST LIMIT $2
            FOR UPDATE OF mailbox_removal SKIP LOCKED",
        now,
        limit,
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.account_id, row.node_id)).collect())
}

/// Notes what a node has been asked.
pub async fn update_asked(
    db: impl PgExecutor<'_>,
    (user, node): (UserId, NodeId),
    action: ActionId,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "UPDATE mailbox_removal SET action_id = $3, asked_at = $4
          WHERE account_id = $1 AND node_id = $2",
        user.uuid(),
        node.uuid(),
        action.uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Users whose mailbox is on no node any more.
pub async fn list_done(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<UserId>> {
    let rows = sqlx::query_scalar!(
        "SELECT id FROM account
          WHERE purge_begun_at IS NOT NULL AND NOT EXISTS (
                SELECT FROM mailbox_removal WHERE account_id = account.id AND done_at IS NULL)
          ORDER BY id LIMIT $1",
        limit,
    );
    Ok(rows.fetch_all(db).await?)
}

/// Locks such a user; false when there is none, or somebody else has it at the moment.
pub async fn lock_done(db: impl PgExecutor<'_>, user: UserId) -> Result<bool> {
    let row = sqlx::query_scalar!(
        "SELECT id FROM account
          WHERE id = $1 AND purge_begun_at IS NOT NULL AND NOT EXISTS (
                SELECT FROM mailbox_removal WHERE account_id = account.id AND done_at IS NULL)
            FOR UPDATE SKIP LOCKED",
        user.uuid(),
    );
    Ok(row.fetch_optional(db).await?.is_some())
}

/// Domains whose grace time is over and that have no users any more.
pub async fn list_empty_domains(
    db: impl PgExecutor<'_>,
    now: OffsetDateTime,
) -> Result<Vec<DomainId>> {
    let rows = sqlx::query_scalar!(
        "SELECT id FROM domain
          WHERE deleted_at IS NOT NULL AND purge_at <= $1
            AND NOT EXISTS (SELECT FROM account WHERE domain_id = domain.id)
          ORDER BY id LIMIT 10",
        now,
    );
    Ok(rows.fetch_all(db).await?)
}

/// What these nodes were to remove before this time and have not.
pub async fn list_delayed(
    db: impl PgExecutor<'_>,
    nodes: &[NodeId],
    before: OffsetDateTime,
) -> Result<HashMap<NodeId, Delayed>> {
    let nodes: Vec<_> = nodes.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT node_id, count(*) AS "mailboxes!", min(created_at) AS "since!",
                  max(detail) AS "detail!"
             FROM mailbox_removal
            WHERE done_at IS NULL AND created_at < $2 AND node_id = ANY ($1)
            GROUP BY node_id"#,
        &nodes,
        before,
    );
    let delayed = rows.fetch_all(db).await?.into_iter().map(|row| {
        let (mailboxes, since, detail) = (row.mailboxes, row.since, row.detail);
        (row.node_id, Delayed { mailboxes, since, detail })
    });
    Ok(delayed.collect())
}
