//! The nodes with open streams, and what wakes or ends these.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use umail_proto::ids::NodeId;

/// Nodes by id. An entry stays when its streams have ended: there are only so many nodes.
#[derive(Debug, Default)]
pub struct Registry(Mutex<HashMap<NodeId, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    streams: Arc<()>,
    stop: CancellationToken,
    desired: watch::Sender<u64>,
    actions: watch::Sender<u64>,
}

/// One open stream of a node; it counts as open until this is dropped.
#[derive(Debug)]
pub struct Stream {
    /// Cancelled when the node may no longer listen.
    pub stop: CancellationToken,
    /// Changes when the desired state of the node has changed.
    pub desired: watch::Receiver<u64>,
    /// Changes when the node has new actions.
    pub actions: watch::Receiver<u64>,
    _open: Arc<()>,
}

impl Registry {
    /// Notes an open stream of a node.
    #[must_use]
    pub fn open(&self, node: NodeId) -> Stream {
        self.with(node, |entry| Stream {
            stop: entry.stop.clone(),
            desired: entry.desired.subscribe(),
            actions: entry.actions.subscribe(),
            _open: Arc::clone(&entry.streams),
        })
    }

    /// Nodes with open streams at this instance, sorted.
    #[must_use]
    pub fn connected(&self) -> Vec<NodeId> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = nodes.iter().filter(|(_, entry)| Arc::strong_count(&entry.streams) > 1);
        let mut ids: Vec<_> = open.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Ends every open stream of a node.
    pub fn cut(&self, node: NodeId) {
        self.with(node, |entry| std::mem::take(&mut entry.stop).cancel());
    }

    /// Wakes those who watch the desired state of a node.
    pub fn desired_changed(&self, node: NodeId) {
        self.with(node, |entry| entry.desired.send_modify(|count| *count = count.wrapping_add(1)));
    }

    /// Wakes those who watch any desired state: what all nodes share has changed.
    pub fn every_desired_changed(&self) {
        for node in self.connected() {
            self.desired_changed(node);
        }
    }

    /// Wakes those who watch the actions of a node.
    pub fn actions_changed(&self, node: NodeId) {
        self.with(node, |entry| entry.actions.send_modify(|count| *count = count.wrapping_add(1)));
    }

    fn with<T>(&self, node: NodeId, act: impl FnOnce(&mut Entry) -> T) -> T {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(nodes.entry(node).or_default())
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn a_cut_ends_open_streams_and_no_later_one() {
        let registry = Registry::default();
        let node = NodeId::generate(OffsetDateTime::UNIX_EPOCH);
        let before = registry.open(node);
        registry.cut(node);
        assert!(before.stop.is_cancelled());
        assert!(!registry.open(node).stop.is_cancelled());
    }

    #[test]
    fn a_node_is_connected_while_a_stream_is_open() {
        let registry = Registry::default();
        let node = NodeId::generate(OffsetDateTime::UNIX_EPOCH);
        let (first, second) = (registry.open(node), registry.open(node));
        drop(first);
        assert_eq!(registry.connected(), [node]);
        drop(second);
        assert_eq!(registry.connected(), []);
    }

    #[test]
    fn a_change_wakes_the_watchers_of_its_node_only() {
        let registry = Registry::default();
        let node = NodeId::generate(OffsetDateTime::UNIX_EPOCH);
        let other = NodeId::generate(OffsetDateTime::UNIX_EPOCH);
        let (mine, others) = (registry.open(node), registry.open(other));
        registry.desired_changed(node);
        assert!(mine.desired.has_changed().unwrap());
        assert!(!mine.actions.has_changed().unwrap());
        assert!(!others.desired.has_changed().unwrap());
    }
}
