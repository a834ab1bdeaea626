//! Settings of the whole system.

use serde::Serialize;

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
}

/// Reads the limit: Postfix wants room for a header, and counts in 32 bits here and there.
pub fn parse_message_size_limit(bytes: i64) -> Result<i64, String> {
    if (65_536..=2_147_483_647).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("must be 65536 to 2147483647".to_owned())
    }
}
