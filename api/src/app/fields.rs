//! Reads the fields of a request and collects all that is wrong with them.

use crate::error::{Error, Result, Violation};

/// Collects violations, so that a caller learns all of them at once.
#[derive(Debug, Default)]
pub struct Fields(Vec<Violation>);

impl Fields {
    /// Reads one field; nothing if it breaks its rule.
    pub fn read<T>(&mut self, field: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|reason| self.0.push(Violation { field: field.to_owned(), reason })).ok()
    }

    /// Reads several fields; nothing if any breaks its rule.
    pub fn read_all<T>(&mut self, parsed: Result<T, Vec<Violation>>) -> Option<T> {
        parsed.map_err(|violations| self.0.extend(violations)).ok()
    }

    /// Refuses if any field broke its rule.
    pub fn check(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

/// Reads the only field that can be wrong.
pub fn one<T>(field: &str, parsed: Result<T, String>) -> Result<T> {
    parsed.map_err(|reason| Error::invalid(field, reason))
}

/// A field that was read, after the check found nothing wrong.
pub fn given<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::internal("a field was not read"))
}
