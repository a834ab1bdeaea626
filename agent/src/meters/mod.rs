//! Meters: what this node carries, how busy it is, and who guesses passwords on it.
//!
//! Counting reads the logs of Postfix and Dovecot line by line. How far they have been read goes
//! to the disk together with what was counted, so that a crash counts no line twice and skips none.

mod app_passwords;
mod dovecot;
mod event;
mod follower;
mod load;
mod postfix;
mod queue;
mod tally;
mod usage;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use umail_proto::{
    agent::{Load, MailboxUsage, Queue},
    clock::Clock,
    functions::Function,
};

use self::{
    app_passwords::AppPasswords,
    event::Event,
    follower::{Begin, Follower, Position},
    tally::{Entry, Tally},
    usage::Answer,
};
use crate::{
    config::Config,
    layout::Layout,
    replica::Replica,
    spool::{Bookmark, Interval, Spool},
    throttle::Throttle,
};

/// How often the logs are looked at: the time that password guessing has before it is noticed.
const LOOK: Duration = Duration::from_millis(300);
/// Mailboxes whose size is asked for in one interval; the others wait for the next one.
const USAGE_LIMIT: usize = 50;
/// A mailbox without room for this much is full; larger messages may be the exception.
const ROOM_BYTES: u64 = 64 << 10;
/// How many seconds the place of an app password says which one it is.
const PLACES_LAST: i64 = 5;
/// For how long a mailbox that was full is taken to be still.
const FULL_FOR: time::Duration = time::Duration::minutes(5);

/// Observes the node and counts its traffic.
pub struct Meters {
    layout: Layout,
    clock: Clock,
    replica: Replica,
    spool: Arc<Spool>,
    interval: Duration,
}

/// How far the logs were read, and what is needed to understand their next lines.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    postfix: Option<Position>,
    dovecot: Option<Position>,
    entries: BTreeMap<String, Entry>,
}

/// The work of one run.
struct Counting {
    postfix: Follower,
    dovecot: Follower,
    tally: Tally,
    usage: BTreeMap<String, MailboxUsage>,
    app_passwords: AppPasswords,
    throttle: Option<Throttle>,
    since: OffsetDateTime,
    /// The bookmark on the disk.
    noted: Vec<u8>,
}

impl Meters {
    /// Meters of this node. They work while [`run`](Self::run) does.
    #[must_use]
    pub fn new(
        layout: Layout,
        config: &Config,
        clock: Clock,
        replica: Replica,
        spool: Arc<Spool>,
    ) -> Self {
        let interval = Duration::from_secs(u64::from(config.traffic_interval_seconds.max(1)));
        Self { layout, clock, replica, spool, interval }
    }

    /// How busy the node is and what waits in its queue, now.
    pub async fn observe(&self) -> (Load, Queue) {
        let queue = queue::observe(&self.layout).await.unwrap_or_default();
        (load::observe(&self.layout), queue)
    }

    /// Follows the logs of Postfix and Dovecot until it is told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let mut counting = self.begin();
        let mut due = Instant::now() + self.interval;
        while !stop.is_cancelled() {
            self.look(&mut counting).await;
            if Instant::now() >= due {
                self.ask_usage(&mut counting, &stop).await;
                self.commit(&mut counting).await;
                due = Instant::now() + self.interval;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        self.look(&mut counting).await;
        self.commit(&mut counting).await;
    }

    fn begin(&self) -> Counting {
        let (place, unknown, noted) = match self.spool.bookmark() {
            Bookmark::Fresh => (Place::default(), Begin::AtStart, Vec::new()),
            Bookmark::Lost => (Place::default(), Begin::AtEnd, Vec::new()),
            Bookmark::At(content) => match serde_json::from_slice(content) {
                Ok(place) => (place, Begin::AtStart, content.clone()),
                Err(_) => (Place::default(), Begin::AtEnd, Vec::new()),
            },
        };
        let follow = |service, position: Option<Position>| {
            Follower::new(
                self.layout.log(service),
                position.map_or_else(|| unknown.clone(), Begin::At),
            )
        };
        let throttle = Throttle::open(&self.layout, self.clock.clone(), self.replica.clone())
            .map_err(|error| tracing::error!(%error, "password guessing is not throttled"))
            .ok();
        Counting {
            postfix: follow("postfix", place.postfix),
            dovecot: follow("dovecot", place.dovecot),
            tally: Tally::new(place.entries),
            usage: BTreeMap::new(),
            app_passwords: AppPasswords::default(),
            throttle,
            since: self.clock.now(),
            noted,
        }
    }

    /// Reads and counts what is new in both logs.
    async fn look(&self, counting: &mut Counting) {
        loop {
            let postfix = lines("postfix", &mut counting.postfix);
            let dovecot = lines("dovecot", &mut counting.dovecot);
            if postfix.is_empty() && dovecot.is_empty() {
                break;
            }
            let events = postfix.iter().filter_map(|line| postfix::parse(line));
            let events = events.chain(dovecot.iter().filter_map(|line| dovecot::parse(line)));
            for event in events {
                self.heed_full(&counting.tally, &event).await;
                self.heed_app_password(&mut counting.app_passwords, &event).await;
                counting.count(&event).await;
            }
            tokio::task::yield_now().await;
        }
        if let Some(throttle) = &mut counting.throttle
            && let Err(error) = throttle.save().await
        {
            tracing::warn!(%error, "the throttle was not saved");
        }
    }

    /// Has further mail for a full mailbox refused for now, before it is in the queue.
    async fn heed_full(&self, tally: &Tally, event: &Event) {
        let Event::Tried { queue_id, full: Some(address), .. } = event else { return };
        if !(1..=ROOM_BYTES).contains(&tally.bytes(queue_id)) {
            return;
        }
        let until = (self.clock.now() + FULL_FOR).unix_timestamp();
        if let Err(error) = self.replica.full(address, until).await {
            tracing::warn!(%error, "mail for a full mailbox is not refused");
        }
    }

    /// Notes which app password somebody has signed in with. A place among all those of a user says
    /// it only while they are still the same: what was not read at once is passed over.
    async fn heed_app_password(&self, app_passwords: &mut AppPasswords, event: &Event) {
        let now = self.clock.now();
        match event {
            Event::LoggedIn { address, app_password: Some(id), .. } => {
                app_passwords.used(*id, address, now);
            }
            Event::Submitting { user, address, place, at }
                if now.unix_timestamp() - at <= PLACES_LAST =>
            {
                match self.replica.app_password(user, Function::Submission, *place).await {
                    Ok(Some(id)) => app_passwords.used(id, address, now),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "the app password was not looked up"),
                }
            }
            _ => {}
        }
    }

