//! When nodes were heard of last: in memory, and written to the database in batches.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use time::{Duration, OffsetDateTime};
use umail_proto::ids::NodeId;
use uuid::Uuid;

/// A node that has been silent for longer is unreachable: four heartbeats were missed.
pub const SILENCE: Duration = Duration::seconds(10);

/// What was heard of each node by this instance.
#[derive(Debug, Default)]
pub struct Liveness(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    beats: HashMap<NodeId, Beat>,
    /// The life of the database that a replica belongs to, as its stream knows it: a node that
    /// has learned of another life may still carry rows of the former one. Nil: no replica.
    followed: HashMap<NodeId, Uuid>,
}

/// What was heard of a node last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The start of the agent.
    pub boot: String,
    /// When, by the clock of this server.
    pub seen_at: OffsetDateTime,
    /// The life of the database that the version belongs to; `None` before the agent has told.
    pub epoch: Option<Uuid>,
    /// The version of the directory that it has applied.
    pub version: i64,
    /// Whether it has reported in full to this instance.
    is_reported: bool,
    /// Whether the database knows less.
    is_dirty: bool,
}

impl Liveness {
    /// Takes a heartbeat. Returns whether the node should report in full, and whether it has
    /// applied something new.
    pub fn beat(
        &self,
        node: NodeId,
        now: OffsetDateTime,
        boot: &str,
        version: i64,
    ) -> (bool, bool) {
        let mut heard = self.lock();
        let former = heard.beats.get(&node).filter(|beat| beat.boot == boot);
        let is_reported = former.is_some_and(|beat| beat.is_reported);
        let is_news = former.is_none_or(|beat| beat.version != version);
        let reported = former.and_then(|beat| beat.epoch);
        let epoch = heard.followed.get(&node).copied().or(reported);
        let boot = boot.to_owned();
        let beat = Beat { boot, seen_at: now, epoch, version, is_reported, is_dirty: true };
        heard.beats.insert(node, beat);
        (!is_reported, is_news)
    }

    /// Takes where a node stands, as its report says it in full: with the life of the database
    /// that it knows, unless it knows none.
    pub fn report(
        &self,
        node: NodeId,
        now: OffsetDateTime,
        boot: &str,
        epoch: Option<Uuid>,
        version: i64,
    ) {
        let mut heard = self.lock();
        let epoch = heard.followed.get(&node).copied().or(epoch);
        let boot = boot.to_owned();
        let beat = Beat { boot, seen_at: now, epoch, version, is_reported: true, is_dirty: true };
        heard.beats.insert(node, beat);
    }

    /// Takes which life of the database a replica belongs to, as its stream knows it.
    pub fn follow(&self, node: NodeId, epoch: Option<Uuid>) {
        self.lock().followed.insert(node, epoch.unwrap_or_default());
    }

    /// What was heard of a node last.
    #[must_use]
    pub fn find(&self, node: NodeId) -> Option<Beat> {
        self.lock().beats.get(&node).cloned()
    }

    /// What the database does not know yet, sorted by node. It counts as known from now on.
    pub fn take_dirty(&self) -> Vec<(NodeId, Beat)> {
        let mut dirty = Vec::new();
        for (node, beat) in self.lock().beats.iter_mut().filter(|(_, beat)| beat.is_dirty) {
            beat.is_dirty = false;
            dirty.push((*node, beat.clone()));
        }
        dirty.sort_unstable_by_key(|(node, _)| *node);
        dirty
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a node that was seen then is out of reach now.
#[must_use]
pub fn is_unreachable(seen_at: OffsetDateTime, now: OffsetDateTime) -> bool {
    now - seen_at > SILENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> (Liveness, NodeId, OffsetDateTime) {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        (Liveness::default(), NodeId::generate(now), now)
    }

    #[test]
    fn a_new_boot_is_asked_to_report_in_full_until_it_has() {
        let (liveness, node, now) = node();
        assert_eq!(liveness.beat(node, now, "a", 4), (true, true));
        assert_eq!(liveness.beat(node, now, "a", 4), (true, false));
        liveness.report(node, now, "a", Some(Uuid::max()), 4);
        assert_eq!(liveness.beat(node, now, "a", 5), (false, true));
        assert_eq!(liveness.beat(node, now, "b", 5), (true, true));
    }

    #[test]
    fn a_replica_of_a_former_life_does_not_count_as_one_of_this() {
        let (liveness, node, now) = node();
        let (former, this) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        liveness.follow(node, former);
        liveness.report(node, now, "a", this, 500);
        assert_eq!(liveness.find(node).unwrap().epoch, former);
        liveness.follow(node, this);
        liveness.beat(node, now, "a", 3);
        assert_eq!(liveness.find(node).unwrap().epoch, this);
    }

    #[test]
    fn a_heartbeat_is_written_once() {
        let (liveness, node, now) = node();
        liveness.beat(node, now, "a", 4);
        assert_eq!(liveness.take_dirty().len(), 1);
        assert_eq!(liveness.take_dirty(), []);
        liveness.beat(node, now, "a", 4);
        assert_eq!(liveness.take_dirty().len(), 1);
    }

    #[test]
    fn a_silent_node_is_unreachable() {
        let (_, _, now) = node();
        assert!(!is_unreachable(now - SILENCE, now));
        assert!(is_unreachable(now - SILENCE - Duration::milliseconds(1), now));
    }
}
