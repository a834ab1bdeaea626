//! Reading of merge patches: a field that is there, be it null, is not a field that is absent.

use serde::{Deserialize, Deserializer};

/// Reads a field that is there. With `#[serde(default)]` an absent one becomes `None`; null is
/// refused unless the type itself knows it.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
