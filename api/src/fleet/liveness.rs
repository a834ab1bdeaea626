//! When nodes were heard of last: in memory, and written to the database in batches.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use time::{Duration, OffsetDateTime};
use umail_proto::ids::NodeId;
use uuid::Uuid;

/// A node that has been silent for longer is unreachable: four heartbeats were missed.
pub const SILENCE: Duration = Duration::seconds(10);

/// What was heard of each node by this instance.
#[derive(Debug, Default)]
pub struct Liveness(Mutex<HashMap<NodeId, Beat>>);

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
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let former = beats.get(&node).filter(|beat| beat.boot == boot);
        let epoch = former.and_then(|beat| beat.epoch);
        let is_reported = former.is_some_and(|beat| beat.is_reported);
        let is_news = former.is_none_or(|beat| beat.version != version);
        let boot = boot.to_owned();
        let beat = Beat { boot, seen_at: now, epoch, version, is_reported, is_dirty: true };
        beats.insert(node, beat);
        (!is_reported, is_news)
    }

    /// Takes where a node stands, as its report says it in full: with the life of the database
    /// that the version belongs to, unless it has no directory at all.
    pub fn report(
        &self,
        node: NodeId,
        now: OffsetDateTime,
        boot: &str,
        epoch: Option<Uuid>,
        version: i64,
    ) {
        let boot = boot.to_owned();
        let beat = Beat { boot, seen_at: now, epoch, version, is_reported: true, is_dirty: true };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, beat);
    }

    /// What was heard of a node last.
    #[must_use]
    pub fn find(&self, node: NodeId) -> Option<Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    /// What the database does not know yet, sorted by node. It counts as known from now on.
    pub fn take_dirty(&self) -> Vec<(NodeId, Beat)> {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dirty = Vec::new();
        for (node, beat) in beats.iter_mut().filter(|(_, beat)| beat.is_dirty) {
            beat.is_dirty = false;
            dirty.push((*node, beat.clone()));
        }
        dirty.sort_unstable_by_key(|(node, _)| *node);
        dirty
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
