//! API keys: what they are good for, from where, and until when.

use std::net::IpAddr;

use serde::Serialize;
use time::{Duration, OffsetDateTime};
pub use umail_api_types::api_keys::KeyRole;
use umail_proto::ids::{ApiKeyId, DepartmentId, DomainId};

use crate::model::{network::Network, text};

/// What secrets begin with.
pub const PREFIX: &str = "umk_";
/// As much of a secret as is kept to recognise it: 8 of 43 random letters.
const SHOWN: usize = PREFIX.len() + 8;
/// Keys of one maker at most.
pub const MAX_KEYS: i64 = 50;
const MAX_NAME: usize = 100;
const MAX_NETWORKS: usize = 50;
/// How long a key is good if nothing is said.
const DEFAULT_LIFETIME: Duration = Duration::days(90);
const MAX_LIFETIME: Duration = Duration::days(366);
const DEFAULT_OVERLAP: Duration = Duration::days(1);
const MAX_OVERLAP: Duration = Duration::days(7);

/// An API key, without the secret.
#[derive(Clone, Debug, Serialize)]
pub struct ApiKey {
    /// Identifies it.
    pub id: ApiKeyId,
    /// What the maker calls it.
    pub name: String,
    /// The beginning of the secret.
    pub prefix: String,
    /// As whom it acts, and where.
    #[serde(flatten)]
    pub scope: KeyScope,
    /// Where it is good; empty: anywhere.
    pub networks: Vec<Network>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was used last, to the minute.
    #[serde(skip)]
    pub last_used_at: Option<OffsetDateTime>,
    /// Until when the secret before the last rotation is good.
    #[serde(with = "time::serde::rfc3339::option")]
    pub former_until: Option<OffsetDateTime>,
}

/// What of the maker's rights a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KeyScope {
    /// As whom it acts; nothing: as its maker.
    pub role: Option<KeyRole>,
    /// The domain that the role is good for.
    pub domain_id: Option<DomainId>,
    /// The department that the role is good for.
    pub department_id: Option<DepartmentId>,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// Whether it makes login links.
    pub login_links: bool,
}

impl ApiKey {
    /// Whether it is good from this address.
    #[must_use]
    pub fn is_good_from(&self, address: Option<IpAddr>) -> bool {
        let inside = |address| self.networks.iter().any(|network| network.contains(address));
        self.networks.is_empty() || address.is_some_and(inside)
    }
}

/// The name of a role in the database.
#[must_use]
pub const fn role_name(role: KeyRole) -> &'static str {
    match role {
        KeyRole::SystemAdmin => "system_admin",
        KeyRole::SuperDomainAdmin => "super_domain_admin",
        KeyRole::DomainAdmin => "domain_admin",
        KeyRole::DepartmentAdmin => "department_admin",
        KeyRole::User => "user",
    }
}

/// The role of this name.
#[must_use]
pub fn role_from_name(name: &str) -> Option<KeyRole> {
    let all = [
        KeyRole::SystemAdmin,
        KeyRole::SuperDomainAdmin,
        KeyRole::DomainAdmin,
        KeyRole::DepartmentAdmin,
        KeyRole::User,
    ];
    all.into_iter().find(|role| role_name(*role) == name)
}

/// What is kept of a secret to recognise it.
#[must_use]
pub fn shown(secret: &str) -> String {
    secret.chars().take(SHOWN).collect()
}

/// Reads what the maker calls a key.
pub fn parse_name(name: &str) -> Result<String, String> {
    text::name(name, MAX_NAME)
}

/// Reads where a key is good.
pub fn parse_networks(networks: &[String]) -> Result<Vec<Network>, String> {
    if networks.len() > MAX_NETWORKS {
        return Err(format!("must be at most {MAX_NETWORKS}"));
    }
    networks.iter().map(|network| network.parse()).collect()
}

/// Until when a key is good.
pub fn parse_expiry(
    wanted: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, String> {
    match wanted {
        None => Ok(now + DEFAULT_LIFETIME),
        Some(time) if time <= now => Err("must be in the future".to_owned()),
        Some(time) if time > now + MAX_LIFETIME => Err("must be within a year".to_owned()),
        Some(time) => Ok(time),
    }
}

/// How long the secret stays good that is replaced.
pub fn parse_overlap(seconds: Option<u32>) -> Result<Duration, String> {
    let overlap = seconds.map_or(DEFAULT_OVERLAP, |seconds| Duration::seconds(seconds.into()));
    if overlap > MAX_OVERLAP {
        return Err(format!("must be at most {}", MAX_OVERLAP.whole_seconds()));
    }
    Ok(overlap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_key_are_bounded() {
        let now = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(parse_expiry(None, now), Ok(now + DEFAULT_LIFETIME));
        assert!(parse_expiry(Some(now), now).is_err());
        assert!(parse_expiry(Some(now + Duration::days(367)), now).is_err());
        assert_eq!(parse_overlap(Some(0)), Ok(Duration::ZERO));
        assert!(parse_overlap(Some(604_801)).is_err());
    }
}
