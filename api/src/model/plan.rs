//! Plans: what users get by default, and may not exceed.

use std::str::FromStr;

use serde::Serialize;
use time::OffsetDateTime;
use umail_api_types::limit::{Limit, Quota};
use umail_proto::{
    functions::Functions,
    ids::{DomainId, PlanId},
};
use uuid::Uuid;

use crate::model::{functions, sending::SendingLimits};

/// A plan.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Plan {
    /// Identifies the plan.
    pub id: PlanId,
    /// The name.
    pub name: String,
    /// How much a mailbox may hold.
    pub quota: Quota,
    /// What its users may send at most.
    #[serde(flatten)]
    pub sending: SendingLimits,
    /// What its users may use at most.
    #[serde(serialize_with = "functions::serialize")]
    pub functions: Functions,
    /// Counts the changes.
    pub revision: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// The plan of whoever is given no other one: made by the first migration, never removed.
#[must_use]
pub fn standard() -> PlanId {
    Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001).into()
}

/// Reads the name of a plan.
pub fn parse_name(name: &str) -> Result<String, String> {
    let is_good =
        |one: u8| one.is_ascii_lowercase() || one.is_ascii_digit() || b"-_".contains(&one);
    if (1..=64).contains(&name.len())
        && name.bytes().all(is_good)
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.parse::<Uuid>().is_err()
    {
        Ok(name.to_owned())
    } else {
        Err("must have 1 to 64 lower-case letters, digits, - and _, and begin with one of the \
             first two"
            .to_owned())
    }
}

/// A plan by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanRef {
    /// By id.
    Id(PlanId),
    /// By name.
    Name(String),
}

impl FromStr for PlanRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => parse_name(text).map(Self::Name),
        }
    }
}

/// How many users of a level have a plan.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Seats {
    /// The domain or department; nil: the system.
    pub level: Uuid,
    /// The plan.
    pub plan: PlanId,
    /// Its name.
    pub plan_name: String,
    /// How many users may have it.
    pub limit: Limit,
    /// How many have it.
    pub users: i64,
}

/// Who has a plan.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    /// How many users.
    pub users: i64,
    /// In how many domains.
    pub domain_count: i64,
    /// The first hundred domains, those with the most users first: id, name, users.
    pub domains: Vec<(DomainId, String, i64)>,
}

/// Reads a quota of a user's own: it only narrows that of the plan.
pub fn parse_own_quota(bytes: i64, plan: Quota) -> Result<i64, String> {
    match plan {
        _ if bytes < 1 => Err("must be at least 1; null is the quota of the plan".to_owned()),
        Quota::AtMost(most) if bytes > most => {
            Err(format!("must be at most {most}, the quota of the plan"))
        }
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_of_a_users_own_is_narrower_than_the_plans() {
        assert_eq!(parse_own_quota(5, Quota::AtMost(5)), Ok(5));
        assert_eq!(parse_own_quota(5, Quota::Unlimited), Ok(5));
        assert!(parse_own_quota(6, Quota::AtMost(5)).is_err());
        assert!(parse_own_quota(0, Quota::Unlimited).is_err());
    }

    #[test]
    fn a_name_is_no_id() {
        assert_eq!("business_2".parse(), Ok(PlanRef::Name("business_2".to_owned())));
        for name in ["", "-x", "Übung", "a b", "a\0b", &"x".repeat(65)] {
            assert!(parse_name(name).is_err(), "{name:?}");
        }
        assert!(parse_name(&Uuid::max().to_string()).is_err());
    }
}
