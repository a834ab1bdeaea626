//! Hosted mail domains.

use std::str::FromStr;

use serde::Serialize;
use time::OffsetDateTime;
use umail_api_types::status::Status;
use umail_proto::{functions::Functions, ids::DomainId};

use crate::model::{
    address::{DomainName, EmailAddress},
    deletion::Deletion,
    functions,
};

/// A hosted mail domain.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Domain {
    /// Identifies the domain.
    pub id: DomainId,
    /// The canonical name.
    pub name: DomainName,
    /// What mail and sign-in do.
    pub status: Status,
    /// What its users may use at most.
    #[serde(serialize_with = "functions::serialize")]
    pub functions: Functions,
    /// Where mail for unknown local parts goes.
    pub catch_all: Option<EmailAddress>,
    /// Until when mail for the suspended domain is deferred.
    #[serde(with = "time::serde::rfc3339::option")]
    pub deferred_until: Option<OffsetDateTime>,
    /// Set once it was deleted.
    pub deletion: Option<Deletion>,
    /// Counts the changes.
    pub revision: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A domain by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainRef {
    /// By id.
    Id(DomainId),
    /// By name.
    Name(DomainName),
}

impl From<DomainId> for DomainRef {
    fn from(id: DomainId) -> Self {
        Self::Id(id)
    }
}

impl FromStr for DomainRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => DomainName::parse(text).map(Self::Name),
        }
    }
}
