//! The throttle: whoever guesses passwords waits longer and longer, across restarts.
//!
//! Failed logins are counted for the client's address, for the account, and for the pair of both.
//! Of an IPv6 address its /64 counts: whoever has one address of it has all of them.
//! The pair is stopped first; an account alone only after many failures and for a short time, so
//! that strangers cannot lock anybody out for long. Postfix and Dovecot ask the replica.

use std::{collections::HashMap, io, net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use umail_proto::clock::Clock;

use crate::{
    durable,
    layout::Layout,
    replica::{Replica, ReplicaError},
};

/// Keys that are remembered at the same time.
const MAX_KEYS: usize = 20_000;
/// No address of a user is longer.
const LONGEST_USER: usize = 320;

/// How one kind of key is treated.
struct Rule {
    /// Failures without a consequence.
    free: u32,
    /// How long the first one after those stops logins, in seconds; each further one doubles it.
    first: i64,
    /// No stop is longer.
    longest: i64,
    /// Failures are forgotten after this time without another one.
    forgotten_after: i64,
}

const PAIR: Rule = Rule { free: 5, first: 5, longest: 900, forgotten_after: 3_600 };
const ADDRESS: Rule = Rule { free: 30, first: 5, longest: 3_600, forgotten_after: 86_400 };
const USER: Rule = Rule { free: 60, first: 5, longest: 60, forgotten_after: 3_600 };

/// Seconds after which a refused login is known at the latest: Dovecot holds the answer back for
/// two, and writes its line when the client has gone.
const LAG: i64 = 4;

/// Failures of one key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Guesses {
    failures: u32,
    last: i64,
    until: i64,
}

/// Why a throttle could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ThrottleError {
    /// Its file could not be read or written.
    #[error("throttle: {0}")]
    Io(#[from] io::Error),
    /// The replica did not take a row.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
}

/// Counts failed logins and stops whoever has too many.
pub struct Throttle {
    path: PathBuf,
    clock: Clock,
    replica: Replica,
    keys: HashMap<String, Guesses>,
    is_changed: bool,
}

impl Throttle {
    /// Goes on where the last agent stopped. A damaged file is forgotten: the stops that are in
    /// force stand in the replica.
    pub fn open(layout: &Layout, clock: Clock, replica: Replica) -> io::Result<Self> {
        let path = layout.agent().join("throttle.json");
        let content = durable::read(&path)?.unwrap_or_default();
        let keys = serde_json::from_slice(&content).unwrap_or_default();
        Ok(Self { path, clock, replica, keys, is_changed: false })
    }

    /// Notes failed logins of an account from an address, and stops what has had too many.
    pub async fn failed(
        &mut self,
        user: &str,
        address: &str,
        attempts: u32,
    ) -> Result<(), ThrottleError> {
        let now = self.clock.now().unix_timestamp();
        let mut stopped = Vec::new();
        for (key, rule) in keys(user, address) {
            let guesses = self.keys.entry(key.clone()).or_insert(Guesses {
                failures: 0,
                last: now,
                until: 0,
            });
            if let Some(until) = guesses.add(&rule, attempts, now) {
                stopped.push((key, until));
            }
        }
        self.is_changed = true;
        for (key, until) in stopped {
            tracing::info!(key, until, "logins are throttled");
            metrics::counter!("umail_agent_throttled_total").increment(1);
            self.replica.throttle(&key, until).await?;
        }
        Ok(())
    }

    /// Notes a login that succeeded: who knows the password was not guessing.
    pub fn succeeded(&mut self, user: &str, address: &str) {
        if let Some((key, _)) = pair(user, address) {
            self.is_changed |= self.keys.remove(&key).is_some();
        }
    }

    /// Forgets what is over, and writes the rest to the disk if there is something new.
    pub async fn save(&mut self) -> Result<(), ThrottleError> {
        self.mend().await?;
        if !self.is_changed {
            return Ok(());
        }
        let content = serde_json::to_vec(&self.keys).map_err(io::Error::from)?;
        durable::write(&self.path, &content, 0o600)?;
        self.is_changed = false;
        Ok(())
    }

