//! Limits: a number, or the word `unlimited`; never a number that means something else.

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

/// At most so many, or the word `unlimited`. `LEAST` is the smallest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound<const LEAST: i64> {
    /// No more than this.
    AtMost(i64),
    /// Any number.
    Unlimited,
}

/// How many of something a level may have.
pub type Limit = Bound<0>;
/// How many bytes a mailbox may hold.
pub type Quota = Bound<1>;
/// How much a user may send.
pub type SendingLimit = Bound<1>;

impl Quota {
    /// What a user gets when nothing is said: 1 GiB.
    pub const DEFAULT: Self = Self::AtMost(1 << 30);
}

impl<const LEAST: i64> Bound<LEAST> {
    /// The number; nothing when unlimited.
    #[must_use]
    pub const fn number(self) -> Option<i64> {
        match self {
            Self::AtMost(number) => Some(number),
            Self::Unlimited => None,
        }
    }

    /// Reads the number.
    #[must_use]
    pub fn from_number(number: Option<i64>) -> Self {
        number.map_or(Self::Unlimited, Self::AtMost)
    }
}

impl<const LEAST: i64> Serialize for Bound<LEAST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AtMost(number) => serializer.serialize_i64(*number),
            Self::Unlimited => serializer.serialize_str(UNLIMITED),
        }
    }
}

impl<'de, const LEAST: i64> Deserialize<'de> for Bound<LEAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor::<LEAST>)
    }
}

struct Visitor<const LEAST: i64>;

impl<const LEAST: i64> de::Visitor<'_> for Visitor<LEAST> {
    type Value = Bound<LEAST>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a number of at least {LEAST}, or \"unlimited\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        if number < LEAST {
            return Err(E::invalid_value(de::Unexpected::Signed(number), &self));
        }
        Ok(Bound::AtMost(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let signed = i64::try_from(number);
        signed
            .map_err(|_cause| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            .and_then(|number| self.visit_i64(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        // JSON has one kind of number: 1e9 and 5.0 are whole.
        let whole = (number.fract() == 0.0).then(|| format!("{number:.0}").parse().ok()).flatten();
        match whole {
            Some(number) => self.visit_i64(number),
            None => Err(E::invalid_value(de::Unexpected::Float(number), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == UNLIMITED {
            return Ok(Bound::Unlimited);
        }
        Err(E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<const LEAST: i64> PartialSchema for Bound<LEAST> {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(LEAST));
        let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([UNLIMITED]));
        OneOfBuilder::new()
            .item(number)
            .item(word)
            .description(Some("A number, or the word `unlimited`"))
            .into()
    }
}

impl<const LEAST: i64> ToSchema for Bound<LEAST> {
    fn name() -> Cow<'static, str> {
        if LEAST == 0 { "Limit".into() } else { "Quota".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_may_be_nothing_at_all() {
        assert_eq!(serde_json::from_str::<Limit>("0").unwrap(), Limit::AtMost(0));
        assert!(serde_json::from_str::<Limit>("-1").is_err());
    }

    #[test]
    fn a_quota_is_a_number_or_a_word() {
        let read = |text: &str| serde_json::from_str::<Quota>(text);
        assert_eq!(read("5").unwrap(), Quota::AtMost(5));
        assert_eq!(read("5.0").unwrap(), Quota::AtMost(5));
        assert_eq!(read("\"unlimited\"").unwrap(), Quota::Unlimited);
        for text in ["0", "-1", "null", "\"5\"", "5.5", "1e300", "18446744073709551615", "true"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Quota::Unlimited).unwrap(), "\"unlimited\"");
    }
}
