//! The nodes with open streams at this instance, and what wakes those that wait for actions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use umail_proto::ids::NodeId;

/// Nodes by id. An entry stays when its streams have ended: there are only so many nodes.
#[derive(Debug, Default)]
pub struct Registry(Mutex<HashMap<NodeId, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    streams: Arc<()>,
    actions: watch::Sender<u64>,
}

/// One open stream of a node; it counts as open until this is dropped.
#[derive(Debug)]
pub struct Stream {
    /// Changes when the node has new actions.
    pub actions: watch::Receiver<u64>,
    _open: Arc<()>,
}

impl Registry {
    /// Notes an open stream of a node.
    #[must_use]
    pub fn open(&self, node: NodeId) -> Stream {
        self.with(node, |entry| Stream {
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

    /// Wakes the streams that wait for actions of a node.
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
    fn actions_wake_the_streams_of_their_node_only() {
        let registry = Registry::default();
        let node = NodeId::generate(OffsetDateTime::UNIX_EPOCH);
        let other = NodeId::generate(OffsetDateTime::UNIX_EPOCH);
        let (mine, others) = (registry.open(node), registry.open(other));
        registry.actions_changed(node);
        assert!(mine.actions.has_changed().unwrap());
        assert!(!others.actions.has_changed().unwrap());
    }
}
