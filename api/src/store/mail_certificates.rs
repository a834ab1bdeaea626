//! Certificates and sealed keys of the mail daemons of nodes.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::NodeId;

use crate::error::Result;

/// The certificate of a node's mail daemons.
#[derive(Clone, Debug)]
pub struct MailCertificate {
    /// Leaf first, PEM.
    pub chain_pem: String,
    /// The sealed key.
    pub sealed: Vec<u8>,
}

/// The certificate of a node's mail daemons, if it was given one.
pub async fn find(db: impl PgExecutor<'_>, node: NodeId) -> Result<Option<MailCertificate>> {
    Ok(sqlx::query_as!(
        MailCertificate,
        "SELECT chain_pem, sealed FROM mail_certificate WHERE node_id = $1",
        node.uuid(),
    )
    .fetch_optional(db)
    .await?)
}

/// Nodes that may connect and whose mail certificate ends before this time.
pub async fn list_due(db: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<Vec<NodeId>> {
    Ok(sqlx::query_scalar!(
        "SELECT n.id FROM node n LEFT JOIN mail_certificate c ON c.node_id = n.id
          WHERE n.revoked_at IS NULL AND (c.not_after IS NULL OR c.not_after < $1)
          ORDER BY n.id
          LIMIT 1000",
        before,
    )
    .fetch_all(db)
    .await?)
}

/// Keeps the certificate of a node's mail daemons, in place of the one before.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    node: NodeId,
    certificate: &MailCertificate,
    not_after: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO mail_certificate (node_id, chain_pem, sealed, not_after) VALUES ($1, $2, $3, $4)
         ON CONFLICT (node_id) DO UPDATE
            SET chain_pem = excluded.chain_pem, sealed = excluded.sealed,
                not_after = excluded.not_after",
        node.uuid(),
        certificate.chain_pem,
        certificate.sealed,
        not_after,
    )
    .execute(db)
    .await?;
    Ok(())
}
