//! Certificates that nodes were given; one that is not here is good for nothing.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::NodeId;

use crate::{error::Result, pki::Issued};

/// Those of these serial numbers that are not revoked.
pub async fn list_good(db: impl PgExecutor<'_>, serials: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    Ok(sqlx::query_scalar!(
        "SELECT c.serial
           FROM node_certificate c JOIN node n ON n.id = c.node_id
          WHERE c.serial = ANY ($1) AND n.revoked_at IS NULL",
        serials,
    )
    .fetch_all(db)
    .await?)
}

/// Keeps a certificate.
pub async fn insert(
    db: impl PgExecutor<'_>,
    node: NodeId,
    issued: &Issued,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO node_certificate (serial, node_id, not_after, created_at) VALUES ($1, $2, $3, $4)",
        issued.serial,
        node.uuid(),
        issued.not_after,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the certificates of a node that ended before this time; all, for a time to come.
pub async fn delete_ended(
    db: impl PgExecutor<'_>,
    node: NodeId,
    before: Option<OffsetDateTime>,
) -> Result<()> {
    sqlx::query!(
        "DELETE FROM node_certificate
          WHERE node_id = $1 AND ($2::timestamptz IS NULL OR not_after < $2)",
        node.uuid(),
        before,
    )
    .execute(db)
    .await?;
    Ok(())
}
