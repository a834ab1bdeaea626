//! Other names of domains.

use std::str::FromStr;

use serde::Serialize;
use time::OffsetDateTime;
use umail_proto::ids::{DomainAliasId, DomainId};

use crate::model::address::DomainName;

/// Another name of a domain. It does not change: it comes and goes.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct DomainAlias {
    /// Identifies the domain alias.
    pub id: DomainAliasId,
    /// The domain.
    pub domain_id: DomainId,
    /// The canonical name.
    pub name: DomainName,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A domain alias by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainAliasRef {
    /// By id.
    Id(DomainAliasId),
    /// By name.
    Name(DomainName),
}

impl FromStr for DomainAliasRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => DomainName::parse(text).map(Self::Name),
        }
    }
}
