//! The audit event of a change, written in the transaction of the change.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use umail_proto::ids::{AuditEventId, DepartmentId, DomainId, UserId};
use uuid::Uuid;

use crate::{
    authz::Action,
    context::{Caller, Context},
    error::{Error, Result},
    model::{
        audit::{AuditEvent, Kind},
        user::User,
    },
    store,
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
    /// The department that it belongs to.
    pub department_id: Option<DepartmentId>,
    /// The user whom it is about.
    pub user_id: Option<UserId>,
}

impl Subject {
    /// Something of the system.
    pub fn system(kind: &'static str, id: impl Into<Uuid>) -> Self {
        Self { kind, id: id.into(), domain_id: None, department_id: None, user_id: None }
    }

    /// Something in a domain.
    pub fn of(domain: DomainId, kind: &'static str, id: impl Into<Uuid>) -> Self {
        Self { domain_id: Some(domain), ..Self::system(kind, id) }
    }

    /// Something of a user.
    pub fn of_user(user: &User, kind: &'static str, id: impl Into<Uuid>) -> Self {
        let place = Self::of(user.domain_id, kind, id);
        Self { department_id: user.department_id, user_id: Some(user.id), ..place }
    }

    /// The same, in a department of the domain.
    #[must_use]
    pub fn within(self, department: Option<DepartmentId>) -> Self {
        Self { department_id: department, ..self }
    }

    /// The same, about a user.
    #[must_use]
    pub fn about(self, user: Option<UserId>) -> Self {
        Self { user_id: user, ..self }
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
    let [before, after] = [before, after].map(|shown| shown.map(|shown| shown.to_string()));
    let event = AuditEvent { before, after, ..event(cx, Kind::Change, action.name(), subject) };
    store::audit_events::insert(db, &event).await
}

/// One of many changes that are made together.
#[derive(Debug)]
pub struct Event {
    /// What was done.
    pub action: Action,
    /// To what.
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
    let events = events.into_iter().map(|one| {
        let subject = Subject { kind, ..one.subject };
        let [before, after] = [one.before, one.after].map(|shown| shown.map(|it| it.to_string()));
        AuditEvent { before, after, ..event(cx, Kind::Change, one.action.name(), subject) }
    });
    store::audit_events::insert_all(db, &events.collect::<Vec<_>>()).await
}

/// An event of this request.
pub(super) fn event(
    cx: &Context,
    kind: Kind,
    action: &'static str,
    subject: Subject,
) -> AuditEvent {
    let (actor_kind, actor_id) = match (cx.key(), cx.caller()) {
        (Some(found), _) => {
            let kind = if found.owner.operator_id.is_some() { "operator" } else { "user" };
            (kind, Some(found.owner.id()))
        }
        (None, Caller::Operator { id, .. }) => ("operator", Some(id.uuid())),
        (None, Caller::User { id, .. }) => ("user", Some(id.uuid())),
        (None, Caller::Node(id)) => ("node", Some(id.uuid())),
        (None, Caller::System) => ("system", None),
        (None, Caller::Nobody) => ("nobody", None),
    };
    let at = cx.now();
    AuditEvent {
        id: AuditEventId::generate(at),
        at,
        kind,
        actor_kind: actor_kind.into(),
        actor_id,
        api_key_id: cx.key().map(|found| found.key.id),
        client_address: cx.client_address().map(|address| address.to_string()),
        action: action.into(),
        resource: subject.kind.into(),
        resource_id: Some(subject.id),
        domain_id: subject.domain_id,
        department_id: subject.department_id,
        user_id: subject.user_id,
        before: None,
        after: None,
        request_id: cx.request_id().to_owned(),
    }
}
