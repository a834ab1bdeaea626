//! Quotas: a number of bytes, or none.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type},
    },
};

const UNLIMITED: &str = "unlimited";

/// How much a mailbox may hold: bytes, or the word `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// At most this many bytes, at least 1.
    Bytes(i64),
    /// As much as the disk holds.
    Unlimited,
}

impl Quota {
    /// What a user gets when nothing is said: 1 GiB.
    pub const DEFAULT: Self = Self::Bytes(1 << 30);

    /// The number of bytes; nothing when unlimited.
    #[must_use]
    pub const fn bytes(self) -> Option<i64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Unlimited => None,
        }
    }

    /// Reads the number of bytes.
    #[must_use]
    pub fn from_bytes(bytes: Option<i64>) -> Self {
        bytes.map_or(Self::Unlimited, Self::Bytes)
    }
}

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => serializer.serialize_i64(*bytes),
            Self::Unlimited => serializer.serialize_str(UNLIMITED),
        }
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Quota;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number of bytes of at least 1, or \"unlimited\"")
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Quota, E> {
        if bytes < 1 {
            return Err(E::invalid_value(de::Unexpected::Signed(bytes), &self));
        }
        Ok(Quota::Bytes(bytes))
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Quota, E> {
        let signed = i64::try_from(bytes);
        signed
            .map_err(|_cause| E::invalid_value(de::Unexpected::Unsigned(bytes), &self))
            .and_then(|bytes| self.visit_i64(bytes))
    }

    fn visit_f64<E: de::Error>(self, bytes: f64) -> Result<Quota, E> {
        // JSON has one kind of number: 1e9 and 5.0 are whole.
        let whole = (bytes.fract() == 0.0).then(|| format!("{bytes:.0}").parse().ok()).flatten();
        match whole {
            Some(bytes) => self.visit_i64(bytes),
            None => Err(E::invalid_value(de::Unexpected::Float(bytes), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quota, E> {
        if text == UNLIMITED {
            return Ok(Quota::Unlimited);
        }
        Err(E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl PartialSchema for Quota {
    fn schema() -> RefOr<Schema> {
        let bytes = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(1));
        let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([UNLIMITED]));
        OneOfBuilder::new()
            .item(bytes)
            .item(word)
            .description(Some("Bytes, or the word `unlimited`"))
            .into()
    }
}

impl ToSchema for Quota {
    fn name() -> Cow<'static, str> {
        "Quota".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_number_or_a_word() {
        let read = |text: &str| serde_json::from_str::<Quota>(text);
        assert_eq!(read("5").unwrap(), Quota::Bytes(5));
        assert_eq!(read("5.0").unwrap(), Quota::Bytes(5));
        assert_eq!(read("\"unlimited\"").unwrap(), Quota::Unlimited);
        for text in ["0", "-1", "null", "\"5\"", "5.5", "1e300", "18446744073709551615", "true"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Quota::Unlimited).unwrap(), "\"unlimited\"");
    }
}
