//! Lock-out: who failed too often waits.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Passwords and codes that were wrong, tried for one user or operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lockout {
    /// How many in a row, none more than 5 minutes after the one before.
    #[schema(example = 10)]
    pub failures: i32,
    /// Until when nobody signs in with this name; null: it is not locked out.
    #[serde(with = "time::serde::rfc3339::option")]
    pub locked_until: Option<OffsetDateTime>,
}
