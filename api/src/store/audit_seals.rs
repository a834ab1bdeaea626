//! The chain that seals audit events: what waits for its seal, the seals, where the chain begins.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use umail_proto::ids::{ApiKeyId, AuditEventId, DepartmentId, DomainId, UserId};
use uuid::Uuid;

use super::audit_events::Row;
use crate::{
    error::{Error, Result},
    model::audit::{AuditEvent, Digest, Head},
};

/// Holds the chain until the end of the transaction; false if somebody else seals or prunes.
pub async fn try_lock(db: impl PgExecutor<'_>) -> Result<bool> {
    let row = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('audit seals', 0)) AS "locked!""#,
    );
    Ok(row.fetch_one(db).await?)
}

/// Where the chain ends now.
pub async fn head(db: impl PgExecutor<'_>) -> Result<Head> {
    let row = sqlx::query!(
        r#"SELECT sequence AS "sequence!", digest AS "digest!"
             FROM (SELECT sequence, digest FROM audit_seal
                   UNION ALL SELECT sequence, digest FROM audit_anchor) AS link
            ORDER BY sequence DESC LIMIT 1"#,
    );
    let row = row.fetch_optional(db).await?;
    row.map_or(Ok(Head::START), |row| head_of(row.sequence, row.digest))
}

/// Where the chain begins since older events were pruned.
pub async fn anchor(db: impl PgExecutor<'_>) -> Result<Head> {
    let row =
        sqlx::query!("SELECT sequence, digest FROM audit_anchor ORDER BY sequence DESC LIMIT 1");
    let row = row.fetch_optional(db).await?;
    row.map_or(Ok(Head::START), |row| head_of(row.sequence, row.digest))
}

fn head_of(sequence: i64, digest: Vec<u8>) -> Result<Head> {
    let digest = Digest::try_from(digest);
    let digest = digest.map_err(|_bytes| Error::corrupt("audit_seal", sequence, "its digest"))?;
    Ok(Head { sequence, digest })
}

/// Events that wait for their seal, in the order of their ids.
pub async fn list_unsealed(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<AuditEvent>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, at, kind, actor_kind, actor_id, api_key_id, client_address, action, resource,
                resource_id, domain_id, department_id, user_id, before::text AS before,
                after::text AS after, request_id
           FROM audit_unsealed JOIN audit_event ON audit_event.id = audit_unsealed.event_id
          ORDER BY audit_unsealed.event_id LIMIT $1",
        limit,
    );
    rows.fetch_all(db).await?.into_iter().map(AuditEvent::try_from).collect()
}

/// How many events wait for their seal.
pub async fn count_unsealed(db: impl PgExecutor<'_>) -> Result<i64> {
    let row = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM audit_unsealed"#);
    Ok(row.fetch_one(db).await?)
}

/// Adds the seals of these events behind a place in the chain; they wait no longer.
pub async fn insert(
    db: &mut PgConnection,
    after: i64,
    sealed_at: OffsetDateTime,
    links: &[(AuditEventId, Digest)],
) -> Result<()> {
    let ids: Vec<_> = links.iter().map(|(id, _)| id.uuid()).collect();
    let digests: Vec<_> = links.iter().map(|(_, digest)| digest.0.to_vec()).collect();
    sqlx::query!(
        "INSERT INTO audit_seal (sequence, event_id, sealed_at, digest)
         SELECT $1 + place, event_id, $2, digest
           FROM unnest($3::uuid[], $4::bytea[]) WITH ORDINALITY AS link (event_id, digest, place)",
        after,
        sealed_at,
        &ids,
        &digests,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!("DELETE FROM audit_unsealed WHERE event_id = ANY ($1)", &ids).execute(db).await?;
    Ok(())
}

/// A seal, and its event unless that is gone.
#[derive(Debug)]
pub struct Seal {
    /// Its place in the chain, and its digest.
    pub head: Head,
    /// When the event was sealed.
    pub sealed_at: OffsetDateTime,
    /// The event.
    pub event: Option<AuditEvent>,
}

/// The next seals behind a place in the chain.
pub async fn list(db: impl PgExecutor<'_>, after: i64, limit: i64) -> Result<Vec<Seal>> {
    let rows = sqlx::query!(
        r#"SELECT sequence, sealed_at, digest, audit_event.id IS NOT NULL AS "is_there!",
                  event_id AS "id: AuditEventId", at AS "at?", kind AS "kind?",
                  actor_kind AS "actor_kind?", actor_id, api_key_id AS "api_key_id?: ApiKeyId",
                  client_address, action AS "action?", resource AS "resource?", resource_id,
                  domain_id AS "domain_id?: DomainId",
                  department_id AS "department_id?: DepartmentId", user_id AS "user_id?: UserId",
                  before::text AS before, after::text AS after, request_id AS "request_id?"
             FROM audit_seal LEFT JOIN audit_event ON audit_event.id = audit_seal.event_id
            WHERE sequence > $1 ORDER BY sequence LIMIT $2"#,
        after,
        limit,
    );
    let mut seals = Vec::new();
    for row in rows.fetch_all(db).await? {
        let event = Row {
            id: row.id,
            at: row.at.unwrap_or(row.sealed_at),
            kind: row.kind.unwrap_or_default(),
            actor_kind: row.actor_kind.unwrap_or_default(),
            actor_id: row.actor_id,
            api_key_id: row.api_key_id,
            client_address: row.client_address,
            action: row.action.unwrap_or_default(),
            resource: row.resource.unwrap_or_default(),
            resource_id: row.resource_id,
            domain_id: row.domain_id,
            department_id: row.department_id,
            user_id: row.user_id,
            before: row.before,
            after: row.after,
            request_id: row.request_id.unwrap_or_default(),
        };
        let event = row.is_there.then(|| AuditEvent::try_from(event)).transpose()?;
        let head = head_of(row.sequence, row.digest)?;
        seals.push(Seal { head, sealed_at: row.sealed_at, event });
    }
    Ok(seals)
}

/// Events behind an id, each with whether it has a seal or waits for one.
pub async fn list_accounted(
    db: impl PgExecutor<'_>,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(AuditEventId, bool)>> {
    let rows = sqlx::query!(
        r#"SELECT id, EXISTS (SELECT FROM audit_seal WHERE event_id = id)
                      OR EXISTS (SELECT FROM audit_unsealed WHERE event_id = id) AS "is_accounted!"
             FROM audit_event WHERE id > $1 ORDER BY id LIMIT $2"#,
        after,
        limit,
    );
    let rows = rows.fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.is_accounted)).collect())
}

/// Makes the partitions of the next months.
pub async fn prepare(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!(r#"SELECT 1 AS "done" FROM audit_prepare()"#).fetch_one(db).await?;
    Ok(())
}

/// Removes the events of all months before the one of a time; for the owner. Returns up to where,
/// and how many.
pub async fn prune(db: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<(i64, i64)> {
    let row = sqlx::query!("SELECT upto, removed FROM audit_prune($1)", before);
    let row = row.fetch_one(db).await?;
    Ok((row.upto.unwrap_or_default(), row.removed.unwrap_or_default()))
}
