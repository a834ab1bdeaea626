//! Audit events, and the chain of digests that seals them.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
pub use umail_api_types::audit_events::Kind;
use umail_proto::ids::{ApiKeyId, AuditEventId, DepartmentId, DomainId, UserId};
use uuid::Uuid;

/// What is said before everything else that is digested: another way to write events is another name.
const FORMAT: &str = "umail audit 1";

/// Who did what to what, as it is stored.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Identifies the event.
    pub id: AuditEventId,
    /// When.
    pub at: OffsetDateTime,
    /// A change, or something about security.
    pub kind: Kind,
    /// What the caller is.
    pub actor_kind: Cow<'static, str>,
    /// Who.
    pub actor_id: Option<Uuid>,
    /// The API key by which it was done on behalf of the actor.
    pub api_key_id: Option<ApiKeyId>,
    /// From where.
    pub client_address: Option<String>,
    /// What was done.
    pub action: Cow<'static, str>,
    /// To what kind of thing.
    pub resource: Cow<'static, str>,
    /// To which one.
    pub resource_id: Option<Uuid>,
    /// The domain that it belongs to.
    pub domain_id: Option<DomainId>,
    /// The department that it belongs to.
    pub department_id: Option<DepartmentId>,
    /// The user whom it is about.
    pub user_id: Option<UserId>,
    /// As it was: JSON, as the database writes it.
    pub before: Option<String>,
    /// As it is now.
    pub after: Option<String>,
    /// Finds the request in the logs.
    pub request_id: String,
}

/// An event, and what its actor is called now.
#[derive(Clone, Debug)]
pub struct Named {
    /// The event.
    pub event: AuditEvent,
    /// The name of an operator or a node, the address of a user; nothing: gone, or not to be seen.
    pub actor: Option<String>,
}

/// Which events somebody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Those of all domains, and one's own.
    Domains {
        /// Who.
        own: Uuid,
    },
    /// Those of the domains and departments in reach, and one's own: what row-level security shows.
    Reach,
}

impl Scope {
    /// Whose own events are seen, beyond those of all domains.
    #[must_use]
    pub fn own(self) -> Option<Uuid> {
        match self {
            Self::Domains { own } => Some(own),
            Self::All | Self::Reach => None,
        }
    }

    /// Whether an event that row-level security shows is among them.
    #[must_use]
    pub fn has(self, event: &AuditEvent) -> bool {
        let Self::Domains { own } = self else { return true };
        let is_own = event.actor_id == Some(own) || event.user_id.map(UserId::uuid) == Some(own);
        event.domain_id.is_some() || is_own && event.action != "hide"
    }
}

/// The digest of an event and of all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Digest(pub [u8; 32]);

impl TryFrom<Vec<u8>> for Digest {
    type Error = Vec<u8>;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        bytes.try_into().map(Self)
    }
}

/// Up to where the chain is known: the last sequence number, and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The number of the last seal; 0 when there is none.
    pub sequence: i64,
    /// Its digest.
    pub digest: Digest,
}

impl Head {
    /// Where every chain begins.
    pub const START: Self = Self { sequence: 0, digest: Digest([0; 32]) };

    /// The next link: the digest covers what it was, and all of the event.
    #[must_use]
    pub fn seal(&self, event: &AuditEvent, sealed_at: OffsetDateTime) -> Self {
        let sequence = self.sequence + 1;
        let mut writer = Writer(Sha256::new());
        writer.text(FORMAT);
        writer.bytes(Some(&self.digest.0));
        writer.bytes(Some(&sequence.to_be_bytes()));
        writer.time(sealed_at);
        writer.event(event);
        Self { sequence, digest: Digest(writer.0.finalize().into()) }
    }
}

/// Writes fields so that no two rows are written alike: each with its length, nothing apart from empty.
struct Writer(Sha256);

impl Writer {
    fn event(&mut self, event: &AuditEvent) {
        self.uuid(Some(event.id));
        self.time(event.at);
        self.text(event.kind.name());
        self.text(&event.actor_kind);
        self.uuid(event.actor_id);
        self.uuid(event.api_key_id);
        self.optional(event.client_address.as_deref());
        self.text(&event.action);
        self.text(&event.resource);
        self.uuid(event.resource_id);
        self.uuid(event.domain_id);
        self.uuid(event.department_id);
        self.uuid(event.user_id);
        self.optional(event.before.as_deref());
        self.optional(event.after.as_deref());
        self.text(&event.request_id);
    }

