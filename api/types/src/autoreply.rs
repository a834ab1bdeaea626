//! What is answered for a user who is away.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// What is answered for a user who is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Autoreply {
    /// Whether mail is answered, in the time that is given.
    pub enabled: bool,
    /// The subject, at most 250 bytes; empty: `Auto:` and the subject of what is answered.
    #[serde(default)]
    #[schema(default = "", max_length = 250, example = "Away until 3 March")]
    pub subject: String,
    /// The text, at most 2,500 bytes in UTF-8; empty only while mail is not answered.
    #[serde(default)]
    #[schema(default = "", max_length = 2500, example = "I am away. Write to sales@example.com.")]
    pub text: String,
    /// When it begins; null: at once.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub starts_at: Option<OffsetDateTime>,
    /// When it ends; null: when it is switched off.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub ends_at: Option<OffsetDateTime>,
}
