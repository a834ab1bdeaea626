//! What a caller requires of the revision of a row that is to change.

use crate::error::{Error, Result};

/// The header `If-Match`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Any revision will do, as long as there is one.
    Any,
    /// It must be one of these.
    OneOf(Vec<i64>),
}

impl Precondition {
    /// Refuses a revision that was not asked for.
    pub fn check(&self, revision: i64) -> Result<()> {
        match self {
            Self::OneOf(revisions) if !revisions.contains(&revision) => {
                Err(Error::StaleRevision(revision))
            }
            _ => Ok(()),
        }
    }
}