    /// After the clock was set back, a stop would last for as long as it had been ahead.
    async fn mend(&mut self) -> Result<(), ThrottleError> {
        let now = self.clock.now().unix_timestamp();
        let mut shortened = Vec::new();
        let before = self.keys.len();
        self.keys.retain(|key, guesses| {
            let rule = rule(key);
            if guesses.until > now + rule.longest {
                guesses.until = now + rule.longest;
                shortened.push((key.clone(), guesses.until));
            }
            guesses.last = guesses.last.min(now);
            now - guesses.last < rule.forgotten_after
        });
        if self.keys.len() > MAX_KEYS {
            let mut last: Vec<i64> = self.keys.values().map(|guesses| guesses.last).collect();
            last.sort_unstable();
            let oldest = last.get(last.len() - MAX_KEYS).copied().unwrap_or(now);
            self.keys.retain(|_, guesses| guesses.last >= oldest || guesses.until > now);
        }
        self.is_changed |= before != self.keys.len() || !shortened.is_empty();
        for (key, until) in shortened {
            self.replica.throttle(&key, until).await?;
        }
        Ok(())
    }
}

impl Guesses {
    /// Adds failures; returns until when the key is stopped if they have that consequence.
    fn add(&mut self, rule: &Rule, attempts: u32, now: i64) -> Option<i64> {
        // Attempts while stopped fail in any case: they must not prolong the stop for ever.
        if now < self.until + LAG {
            return None;
        }
        if now - self.last >= rule.forgotten_after {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(attempts);
        self.last = now;
        let beyond = self.failures.checked_sub(rule.free + 1)?;
        let seconds = rule.first.saturating_mul(1_i64 << beyond.min(20)).min(rule.longest);
        self.until = now + seconds;
        Some(self.until)
    }
}

fn keys(user: &str, address: &str) -> Vec<(String, Rule)> {
    let by_address = network(address).map(|network| (format!("addr:{network}"), ADDRESS));
    let by_user = is_user(user).then(|| (format!("user:{user}"), USER));
    by_address.into_iter().chain(by_user).chain(pair(user, address)).collect()
}

fn pair(user: &str, address: &str) -> Option<(String, Rule)> {
    let network = network(address).filter(|_| is_user(user))?;
    Some((format!("pair:{user}|{network}"), PAIR))
}

fn rule(key: &str) -> Rule {
    match key.split_once(':') {
        Some(("addr", _)) => ADDRESS,
        Some(("user", _)) => USER,
        _ => PAIR,
    }
}

/// What an address is counted as, none when it is not one. Dovecot's query forms the same text.
fn network(address: &str) -> Option<String> {
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    })
}

