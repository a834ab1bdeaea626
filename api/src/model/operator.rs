//! Operators: staff accounts without mail.

use serde::Serialize;
use time::OffsetDateTime;
use umail_proto::ids::OperatorId;

pub use umail_api_types::operators::OperatorRole;

/// An operator.
#[derive(Clone, Debug, Serialize)]
pub struct Operator {
    /// Identifies the operator.
    pub id: OperatorId,
    /// Signs in with this name.
    pub name: OperatorName,
    /// What the operator may do.
    pub role: OperatorRole,
    /// Whether the operator may sign in.
    pub active: bool,
    /// Whether somebody else set the password.
    pub must_change_password: bool,
    /// Counts the changes.
    pub revision: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Lower-case letters, digits, `.`, `_`, `-`, beginning with a letter: never an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OperatorName(String);

impl OperatorName {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let good = text.len() <= 63
            && text.starts_with(|one: char| one.is_ascii_lowercase())
            && text.bytes().all(|one| {
                one.is_ascii_lowercase() || one.is_ascii_digit() || b"._-".contains(&one)
            });
        if !good {
            return Err(
                "must begin with a letter and consist of at most 63 of a-z 0-9 . _ -".into()
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
