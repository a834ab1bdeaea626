//! Where mailboxes are.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{DepartmentId, DomainId, NodeId, UserId};
use uuid::Uuid;

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

/// Who a user is, and where in the organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who.
    pub id: UserId,
    /// The domain.
    pub domain_id: DomainId,
    /// The department, if any.
    pub department_id: Option<DepartmentId>,
}

/// Finds a user that is not deleted by id or canonical address.
pub async fn find(db: impl PgExecutor<'_>, id_or_address: &str) -> Result<Option<Found>> {
    let id = id_or_address.parse::<Uuid>().ok();
    let (local_part, domain) = id_or_address.rsplit_once('@').unwrap_or_default();
    Ok(sqlx::query_as!(
        Found,
        r#"SELECT account.id AS "id: UserId", domain_id AS "domain_id: DomainId",
                  department_id AS "department_id: DepartmentId"
             FROM account JOIN domain ON domain.id = domain_id
            WHERE (account.id = $1 OR (local_part = $2 AND domain.name = $3))
              AND account.deleted_at IS NULL"#,
        id,
        local_part,
        domain,
    )
    .fetch_optional(db)
    .await?)
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
