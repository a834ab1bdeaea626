//! Lock-out: who failed too often waits.

use time::{Duration, OffsetDateTime};

/// So many failures in a row, and the name waits.
const FAILURES: i32 = 10;
/// How long, from the last failure on. Failures further apart are not in a row.
pub const PAUSE: Duration = Duration::minutes(5);

/// Passwords and codes that were wrong, tried for one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// How many in a row.
    pub failures: i32,
    /// The last of them.
    pub failed_at: OffsetDateTime,
}

impl Lockout {
    /// Whether the failures are over and forgotten.
    #[must_use]
    pub fn is_over(&self, now: OffsetDateTime) -> bool {
        now >= self.failed_at + PAUSE
    }

    /// Whether the last attempt was one too many, whatever came of it.
    #[must_use]
    pub fn is_beyond(&self) -> bool {
        self.failures > FAILURES
    }

    /// Whether the last failure is the one that locks the name out.
    #[must_use]
    pub fn begins(&self) -> bool {
        self.failures == FAILURES
    }

    /// Until when nobody signs in with this name.
    #[must_use]
    pub fn until(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let is_locked = self.failures >= FAILURES && !self.is_over(now);
        is_locked.then(|| self.failed_at + PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_fails_too_often_waits() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let few = Lockout { failures: FAILURES - 1, failed_at: now };
        assert_eq!(few.until(now), None);
        let many = Lockout { failures: FAILURES, failed_at: now };
        assert_eq!(many.until(now), Some(now + PAUSE));
        assert_eq!(many.until(now + PAUSE), None);
    }
}
