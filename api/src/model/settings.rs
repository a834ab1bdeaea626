//! Settings of the whole system.

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::model::{address::EmailAddress, password::Policy};

/// Settings of the whole system.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Settings {
    /// Where mail for postmaster@ and abuse@ of domains without one goes.
    pub postmaster_address: Option<EmailAddress>,
    /// How large a message may be.
    pub message_size_limit_bytes: i64,
    /// What passwords to be must be like.
    pub password_policy: Policy,
    /// How long mail of a suspended domain is deferred.
    pub suspended_defer_days: i32,
    /// How long what was deleted can be restored.
    pub deleted_grace_days: i32,
    /// Counts the changes.
    pub revision: i64,
}

impl Settings {
    /// Whether nodes have to know of what is different in the other ones.
    #[must_use]
    pub fn concern_nodes(&self, other: &Self) -> bool {
        self.postmaster_address != other.postmaster_address
            || self.message_size_limit_bytes != other.message_size_limit_bytes
    }

    /// Until when mail of a domain is deferred that is suspended now.
    #[must_use]
    pub fn deferred_until(&self, now: OffsetDateTime) -> OffsetDateTime {
        now + Duration::days(self.suspended_defer_days.into())
    }

    /// When what is deleted now can no longer be restored.
    #[must_use]
    pub fn purge_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        now + Duration::days(self.deleted_grace_days.into())
    }
}

/// Reads how long mail is deferred: no sender tries for longer than a month.
pub fn parse_suspended_defer_days(days: i32) -> Result<i32, String> {
    days_between(days, 0, 30)
}

/// Reads how long what was deleted is kept.
pub fn parse_deleted_grace_days(days: i32) -> Result<i32, String> {
    days_between(days, 1, 3_650)
}

fn days_between(days: i32, least: i32, most: i32) -> Result<i32, String> {
    if (least..=most).contains(&days) {
        Ok(days)
    } else {
        Err(format!("must be {least} to {most}"))
    }
}

/// Reads the limit: Postfix wants room for a header, and counts in 32 bits here and there.
pub fn parse_message_size_limit(bytes: i64) -> Result<i64, String> {
    if (65_536..=2_147_483_647).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("must be 65536 to 2147483647".to_owned())
    }
}
