//! What was deleted, and can be restored for a time.

use serde::Serialize;
use time::OffsetDateTime;

/// When something was deleted, and until when it can be restored.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
pub struct Deletion {
    /// When it was deleted.
    #[serde(with = "time::serde::rfc3339")]
    pub deleted_at: OffsetDateTime,
    /// When its grace time ends.
    #[serde(with = "time::serde::rfc3339")]
    pub purge_at: OffsetDateTime,
    /// Whether nodes have been asked to remove what belongs to it.
    pub is_purging: bool,
}

impl Deletion {
    /// Puts the columns of a row together; nothing if it was not deleted.
    #[must_use]
    pub fn from_columns(
        deleted_at: Option<OffsetDateTime>,
        purge_at: Option<OffsetDateTime>,
        purge_begun_at: Option<OffsetDateTime>,
    ) -> Option<Self> {
        let (deleted_at, purge_at) = deleted_at.zip(purge_at)?;
        Some(Self { deleted_at, purge_at, is_purging: purge_begun_at.is_some() })
    }

    /// Whether it can be restored now.
    #[must_use]
    pub fn is_in_grace(&self, now: OffsetDateTime) -> bool {
        now < self.purge_at && !self.is_purging
    }
}
