//! Slows down the guessing of passwords: ten failures for a name, then a pause.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use time::{Duration, OffsetDateTime};

use crate::error::{Error, Result};

const FAILURES: u32 = 10;
const PAUSE: Duration = Duration::minutes(5);
/// Names remembered at most; beyond that the oldest half is forgotten.
const NAMES: usize = 50_000;

/// Failures per name, in the memory of this instance.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<String, Failures>>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: OffsetDateTime,
}

impl Throttle {
    /// Refuses a name that failed too often lately.
    pub fn check(&self, name: &str, now: OffsetDateTime) -> Result<()> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(name) {
            Some(failures) if failures.count >= FAILURES && now < failures.last + PAUSE => {
                let rest = (failures.last + PAUSE - now).whole_seconds().max(1);
                Err(Error::TooManyRequests(rest.unsigned_abs()))
            }
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    pub fn failed(&self, name: &str, now: OffsetDateTime) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES {
            let mut times: Vec<_> = names.values().map(|failures| failures.last).collect();
            let (_, median, _) = times.select_nth_unstable(NAMES / 2);
            let median = *median;
            names.retain(|_, failures| failures.last > median);
        }
        let failures = names.entry(name.to_owned()).or_insert(Failures { count: 0, last: now });
        failures.count = if now < failures.last + PAUSE { failures.count + 1 } else { 1 };
        failures.last = now;
    }

    /// Forgets the failures of a name that signed in.
    pub fn succeeded(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_fails_too_often_pauses() {
        let throttle = Throttle::default();
        let now = OffsetDateTime::UNIX_EPOCH;
        for _ in 0..FAILURES {
            throttle.check("root", now).unwrap();
            throttle.failed("root", now);
        }
        assert!(matches!(throttle.check("root", now), Err(Error::TooManyRequests(300))));
        throttle.check("other", now).unwrap();
        throttle.check("root", now + PAUSE).unwrap();
        throttle.succeeded("root");
        throttle.check("root", now).unwrap();
    }
}
