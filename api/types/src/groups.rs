//! Groups: distribution lists.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{DepartmentId, DomainId, GroupId, UserId};
use utoipa::{IntoParams, ToSchema};

use crate::patch::present;

/// A distribution list: what is written to its address goes to its members.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Identifies the group.
    pub id: GroupId,
    /// The domain.
    pub domain_id: DomainId,
    /// The department; null: of the domain itself.
    pub department_id: Option<DepartmentId>,
    /// The address.
    #[schema(example = "team@example.com")]
    pub address: String,
    /// The name shown to people.
    pub display_name: String,
    /// Who may write to it.
    pub posting: Posting,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last, its members aside.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Who may write to a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Posting {
    /// Anybody, from anywhere.
    Anyone,
    /// Users of the group's domain, who have signed in to send.
    #[default]
    Domain,
    /// Users who are members, who have signed in to send.
    Members,
}

impl Posting {
    const ALL: [Self; 3] = [Self::Anyone, Self::Domain, Self::Members];

    /// The number in the database and in the agent protocol.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::Anyone => 1,
            Self::Domain => 2,
            Self::Members => 3,
        }
    }

    /// Reads the number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|posting| posting.number() == number)
    }
}

/// A group to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// What stands before the `@`; lower-case, without `+`.
    #[schema(example = "team", min_length = 1, max_length = 64)]
    pub local_part: String,
    /// The name shown to people.
    #[serde(default)]
    #[schema(max_length = 128)]
    pub display_name: String,
    /// Who may write to it; absent: users of the domain.
    #[serde(default)]
    pub posting: Posting,
    /// The department; absent or null: of the domain itself.
    #[serde(default)]
    pub department_id: Option<DepartmentId>,
}

/// What of a group is to change (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupPatch {
    /// The name shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 128)]
    pub display_name: Option<String>,
    /// Who may write to it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub posting: Option<Posting>,
    /// The department; null: of the domain itself.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<DepartmentId>)]
    pub department_id: Option<Option<DepartmentId>>,
}

/// Which groups of a domain are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct GroupFilter {
    /// Only groups of this department, those below not included.
    #[param(nullable = false)]
    pub department_id: Option<DepartmentId>,
    /// Only groups whose address or name has this, as in the list of users.
    #[param(nullable = false, min_length = 1, max_length = 254)]
    pub search: Option<String>,
    /// Whether to say how many there are, up to 10,000.
    #[param(nullable = false)]
    pub count: Option<bool>,
}

/// One of those who get what is written to a group.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupMember {
    /// The user, whatever the address is called; null: an address that is nobody's here.
    pub user_id: Option<UserId>,
    /// The address; null: the user is not in your scope.
    #[schema(example = "anna@example.com")]
    pub address: Option<String>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}
