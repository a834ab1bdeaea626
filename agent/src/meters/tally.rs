//! The tally: what has been counted since the last report, and the queue entries it waits for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use umail_proto::agent::{TrafficCount, TrafficKind};

use super::event::{Event, Outcome, Protocol};

/// Queue entries that are remembered; further ones are counted without their bytes.
const MAX_ENTRIES: usize = 50_000;

/// Messages and bytes by kind, sorted by it.
type Counts = BTreeMap<i32, (u64, u64)>;

/// Counts events.
#[derive(Default)]
pub(super) struct Tally {
    counts: Counts,
    entries: BTreeMap<String, Entry>,
    changed: BTreeSet<String>,
}

/// A queue entry. What is between its lines must survive a restart: it goes into the bookmark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// How it came in and was not counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<Pending>,
    /// 0 until the queue manager tells.
    bytes: u64,
}

/// Who handed a message in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Pending {
    Received,
    Submitted,
}

impl Tally {
    /// Goes on with these entries.
    pub(super) fn new(entries: BTreeMap<String, Entry>) -> Self {
        Self { entries, ..Self::default() }
    }

    /// Counts one event.
    pub(super) fn count(&mut self, event: &Event) {
        match event {
            Event::Entered { queue_id, is_submission } => {
                let pending = if *is_submission { Pending::Submitted } else { Pending::Received };
                self.remember(queue_id, Entry { pending: Some(pending), bytes: 0 });
            }
            Event::Queued { queue_id, bytes } => self.queued(queue_id, *bytes),
            Event::Tried { queue_id, outcome, full: _ } => {
                let bytes = self.bytes(queue_id);
                let kind = match outcome {
                    Outcome::Sent => TrafficKind::Sent,
                    Outcome::Deferred => TrafficKind::Deferred,
                    Outcome::Bounced => TrafficKind::Bounced,
                };
                self.add(kind, 1, bytes);
            }
            Event::Removed { queue_id } => {
                self.entries.remove(queue_id);
            }
            Event::Rejected => self.add(TrafficKind::Rejected, 1, 0),
            Event::GivenUp { queue_id } => {
                self.entries.remove(queue_id);
                self.add(TrafficKind::Rejected, 1, 0);
            }
            Event::Stored { user, bytes } => {
                self.add(TrafficKind::Stored, 1, *bytes);
                self.changed.insert(user.clone());
            }
            Event::Changed { user } => {
                self.changed.insert(user.clone());
            }
            Event::Session { protocol: Protocol::Pop3, bytes } => {
                self.add(TrafficKind::Pop3Session, 1, *bytes);
            }
            Event::Session { protocol: Protocol::Imap, bytes } => {
                self.add(TrafficKind::ImapSession, 1, *bytes);
            }
            Event::LoggedIn { .. } | Event::Submitting { .. } => {}
            Event::LoginFailed { attempts, .. } => {
                self.add(TrafficKind::LoginFailed, u64::from(*attempts), 0);
            }
        }
    }

    /// The size of an entry; 0 when it is not known.
    pub(super) fn bytes(&self, queue_id: &str) -> u64 {
        self.entries.get(queue_id).map(|entry| entry.bytes).unwrap_or_default()
    }

    /// What was counted, sorted by kind.
    pub(super) fn counts(&self) -> Vec<TrafficCount> {
        self.counts
            .iter()
            .map(|(kind, (messages, bytes))| TrafficCount {
                kind: *kind,
                messages: *messages,
                bytes: *bytes,
            })
            .collect()
    }

    /// The entries that are open.
    pub(super) const fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// The counts are on the disk: from here on they begin anew.
    pub(super) fn committed(&mut self) {
        self.counts.clear();
    }

    /// Addresses whose mailboxes have changed, at most this many; they are not told again.
    pub(super) fn take_changed(&mut self, limit: usize) -> Vec<String> {
        let taken: Vec<_> = self.changed.iter().take(limit).cloned().collect();
        for user in &taken {
            self.changed.remove(user);
        }
        taken
    }

    /// Tells this address next time.
    pub(super) fn change(&mut self, user: String) {
        self.changed.insert(user);
    }

