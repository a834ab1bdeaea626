//! Groups: distribution lists, and their members.

use std::str::FromStr;

use serde::Serialize;
use time::OffsetDateTime;
use umail_api_types::groups::Posting;
use umail_proto::ids::{DepartmentId, DomainId, GroupId, GroupMemberId, UserId};

use crate::model::address::{EmailAddress, LocalPart};

/// Members of one group at most: each is a recipient of every message to it.
pub const MAX_MEMBERS: i64 = 1_000;

/// A distribution list.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Group {
    /// Identifies the group.
    pub id: GroupId,
    /// The domain.
    pub domain_id: DomainId,
    /// The department.
    pub department_id: Option<DepartmentId>,
    /// What stands before the `@`.
    #[serde(skip)]
    pub local_part: LocalPart,
    /// The address.
    pub address: EmailAddress,
    /// The name shown to people.
    pub display_name: String,
    /// Who may write to it.
    pub posting: Posting,
    /// Counts the changes.
    pub revision: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Whether who may write to a group of this name may be narrowed: everybody must be able to write
/// to those who answer for a domain (RFC 2142).
pub fn check_posting(local_part: &LocalPart, posting: Posting) -> Result<Posting, String> {
    let is_open = ["postmaster", "abuse"].contains(&local_part.as_str());
    if is_open && posting != Posting::Anyone {
        return Err(format!("must be anyone, since the group is {local_part}"));
    }
    Ok(posting)
}

/// One of those who get what is written to a group.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct GroupMember {
    /// Identifies the membership.
    pub id: GroupMemberId,
    /// The group.
    pub group_id: GroupId,
    /// The user; nothing: an address that is nobody's here.
    pub user_id: Option<UserId>,
    /// The address; nothing: that of a user out of the caller's reach.
    pub address: Option<EmailAddress>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A group by id or by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRef {
    /// By id.
    Id(GroupId),
    /// By address.
    Address(EmailAddress),
}

impl FromStr for GroupRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => EmailAddress::parse(text).map(Self::Address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_can_write_to_who_answers_for_a_domain() {
        let check = |name: &str, posting| check_posting(&LocalPart::parse(name).unwrap(), posting);
        assert!(check("team", Posting::Members).is_ok());
        assert!(check("abuse", Posting::Anyone).is_ok());
        assert!(check("Postmaster", Posting::Domain).is_err());
    }
}
