//! Space that mailboxes take, as the nodes that hold them saw it last.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{NodeId, UserId};
use uuid::Uuid;

use crate::error::Result;

/// What a mailbox took when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes.
    pub bytes: i64,
    /// Messages.
    pub messages: i64,
    /// When.
    pub observed_at: OffsetDateTime,
}

/// Keeps newer figures of mailboxes, each once. A node speaks for the mailboxes that it holds:
/// figures of others are passed over.
pub async fn upsert(db: impl PgExecutor<'_>, node: NodeId, usages: &[(Uuid, Usage)]) -> Result<()> {
    let accounts: Vec<_> = usages.iter().map(|(account, _)| *account).collect();
    let bytes: Vec<_> = usages.iter().map(|(_, usage)| usage.bytes).collect();
    let messages: Vec<_> = usages.iter().map(|(_, usage)| usage.messages).collect();
    let times: Vec<_> = usages.iter().map(|(_, usage)| usage.observed_at).collect();
    sqlx::query!(
        "INSERT INTO mailbox_usage AS old (account_id, node_id, bytes, messages, observed_at)
         SELECT sent.account_id, $1, sent.bytes, sent.messages, sent.observed_at
           FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::timestamptz[])
                AS sent (account_id, bytes, messages, observed_at)
           JOIN account ON account.id = sent.account_id AND storage_node_id = $1
          ORDER BY sent.account_id
         ON CONFLICT (account_id) DO UPDATE SET
                node_id = excluded.node_id, bytes = excluded.bytes, messages = excluded.messages,
                observed_at = excluded.observed_at
          WHERE old.node_id <> excluded.node_id OR old.observed_at < excluded.observed_at",
        node.uuid(),
        &accounts,
        &bytes,
        &messages,
        &times,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What the mailbox of a user took last; `None` before its node has said so.
pub async fn find(db: impl PgExecutor<'_>, user: UserId) -> Result<Option<Usage>> {
    Ok(sqlx::query_as!(
        Usage,
        "SELECT bytes, messages, observed_at FROM mailbox_usage WHERE account_id = $1",
        user.uuid(),
    )
    .fetch_optional(db)
    .await?)
}