    /// The first time the queue manager takes an entry, it is in; later times are new attempts.
    fn queued(&mut self, queue_id: &str, bytes: u64) {
        let mut entry = self.entries.get(queue_id).copied().unwrap_or_default();
        entry.bytes = bytes;
        match entry.pending.take() {
            Some(Pending::Received) => self.add(TrafficKind::Received, 1, bytes),
            Some(Pending::Submitted) => self.add(TrafficKind::Submitted, 1, bytes),
            None => {}
        }
        self.remember(queue_id, entry);
    }

    fn remember(&mut self, queue_id: &str, entry: Entry) {
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(queue_id) {
            // One that is counted already, or one that never got into the queue.
            self.entries.pop_first();
        }
        self.entries.insert(queue_id.to_owned(), entry);
    }

    fn add(&mut self, kind: TrafficKind, messages: u64, bytes: u64) {
        let count = self.counts.entry(kind.into()).or_default();
        count.0 = count.0.saturating_add(messages);
        count.1 = count.1.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::postfix, *};

    fn entered(queue_id: &str, is_submission: bool) -> Event {
        Event::Entered { queue_id: queue_id.to_owned(), is_submission }
    }

    fn queued(queue_id: &str, bytes: u64) -> Event {
        Event::Queued { queue_id: queue_id.to_owned(), bytes }
    }

    fn sum(tally: &Tally, kind: TrafficKind) -> (u64, u64) {
        tally.counts.get(&i32::from(kind)).copied().unwrap_or_default()
    }

    #[test]
    fn a_message_counts_when_it_is_in_the_queue_and_only_once() {
        let mut tally = Tally::default();
        tally.count(&entered("A1", false));
        assert!(tally.counts().is_empty());
        tally.count(&queued("A1", 400));
        tally.count(&queued("A1", 400));
        tally.count(&entered("B1", true));
        tally.count(&queued("B1", 7));
        // A bounce: no client handed it in.
        tally.count(&queued("C1", 2000));
        assert_eq!(sum(&tally, TrafficKind::Received), (1, 400));
        assert_eq!(sum(&tally, TrafficKind::Submitted), (1, 7));
    }

    #[test]
    fn an_entry_is_remembered_over_a_restart() {
        let mut tally = Tally::default();
        tally.count(&entered("A1", false));
        let saved = serde_json::to_vec(tally.entries()).unwrap();
        let mut tally = Tally::new(serde_json::from_slice(&saved).unwrap());
        tally.count(&queued("A1", 400));
        tally.committed();
        let saved = serde_json::to_vec(tally.entries()).unwrap();
        let mut tally = Tally::new(serde_json::from_slice(&saved).unwrap());
        tally.count(&queued("A1", 400));
        let outcome = Outcome::Sent;
        tally.count(&Event::Tried { queue_id: "A1".to_owned(), outcome, full: None });
        assert_eq!(sum(&tally, TrafficKind::Received), (0, 0));
        assert_eq!(sum(&tally, TrafficKind::Sent), (1, 400));
    }

    #[test]
    fn a_real_log_adds_up() {
        let mut tally = Tally::default();
        for event in include_str!("fixtures/postfix.log").lines().filter_map(postfix::parse) {
            tally.count(&event);
        }
        // Sent by swaks: four accepted from outside, one by a user, two refusals, one wrong
        // password; a message that was too long never got into the queue.
        assert_eq!(sum(&tally, TrafficKind::Received), (4, 388 + 402 + 414 + 41384));
        assert_eq!(sum(&tally, TrafficKind::Submitted), (1, 414));
        assert_eq!(sum(&tally, TrafficKind::Rejected).0, 2);
        assert_eq!(sum(&tally, TrafficKind::LoginFailed).0, 1);
        assert_eq!(sum(&tally, TrafficKind::Sent), (4, 402 + 402 + 388 + 414));
        assert_eq!(sum(&tally, TrafficKind::Bounced).0, 4);
        let open: Vec<_> = tally.entries.keys().collect();
        assert_eq!(open, ["9309D98E043"]);
    }
}