    fn bytes(&mut self, bytes: Option<&[u8]>) {
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        self.0.update(length.to_be_bytes());
        self.0.update(bytes.unwrap_or_default());
    }

    fn text(&mut self, text: &str) {
        self.bytes(Some(text.as_bytes()));
    }

    fn optional(&mut self, text: Option<&str>) {
        self.bytes(text.map(str::as_bytes));
    }

    fn uuid(&mut self, id: Option<impl Into<Uuid>>) {
        self.bytes(id.map(Into::into).as_ref().map(|id| id.as_bytes().as_slice()));
    }

    /// To the microsecond, as the database keeps it.
    fn time(&mut self, time: OffsetDateTime) {
        self.bytes(Some(&(time.unix_timestamp_nanos() / 1_000).to_be_bytes()));
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, hex::encode(self.digest.0))
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a number, a colon and 64 hexadecimal digits".to_owned();
        let (sequence, digest) = text.trim().split_once(':').ok_or_else(wrong)?;
        let sequence = sequence.parse().map_err(|_cause| wrong())?;
        let digest = hex::decode(digest).map_err(|_cause| wrong())?;
        Ok(Self { sequence, digest: Digest::try_from(digest).map_err(|_cause| wrong())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> AuditEvent {
        let at = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        AuditEvent {
            id: Uuid::from_u128(1).into(),
            at,
            kind: Kind::Change,
            actor_kind: "operator".into(),
            actor_id: Some(Uuid::from_u128(2)),
            api_key_id: None,
            client_address: Some("192.0.2.1".to_owned()),
            action: "update".into(),
            resource: "user".into(),
            resource_id: Some(Uuid::from_u128(3)),
            domain_id: None,
            department_id: None,
            user_id: Some(Uuid::from_u128(3).into()),
            before: None,
            after: Some("{}".to_owned()),
            request_id: "r".to_owned(),
        }
    }

    #[test]
    fn a_digest_is_what_it_was_when_events_were_sealed() {
        let head = Head::START.seal(&event(), event().at);
        assert_eq!(
            head.to_string(),
            "1:2b99662e02a2e910018dc5bb58926bb632fb4e439e5cf58849bc71465ac70bc3"
        );
        assert_eq!(head.to_string().parse(), Ok(head));
        assert!("1:00".parse::<Head>().is_err() && "x".parse::<Head>().is_err());
    }

    #[test]
    fn every_field_and_every_place_counts() {
        let changes: [fn(&mut AuditEvent); 17] = [
            |one| one.id = Uuid::from_u128(9).into(),
            |one| one.at += time::Duration::microseconds(1),
            |one| one.kind = Kind::Security,
            |one| one.actor_kind = "user".into(),
            |one| one.actor_id = None,
            |one| one.api_key_id = Some(Uuid::from_u128(9).into()),
            |one| one.client_address = None,
            |one| one.action = "delete".into(),
            |one| one.resource = "alias".into(),
            |one| one.resource_id = None,
            |one| one.domain_id = Some(Uuid::from_u128(9).into()),
            |one| one.department_id = Some(Uuid::from_u128(9).into()),
            |one| one.user_id = None,
            |one| one.before = Some(String::new()),
            |one| one.after = None,
            |one| (one.before, one.after) = (one.after.take(), None),
            |one| one.request_id = String::new(),
        ];
        let mut seen = vec![Head::START.seal(&event(), event().at)];
        for change in changes {
            let mut changed = event();
            change(&mut changed);
            seen.push(Head::START.seal(&changed, event().at));
        }
        seen.push(Head { sequence: 1, ..Head::START }.seal(&event(), event().at));
        seen.push(Head { digest: Digest([1; 32]), ..Head::START }.seal(&event(), event().at));
        seen.push(Head::START.seal(&event(), event().at + time::Duration::microseconds(1)));
        for (place, head) in seen.iter().enumerate() {
            assert!(!seen[..place].contains(head), "{place}");
        }
    }
}
