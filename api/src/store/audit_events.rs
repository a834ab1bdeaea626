//! Audit events: written once, never changed.

use serde_json::Value;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{AuditEventId, DomainId};
use uuid::Uuid;

use crate::error::Result;

/// Who did what to what.
#[derive(Debug)]
pub struct AuditEvent<'a> {
    /// Identifies the event.
    pub id: AuditEventId,
    /// When.
    pub at: OffsetDateTime,
    /// What the caller is.
    pub actor_kind: &'a str,
    /// Who.
    pub actor_id: Option<Uuid>,
    /// What was done.
    pub action: &'a str,
    /// To what kind of thing.
    pub resource: &'a str,
    /// To which one.
    pub resource_id: Uuid,
    /// The domain that it belongs to.
    pub domain_id: Option<DomainId>,
    /// As it was.
    pub before: Option<Value>,
    /// As it is now.
    pub after: Option<Value>,
    /// Finds the request in the logs.
    pub request_id: &'a str,
}

/// Writes an event.
pub async fn insert(db: impl PgExecutor<'_>, event: AuditEvent<'_>) -> Result<()> {
    sqlx::query!(
        "INSERT INTO audit_event (id, at, actor_kind, actor_id, action, resource, resource_id,
                                  domain_id, before, after, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        event.id.uuid(),
        event.at,
        event.actor_kind,
        event.actor_id,
        event.action,
        event.resource,
        event.resource_id.to_string(),
        event.domain_id.map(DomainId::uuid),
        event.before,
        event.after,
        event.request_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An event among many: what was done, to which one, in which domain, as it was, as it is now.
pub type OneOfMany = (&'static str, Uuid, DomainId, Option<Value>, Option<Value>);

/// Writes many events of one change, by the same caller at the same time.
pub async fn insert_all(
    db: impl PgExecutor<'_>,
    common: &AuditEvent<'_>,
    events: Vec<OneOfMany>,
) -> Result<()> {
    let ids: Vec<_> = events.iter().map(|_| AuditEventId::generate(common.at).uuid()).collect();
    let (mut actions, mut resources, mut domains) = (Vec::new(), Vec::new(), Vec::new());
    let (mut befores, mut afters) = (Vec::new(), Vec::new());
    for (action, resource, domain, before, after) in events {
        actions.push(action.to_owned());
        resources.push(resource.to_string());
        domains.push(domain.uuid());
        befores.push(before);
        afters.push(after);
    }
    sqlx::query!(
        "INSERT INTO audit_event (id, at, actor_kind, actor_id, action, resource, resource_id,
                                  domain_id, before, after, request_id)
         SELECT id, $7, $8, $9, action, $10, resource_id, domain_id, before, after, $11
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::jsonb[], $6::jsonb[])
                AS new (id, action, resource_id, domain_id, before, after)",
        &ids,
        &actions,
        &resources,
        &domains,
        &befores as &[Option<Value>],
        &afters as &[Option<Value>],
        common.at,
        common.actor_kind,
        common.actor_id,
        common.resource,
        common.request_id,
    )
    .execute(db)
    .await?;
    Ok(())
}
