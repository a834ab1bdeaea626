//! Statuses of domains and users.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What mail and sign-in do. Of a domain and a user the more restrictive one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything works.
    Active,
    /// Mail arrives; nobody signs in.
    Locked,
    /// Mail and sign-in fail for now; senders try again.
    Maintenance,
    /// Mail is refused, that of a domain after it was deferred for some days; nobody signs in.
    Suspended,
    /// As if it were not there, the mailbox excepted.
    Closed,
}

impl Status {
    const ALL: [Self; 5] =
        [Self::Active, Self::Locked, Self::Maintenance, Self::Suspended, Self::Closed];

    /// The number in the database and in the agent protocol.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::Active => 1,
            Self::Locked => 2,
            Self::Maintenance => 3,
            Self::Suspended => 4,
            Self::Closed => 5,
        }
    }

    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Maintenance => "maintenance",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }

    /// Reads the number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.number() == number)
    }
}
