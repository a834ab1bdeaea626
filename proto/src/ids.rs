//! The registry of typed ids: UUIDv7 that cannot be mixed up with one another.

use std::{fmt, str::FromStr};

use time::OffsetDateTime;
use uuid::Uuid;

/// Declares one id type per line, each a transparent UUID.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Mints an id at this time: ids sort by the time they were made.
            #[must_use]
            pub fn generate(now: OffsetDateTime) -> Self {
                Self(uuid_at(now))
            }

            /// The bare UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

ids! {
    /// Identifies a one-off verb to an agent.
    ActionId,
    /// Identifies an alias.
    AliasId,
    /// Identifies an API key.
    ApiKeyId,
    /// Identifies an audit event.
    AuditEventId,
    /// Identifies a change of many users.
    BulkChangeId,
    /// Identifies a credential of a user: a password or an app password.
    CredentialId,
    /// Identifies a department.
    DepartmentId,
    /// Identifies another name of a mail domain.
    DomainAliasId,
    /// Identifies a mail domain.
    DomainId,
    /// Identifies a group.
    GroupId,
    /// Identifies a membership in a group.
    GroupMemberId,
    /// Identifies an import of users.
    ImportId,
    /// Identifies a join token.
    JoinTokenId,
    /// Identifies a login link.
    LoginLinkId,
    /// Identifies a mail node.
    NodeId,
    /// Identifies tracked long work of the API.
    OperationId,
    /// Identifies an operator.
    OperatorId,
    /// Identifies a plan.
    PlanId,
    /// Identifies a role of a user beyond that of a user.
    RoleAssignmentId,
    /// Identifies a sign-in: a chain of refresh tokens.
    SessionId,
    /// Identifies a user.
    UserId,
}

fn uuid_at(now: OffsetDateTime) -> Uuid {
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.nanosecond()))
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let early = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let late = early + Duration::milliseconds(1);
        assert!(UserId::generate(early) < UserId::generate(late));
    }

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = NodeId::generate(OffsetDateTime::UNIX_EPOCH);
        assert_eq!(id.to_string().parse::<NodeId>().unwrap(), id);
        assert!("node-1".parse::<NodeId>().is_err());
    }
}