fn is_user(user: &str) -> bool {
    !user.is_empty() && user.len() <= LONGEST_USER
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;

    struct Node {
        layout: Layout,
        clock: Clock,
        replica: Replica,
        _folder: tempfile::TempDir,
    }

    async fn node() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        std::fs::create_dir_all(layout.agent()).unwrap();
        let replica = Replica::open(&layout).await.unwrap();
        // The view asks the machine's clock: far in the future, every stop is in force.
        let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(40_000));
        Node { layout, clock, replica, _folder: folder }
    }

    impl Node {
        fn throttle(&self) -> Throttle {
            Throttle::open(&self.layout, self.clock.clone(), self.replica.clone()).unwrap()
        }

        fn stop(&self, throttle: &Throttle, key: &str) -> i64 {
            let until = throttle.keys.get(key).map(|guesses| guesses.until).unwrap_or_default();
            (until - self.clock.now().unix_timestamp()).max(0)
        }

        async fn stopped(&self) -> Vec<String> {
            self.replica.throttled().await.unwrap()
        }
    }

    const ADA: &str = "pair:ada@example.org|192.0.2.1";

    #[tokio::test]
    async fn the_pair_waits_longer_and_longer() {
        let node = node().await;
        let mut throttle = node.throttle();
        for _ in 0..5 {
            throttle.failed("ada@example.org", "192.0.2.1", 1).await.unwrap();
        }
        assert!(node.stopped().await.is_empty());
        let mut stops = Vec::new();
        for _ in 0..10 {
            throttle.failed("ada@example.org", "192.0.2.1", 1).await.unwrap();
            stops.push(node.stop(&throttle, ADA));
            node.clock.advance(Duration::seconds(*stops.last().unwrap() + LAG));
        }
        assert_eq!(stops, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
        assert_eq!(node.stopped().await, [ADA]);
    }

    #[tokio::test]
    async fn attempts_while_stopped_do_not_prolong_the_stop() {
        let node = node().await;
        let mut throttle = node.throttle();
        throttle.failed("ada@example.org", "192.0.2.1", 6).await.unwrap();
        assert_eq!(node.stop(&throttle, ADA), 5);
        node.clock.advance(Duration::seconds(3));
        throttle.failed("ada@example.org", "192.0.2.1", 9).await.unwrap();
        assert_eq!(node.stop(&throttle, ADA), 2);
        // The last refusal becomes known when the stop is over already.
        node.clock.advance(Duration::seconds(4));
        throttle.failed("ada@example.org", "192.0.2.1", 1).await.unwrap();
        assert_eq!(node.stop(&throttle, ADA), 0);
    }

    #[tokio::test]
    async fn an_address_that_tries_many_accounts_is_stopped() {
        let node = node().await;
        let mut throttle = node.throttle();
        for number in 0..31 {
            let user = format!("user{number}@example.org");
            throttle.failed(&user, "192.0.2.1", 1).await.unwrap();
        }
        assert_eq!(node.stopped().await, ["addr:192.0.2.1"]);
    }

    #[tokio::test]
    async fn the_addresses_of_one_ipv6_network_count_as_one() {
        let node = node().await;
        let mut throttle = node.throttle();
        for number in 1..=6 {
            let address = format!("2001:db8::1:{number}");
            throttle.failed("ada@example.org", &address, 1).await.unwrap();
        }
        throttle.failed("ada@example.org", "2001:db8:0:1::7", 1).await.unwrap();
        assert_eq!(node.stopped().await, ["pair:ada@example.org|2001:db8:0:0::/64"]);
    }

    #[tokio::test]
    async fn an_account_tried_from_many_addresses_is_stopped_for_a_minute_at_most() {
        let node = node().await;
        let mut throttle = node.throttle();
        for number in 0..200 {
            let address = format!("192.0.2.{number}");
            throttle.failed("ada@example.org", &address, 1).await.unwrap();
            let stop = node.stop(&throttle, "user:ada@example.org");
            assert!(stop <= 60);
            node.clock.advance(Duration::seconds(stop + LAG));
        }
        assert_eq!(node.stopped().await, ["user:ada@example.org"]);
    }

    #[tokio::test]
    async fn what_was_counted_survives_a_restart_and_a_success_forgives_the_pair() {
        let node = node().await;
        let mut throttle = node.throttle();
        throttle.failed("ada@example.org", "192.0.2.1", 5).await.unwrap();
        throttle.save().await.unwrap();
        let mut throttle = node.throttle();
        throttle.failed("ada@example.org", "192.0.2.1", 1).await.unwrap();
        assert_eq!(node.stopped().await, [ADA]);
        node.clock.advance(Duration::seconds(6));
        throttle.succeeded("ada@example.org", "192.0.2.1");
        throttle.failed("ada@example.org", "192.0.2.1", 1).await.unwrap();
        assert_eq!(node.stop(&throttle, ADA), 0);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_does_not_lengthen_a_stop() {
        let node = node().await;
        let mut throttle = node.throttle();
        throttle.failed("ada@example.org", "192.0.2.1", 6).await.unwrap();
        node.clock.advance(-Duration::days(400));
        throttle.save().await.unwrap();
        assert!(node.stop(&throttle, ADA) <= 900);
    }

    #[tokio::test]
    async fn failures_are_forgotten_and_memory_is_bounded() {
        let node = node().await;
        let mut throttle = node.throttle();
        throttle.failed("ada@example.org", "192.0.2.1", 5).await.unwrap();
        node.clock.advance(Duration::days(2));
        throttle.save().await.unwrap();
        assert!(throttle.keys.is_empty());
        throttle.failed(&"x".repeat(400), "not an address", 1).await.unwrap();
        assert!(throttle.keys.is_empty());
        for number in 0..MAX_KEYS {
            let guesses =
                Guesses { failures: 1, last: node.clock.now().unix_timestamp(), until: 0 };
            throttle.keys.insert(format!("user:{number}"), guesses);
        }
        node.clock.advance(Duration::seconds(1));
        throttle.failed("ada@example.org", "192.0.2.1", 1).await.unwrap();
        throttle.save().await.unwrap();
        assert!(throttle.keys.len() <= MAX_KEYS + 3);
        assert!(throttle.keys.contains_key(ADA));
    }
}
