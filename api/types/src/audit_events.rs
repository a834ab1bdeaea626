//! Audit events: who did what, from where, to what.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use umail_proto::ids::{ApiKeyId, AuditEventId, DepartmentId, DomainId, UserId};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// What kind of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something was changed.
    Change,
    /// Somebody signed in, failed to, or was refused something.
    Security,
}

impl Kind {
    /// The name in requests, answers and the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Security => "security",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Change, Self::Security].into_iter().find(|one| one.name() == name)
    }
}

/// Who did what, from where, to what.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    /// Identifies the event.
    pub id: AuditEventId,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// A change, or something about security.
    pub kind: Kind,
    /// `operator`, `user`, `node`, `system` (the server itself) or `nobody` (not signed in).
    pub actor_kind: String,
    /// The operator, user or node; null for the server itself and for nobody.
    pub actor_id: Option<Uuid>,
    /// What the actor is called now: the name of an operator or a node, the address of a user; null:
    /// it is gone, or not in your scope.
    pub actor: Option<String>,
    /// The API key by which it was done on behalf of the actor; null: the actor did it.
    pub api_key_id: Option<ApiKeyId>,
    /// The address at the other end of the connection; null: it was not a request.
    pub client_address: Option<String>,
    /// `create`, `update`, `delete` or `operate`; of security `sign_in`, `sign_in_failed`,
    /// `lock_out`, `token_reused`, `key_refused` or `refuse`.
    pub action: String,
    /// What it was done to, such as `user`.
    pub resource: String,
    /// Which one; null where there is no such thing, as for a name that nobody has.
    pub resource_id: Option<Uuid>,
    /// The domain that it belongs to; null: to the system.
    pub domain_id: Option<DomainId>,
    /// The department that it belonged to then; null: to none.
    pub department_id: Option<DepartmentId>,
    /// The user whom it is about; null: it is about nobody.
    pub user_id: Option<UserId>,
    /// As it was before; null for what was created, and where it is secret.
    pub before: Option<Value>,
    /// As it was afterwards, or more about the event; null for what was deleted, and where it is
    /// secret.
    pub after: Option<Value>,
    /// The header `X-Request-Id` of the request; also in the log of the server.
    pub request_id: String,
}

/// Which audit events are wanted: those for which all of this holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditEventFilter {
    /// What this operator, user or node did: an id, or the address of a user.
    #[param(nullable = false)]
    pub actor: Option<String>,
    /// What is about this user: an id, or an address.
    #[param(nullable = false)]
    pub user: Option<String>,
    /// What was done to things of this kind, such as `user`.
    #[param(nullable = false)]
    pub resource: Option<String>,
    /// What was done to this thing.
    #[param(nullable = false)]
    pub resource_id: Option<Uuid>,
    /// What belongs to this domain: an id, or a name.
    #[param(nullable = false)]
    pub domain: Option<String>,
    /// What was done, such as `delete`.
    #[param(nullable = false)]
    pub action: Option<String>,
    /// Changes, or what is about security.
    #[param(nullable = false, inline)]
    pub kind: Option<Kind>,
    /// Not before this time.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[param(nullable = false)]
    pub from: Option<OffsetDateTime>,
    /// Before this time.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[param(nullable = false)]
    pub to: Option<OffsetDateTime>,
}