    /// Asks Dovecot for the sizes of mailboxes that have changed.
    async fn ask_usage(&self, counting: &mut Counting, stop: &CancellationToken) {
        for address in counting.tally.take_changed(USAGE_LIMIT) {
            if stop.is_cancelled() {
                return;
            }
            match usage::observe(&self.layout, &self.replica, &address).await {
                Answer::Usage(usage) => {
                    counting.usage.insert(usage.user_id.clone(), usage);
                }
                Answer::Nobody => {}
                Answer::Later => counting.tally.change(address),
            }
        }
    }

    /// Brings what was counted to the disk; on an error it is kept and tried again.
    async fn commit(&self, counting: &mut Counting) {
        let place = match counting.place() {
            Ok(place) => place,
            Err(error) => return tracing::warn!(%error, "the logs cannot be read"),
        };
        let interval = Interval {
            counts: counting.tally.counts(),
            usage: counting.usage.values().cloned().collect(),
            app_password_uses: counting.app_passwords.waiting(),
            started_at: Some(counting.since),
            ended_at: Some(self.clock.now()),
        };
        let is_empty = interval.counts.is_empty()
            && interval.usage.is_empty()
            && interval.app_password_uses.is_empty();
        if is_empty && place == counting.noted {
            counting.since = self.clock.now();
            return;
        }
        let (spool, bookmark) = (Arc::clone(&self.spool), place.clone());
        let written = tokio::task::spawn_blocking(move || {
            if is_empty { spool.note(&bookmark) } else { spool.append(interval, &bookmark) }
        });
        match written.await.map_err(std::io::Error::other).flatten() {
            Ok(()) => {
                counting.tally.committed();
                counting.usage.clear();
                counting.app_passwords.committed();
                counting.since = self.clock.now();
                counting.noted = place;
            }
            Err(error) => tracing::warn!(%error, "the report was not spooled"),
        }
    }
}

impl Counting {
    async fn count(&mut self, event: &Event) {
        self.tally.count(event);
        let Some(throttle) = &mut self.throttle else { return };
        match event {
            Event::LoggedIn { user, address, .. } => throttle.succeeded(user, address),
            Event::LoginFailed { user, address, attempts } => {
                if let Err(error) = throttle.failed(user, address, *attempts).await {
                    tracing::warn!(%error, "a failed login was not throttled");
                }
            }
            _ => {}
        }
    }

    /// The bookmark for all that has been counted.
    fn place(&self) -> std::io::Result<Vec<u8>> {
        let place = Place {
            postfix: self.postfix.position()?,
            dovecot: self.dovecot.position()?,
            entries: self.tally.entries().clone(),
        };
        Ok(serde_json::to_vec(&place)?)
    }
}

fn lines(service: &str, follower: &mut Follower) -> Vec<String> {
    follower.read().unwrap_or_else(|error| {
        tracing::debug!(%error, service, "the log cannot be read");
        Vec::new()
    })
}
