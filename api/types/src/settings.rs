//! Settings of the whole system.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::patch::present;

/// Settings of the whole system.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Settings {
    /// Where mail for postmaster@ and abuse@ of domains without one goes; null: to the oldest
    /// user of the domain.
    pub postmaster_address: Option<String>,
    /// How large a message may be.
    pub message_size_limit_bytes: i64,
    /// How many characters passwords have at least that are set from now on.
    pub password_min_length: i32,
    /// How hard to guess they are at least, as zxcvbn counts: 0 (anything) to 4 (10^10 guesses).
    pub password_min_strength: i16,
    /// How long mail of a domain that is suspended from now on is deferred, before it is refused.
    pub suspended_defer_days: i32,
    /// How long what is deleted from now on can be restored, before it is purged.
    pub deleted_grace_days: i32,
}

/// What of the settings is to change (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsPatch {
    /// Where mail for postmaster@ and abuse@ of domains without one goes; null: to the oldest
    /// user of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 320)]
    pub postmaster_address: Option<Option<String>>,
    /// How large a message may be.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 65_536, maximum = 2_147_483_647)]
    pub message_size_limit_bytes: Option<i64>,
    /// How many characters passwords have at least that are set from now on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 8, maximum = 128)]
    pub password_min_length: Option<i32>,
    /// How hard to guess they are at least, as zxcvbn counts: 0 (anything) to 4 (10^10 guesses).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 0, maximum = 4)]
    pub password_min_strength: Option<i16>,
    /// How long mail of a domain that is suspended from now on is deferred, before it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 0, maximum = 30)]
    pub suspended_defer_days: Option<i32>,
    /// How long what is deleted from now on can be restored, before it is purged.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 3_650)]
    pub deleted_grace_days: Option<i32>,
}
