//! Where mailboxes are.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{NodeId, UserId};

use crate::error::Result;

/// Where the mailbox of a user is, and what else carries its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Placement {
    /// The node that holds it.
    pub storage: Option<NodeId>,
    /// Another storage node that carries the row.
    pub companion: Option<NodeId>,
    /// Whether deliveries and logins fail temporarily.
    pub is_moving: bool,
}

/// Locks a user and says where its mailbox is.
pub async fn lock(db: impl PgExecutor<'_>, user: UserId) -> Result<Option<Placement>> {
    Ok(sqlx::query_as!(
        Placement,
        r#"SELECT storage_node_id AS "storage: NodeId", companion_node_id AS "companion: NodeId",
                  moving AS is_moving
             FROM account WHERE id = $1 FOR UPDATE"#,
        user.uuid(),
    )
    .fetch_optional(db)
    .await?)
}

/// Writes where the mailbox of a user is. The revision grows with the node alone: the rest is
/// not the user's business.
pub async fn update(
    db: impl PgExecutor<'_>,
    user: UserId,
    to: &Placement,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "UPDATE account SET
                revision = revision + (storage_node_id IS DISTINCT FROM $2)::int,
                updated_at = CASE WHEN storage_node_id IS DISTINCT FROM $2 THEN $5
                                  ELSE updated_at END,
                storage_node_id = $2, companion_node_id = $3, moving = $4
          WHERE id = $1",
        user.uuid(),
        to.storage.map(NodeId::uuid),
        to.companion.map(NodeId::uuid),
        to.is_moving,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
