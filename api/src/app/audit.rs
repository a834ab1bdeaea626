//! The audit row of a change, written in the transaction of the change.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use umail_proto::ids::{AuditEventId, DomainId};
use uuid::Uuid;

use crate::{
    authz::Action,
    context::{Caller, Context},
    error::{Error, Result},
    store::{self, audit_events::AuditEvent},
};

/// What a change was made to.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The word for it, such as `operator`.
    pub kind: &'static str,
    /// Which one.
    pub id: Uuid,
    /// The domain that it belongs to.
    pub domain_id: Option<DomainId>,
}

impl Subject {
    /// Something of the system.
    pub fn system(kind: &'static str, id: impl Into<Uuid>) -> Self {
        Self { kind, id: id.into(), domain_id: None }
    }

    /// Something in a domain.
    pub fn of(domain: DomainId, kind: &'static str, id: impl Into<Uuid>) -> Self {
        Self { kind, id: id.into(), domain_id: Some(domain) }
    }
}

/// A row as the audit event shows it. Never hand over anything that holds a secret.
pub fn shown(row: &impl Serialize) -> Result<Option<Value>> {
    serde_json::to_value(row).map(Some).map_err(Error::internal)
}

/// Records a change.
pub async fn record(
    db: &mut PgConnection,
    cx: &Context,
    action: Action,
    subject: Subject,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let event = AuditEvent { before, after, ..common(cx, action, subject) };
    store::audit_events::insert(db, event).await
}

/// One of many changes that are made together.
#[derive(Debug)]
pub struct Event {
    /// What was done.
    pub action: Action,
    /// To what, in a domain.
    pub subject: Subject,
    /// As it was.
    pub before: Option<Value>,
    /// As it is now.
    pub after: Option<Value>,
}

/// Records many changes of one kind of thing.
pub async fn record_all(
    db: &mut PgConnection,
    cx: &Context,
    kind: &'static str,
    events: Vec<Event>,
) -> Result<()> {
    let Some(first) = events.first() else { return Ok(()) };
    let common = common(cx, first.action, Subject { kind, ..first.subject });
    let events = events.into_iter().filter_map(|one| {
        let Event { action, subject, before, after } = one;
        Some((action.name(), subject.id, subject.domain_id?, before, after))
    });
    store::audit_events::insert_all(db, &common, events.collect()).await
}

/// What an event tells of the caller, the time, and what was done.
fn common(cx: &Context, action: Action, subject: Subject) -> AuditEvent<'_> {
    let (actor_kind, actor_id) = match cx.caller() {
        Caller::Operator { id, .. } => ("operator", Some(id.uuid())),
        Caller::User { id, .. } => ("user", Some(id.uuid())),
        Caller::Node(id) => ("node", Some(id.uuid())),
        Caller::System => ("system", None),
        Caller::Nobody => ("nobody", None),
    };
    AuditEvent {
        id: AuditEventId::generate(cx.now()),
        at: cx.now(),
        actor_kind,
        actor_id,
        action: action.name(),
        resource: subject.kind,
        resource_id: subject.id,
        domain_id: subject.domain_id,
        before: None,
        after: None,
        request_id: cx.request_id(),
    }
}
