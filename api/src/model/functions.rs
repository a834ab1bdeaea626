//! How rows with functions show them.

use serde::{Serialize, Serializer};
use umail_api_types::functions::names;
use umail_proto::functions::Functions;

/// Serialises a set as the names in it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(super) fn serialize<S: Serializer>(set: &Functions, serializer: S) -> Result<S::Ok, S::Error> {
    names(*set).serialize(serializer)
}

/// Reads the column.
#[must_use]
pub fn from_column(bits: i64) -> Functions {
    Functions::from_bits(bits.unsigned_abs())
}

/// Writes the column.
#[must_use]
pub fn to_column(set: Functions) -> i64 {
    i64::try_from(set.bits()).unwrap_or(i64::MAX)
}
