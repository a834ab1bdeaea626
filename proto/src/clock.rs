//! Where both sides take the time from, so that tests can set it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use time::{Duration, OffsetDateTime};

/// A source of wall-clock time: the machine's, or one that a test moves.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Microseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved. Clones move together.
    #[must_use]
    pub fn manual(start: OffsetDateTime) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(microseconds(start)))))
    }

    /// The time, in UTC and to the microsecond: PostgreSQL keeps no more.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let now = match &self.0 {
            Source::System => system_time(),
            Source::Manual(now) => from_microseconds(now.load(Ordering::SeqCst)),
        };
        from_microseconds(microseconds(now))
    }

    /// Moves a manual clock, forwards or back; the machine's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            let by = i64::try_from(by.whole_microseconds()).unwrap_or_default();
            now.fetch_add(by, Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else asks")]
fn system_time() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn microseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or_default()
}

fn from_microseconds(microseconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::microseconds(microseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let start = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let clock = Clock::manual(start);
        let other = clock.clone();
        clock.advance(Duration::seconds(-3));
        assert_eq!(other.now(), start - Duration::seconds(3));
    }

    #[test]
    fn the_system_clock_is_not_moved() {
        let clock = Clock::system();
        clock.advance(Duration::days(9));
        assert!(clock.now() < Clock::system().now() + Duration::days(1));
    }
}
