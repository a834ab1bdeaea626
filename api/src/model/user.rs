//! Users: people's accounts with an address.

use std::str::FromStr;

use serde::Serialize;
use time::OffsetDateTime;
use umail_api_types::status::Status;
use umail_proto::{
    functions::Functions,
    ids::{DepartmentId, DomainId, NodeId, PlanId, UserId},
};

use crate::model::{
    address::{DomainName, EmailAddress, LocalPart},
    deletion::Deletion,
    functions,
    profile::Profile,
    role::{Grant, UserScope},
    sending::SendingLimits,
    text,
};

/// A user.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct User {
    /// Identifies the user.
    pub id: UserId,
    /// The address.
    pub address: EmailAddress,
    /// What stands before the `@`.
    #[serde(skip)]
    pub local_part: LocalPart,
    /// The domain.
    pub domain_id: DomainId,
    /// The department.
    pub department_id: Option<DepartmentId>,
    /// The name shown to people.
    pub display_name: String,
    /// What directories know of the person.
    pub profile: Profile,
    /// What mail and sign-in do.
    pub status: Status,
    /// What the user may use at most.
    #[serde(serialize_with = "functions::serialize")]
    pub functions: Functions,
    /// The plan.
    pub plan_id: PlanId,
    /// A quota of its own in bytes, narrower than that of the plan.
    pub quota: Option<i64>,
    /// Limits of its own of what it sends, narrower than those of the plan.
    #[serde(flatten)]
    pub sending: SendingLimits,
    /// The node that holds the mailbox, with its name.
    pub storage_node: Option<(NodeId, String)>,
    /// Another storage node that carries the row.
    pub companion_node_id: Option<NodeId>,
    /// Whether the mailbox is being moved.
    pub moving: bool,
    /// Set once it was deleted.
    pub deletion: Option<Deletion>,
    /// Whether its domain was deleted.
    #[serde(skip)]
    pub is_domain_deleted: bool,
    /// The roles that the user holds, wherever they are good.
    #[serde(skip)]
    pub grants: Vec<Grant>,
    /// Counts the changes.
    pub revision: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl User {
    /// An active user of a domain of this id and name, who may do all that the plan lets.
    #[must_use]
    pub fn new(
        local_part: LocalPart,
        (domain_id, domain): (DomainId, &DomainName),
        plan_id: PlanId,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id: UserId::generate(now),
            address: EmailAddress::of(&local_part, domain),
            local_part,
            domain_id,
            department_id: None,
            display_name: String::new(),
            profile: Profile::default(),
            status: Status::Active,
            functions: Functions::ALL,
            plan_id,
            quota: None,
            sending: SendingLimits::default(),
            storage_node: None,
            companion_node_id: None,
            moving: false,
            deletion: None,
            is_domain_deleted: false,
            grants: Vec::new(),
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// What decides who may do what to the user.
    #[must_use]
    pub fn scope(&self) -> UserScope {
        UserScope {
            id: Some(self.id),
            domain_id: self.domain_id,
            department_id: self.department_id,
            grants: self.grants.clone(),
        }
    }

    /// Whether the user or its domain was deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deletion.is_some() || self.is_domain_deleted
    }

    /// Gives the user another address in the same domain.
    pub fn rename(&mut self, local_part: LocalPart) {
        self.address = self.address.beside(&local_part);
        self.local_part = local_part;
    }

    /// What the user goes by.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let Profile { given_name, family_name, .. } = &self.profile;
        vec![self.address.as_str(), &self.display_name, given_name, family_name]
    }

    /// Storage nodes whose view the user is in.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        let storage = self.storage_node.as_ref().map(|(id, _)| *id);
        storage.into_iter().chain(self.companion_node_id).collect()
    }
}

/// Reads a name that is shown to people; it may be empty.
pub fn parse_display_name(name: &str) -> Result<String, String> {
    text::line(name, 128)
}

/// A user by id or by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserRef {
    /// By id.
    Id(UserId),
    /// By address.
    Address(EmailAddress),
}

impl FromStr for UserRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => EmailAddress::parse(text).map(Self::Address),
        }
    }
}
