//! How often one caller may ask: a bucket per caller that fills evenly.

use std::{fmt, num::NonZeroU32};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};
use serde::Deserialize;
use uuid::Uuid;

/// Callers remembered before those whose buckets are full again are forgotten.
const CALLERS: usize = 50_000;

/// Requests of one caller in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// No more than these.
    PerMinute(NonZeroU32),
    /// Any number.
    Unlimited,
}

impl Rate {
    /// A hundred a second: more than a person or a well-made system needs, less than one caller
    /// needs to starve the others.
    pub const DEFAULT: Self = Self::PerMinute(NonZeroU32::new(6_000).unwrap());
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerMinute(number) => number.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(NonZeroU32),
            Word(String),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Number(number)) => Ok(Self::PerMinute(number)),
            Ok(Written::Word(word)) if word == "unlimited" => Ok(Self::Unlimited),
            _ => Err(serde::de::Error::custom("must be a number from 1 on, or \"unlimited\"")),
        }
    }
}

/// What a caller has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests in a minute.
    pub limit: u32,
    /// Requests that may be sent at once.
    pub remaining: u32,
    /// Until a request may be sent that was refused; 0 for one that was not.
    pub wait_seconds: u64,
}

type Buckets = RateLimiter<Uuid, HashMapStateStore<Uuid>, DefaultClock, StateInformationMiddleware>;

/// The buckets of all callers, in the memory of this instance.
pub struct Rates(Option<(NonZeroU32, Buckets)>);

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rates")
    }
}

impl Rates {
    /// Buckets of this rate.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let Rate::PerMinute(number) = rate else { return Self(None) };
        let buckets = RateLimiter::hashmap(Quota::per_minute(number));
        Self(Some((number, buckets.with_middleware())))
    }

    /// Takes one request out of the caller's bucket; nothing if there is no limit.
    #[must_use]
    pub fn take(&self, caller: Uuid) -> Option<Left> {
        let (number, buckets) = self.0.as_ref()?;
        let limit = number.get();
        if buckets.len() > CALLERS {
            buckets.retain_recent();
        }
        Some(match buckets.check_key(&caller) {
            Ok(state) => {
                Left { limit, remaining: state.remaining_burst_capacity(), wait_seconds: 0 }
            }
            Err(refused) => {
                let wait = refused.wait_time_from(DefaultClock::default().now());
                Left { limit, remaining: 0, wait_seconds: wait.as_secs() + 1 }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_a_bucket_of_its_own() {
        let rates = Rates::new(Rate::PerMinute(NonZeroU32::new(2).unwrap()));
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(rates.take(one).map(|left| left.remaining), Some(1));
        assert_eq!(rates.take(one).map(|left| left.wait_seconds), Some(0));
        let refused = rates.take(one).unwrap();
        assert_eq!((refused.limit, refused.remaining), (2, 0));
        assert!((1..=31).contains(&refused.wait_seconds), "{refused:?}");
        assert_eq!(rates.take(other).map(|left| left.wait_seconds), Some(0));
        assert_eq!(Rates::new(Rate::Unlimited).take(one), None);
    }
}
