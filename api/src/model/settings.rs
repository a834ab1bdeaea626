//! Settings of the whole system.

use serde::Serialize;

use crate::model::address::EmailAddress;

/// Settings of the whole system.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Settings {
    /// Where mail for postmaster@ and abuse@ of domains without one goes.
    pub postmaster_address: Option<EmailAddress>,
    /// How large a message may be.
    pub message_size_limit_bytes: i64,
    /// Counts the changes.
    pub revision: i64,
}

/// Reads the limit: Postfix wants room for a header, and counts in 32 bits here and there.
pub fn parse_message_size_limit(bytes: i64) -> Result<i64, String> {
    if (65_536..=2_147_483_647).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("must be 65536 to 2147483647".to_owned())
    }
}
