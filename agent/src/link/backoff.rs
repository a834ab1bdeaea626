//! Pauses between attempts: longer after each failure, and never the same on all nodes.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The pauses of one kind of attempt.
pub(super) struct Backoff {
    builder: ExponentialBuilder,
    pauses: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Pauses between these two lengths.
    pub(super) fn new((shortest, longest): (Duration, Duration)) -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(shortest)
            // The jitter is added to it, and is as long again at most.
            .with_max_delay(longest / 2)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(seed());
        Self { builder, pauses: builder.build(), longest }
    }

    /// Starts over after a success.
    pub(super) fn reset(&mut self) {
        self.pauses = self.builder.build();
    }

    /// Waits.
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.pauses.next().unwrap_or(self.longest)).await;
    }
}

/// Without a seed of its own every node would pause alike.
fn seed() -> u64 {
    // When the system has no random numbers the pauses are merely alike.
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_a_bound_and_differ() {
        let mut first = Backoff::new((Duration::from_millis(100), Duration::from_secs(3)));
        let mut second = Backoff::new((Duration::from_millis(100), Duration::from_secs(3)));
        let mut lengths = Vec::new();
        for backoff in [&mut first, &mut second] {
            let start = tokio::time::Instant::now();
            for _ in 0..3 {
                backoff.pause().await;
            }
            assert!(start.elapsed() >= Duration::from_millis(700));
            for _ in 0..10 {
                backoff.pause().await;
            }
            let before = tokio::time::Instant::now();
            backoff.pause().await;
            let last = before.elapsed();
            assert!(
                last >= Duration::from_millis(1500) && last <= Duration::from_secs(3),
                "{last:?}"
            );
            lengths.push(last);
        }
        assert_ne!(lengths[0], lengths[1]);
    }
}
