//! Connections of nodes to this instance: counted, cut when they must end, and told of desired states.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use umail_proto::ids::NodeId;

use crate::{fleet::liveness::is_unreachable, pki::NodeCertificate};

/// All connections that show a node's certificate.
#[derive(Clone, Debug, Default)]
pub struct Links(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    open: HashMap<u64, Entry>,
    /// The agent that each node is taken for: no other one may speak with its certificate.
    holders: HashMap<NodeId, Holder>,
    /// The generation last heard of, per node whose desired state is watched.
    generations: HashMap<NodeId, watch::Sender<i64>>,
}

#[derive(Debug)]
struct Entry {
    node: NodeId,
    serial: Vec<u8>,
    cut: CancellationToken,
}

/// The start of an agent that was heard of last, and the connection that it came by.
#[derive(Debug)]
struct Holder {
    boot: String,
    link: u64,
    seen_at: OffsetDateTime,
}

/// One connection; it is forgotten when this is dropped.
#[derive(Debug)]
pub struct Link {
    links: Links,
    number: u64,
    cut: CancellationToken,
}

impl Links {
    /// Remembers a connection.
    #[must_use]
    pub fn open(&self, certificate: &NodeCertificate) -> Link {
        let cut = CancellationToken::new();
        let mut inner = self.lock();
        inner.last += 1;
        let (node, serial) = (certificate.node, certificate.serial.clone());
        let number = inner.last;
        inner.open.insert(number, Entry { node, serial, cut: cut.clone() });
        Link { links: self.clone(), number, cut }
    }

    /// Cuts every connection of a node, with all its streams.
    pub fn cut(&self, node: NodeId) {
        self.cut_if(|entry| entry.node == node);
    }

    /// Cuts the connections whose certificates are none of these any more.
    pub fn cut_unless(&self, asked: &[Vec<u8>], good: &HashSet<Vec<u8>>) {
        self.cut_if(|entry| asked.contains(&entry.serial) && !good.contains(&entry.serial));
    }

    /// Serial numbers of the certificates of all connections.
    #[must_use]
    pub fn serials(&self) -> Vec<Vec<u8>> {
        self.lock().open.values().map(|entry| entry.serial.clone()).collect()
    }

    /// How many connections there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// Takes this start of an agent for the node, unless another one is connected and alive: two
    /// agents with one certificate are a copied disk or a thief. Returns whether it was taken.
    ///
    /// An agent that starts again is taken at once, since its former connection has ended, or
    /// after a silence if the end was not heard.
    #[must_use]
    pub fn claim(&self, node: NodeId, link: u64, boot: &str, now: OffsetDateTime) -> bool {
        let mut inner = self.lock();
        let is_open = inner.open.contains_key(&link);
        let holder = inner.holders.get(&node);
        if holder.is_some_and(|one| one.boot != boot && !is_unreachable(one.seen_at, now)) {
            return false;
        }
        if is_open {
            inner.holders.insert(node, Holder { boot: boot.to_owned(), link, seen_at: now });
        }
        true
    }

    /// Changes when this instance hears of another generation of the node's desired state; 0 at
    /// first. Whoever waits here looks up what the state is.
    #[must_use]
    pub fn watch_generation(&self, node: NodeId) -> watch::Receiver<i64> {
        self.lock().generations.entry(node).or_default().subscribe()
    }

    /// Nodes whose desired state somebody watches.
    #[must_use]
    pub fn watched(&self) -> Vec<NodeId> {
        let mut inner = self.lock();
        inner.generations.retain(|_, sender| sender.receiver_count() > 0);
        inner.generations.keys().copied().collect()
    }

    /// Wakes whoever watches the node, if the generation is news.
    pub fn tell_generation(&self, node: NodeId, generation: i64) {
        if let Some(sender) = self.lock().generations.get(&node) {
            sender.send_if_modified(|known| std::mem::replace(known, generation) != generation);
        }
    }

    fn cut_if(&self, wanted: impl Fn(&Entry) -> bool) {
        for entry in self.lock().open.values().filter(|entry| wanted(entry)) {
            entry.cut.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Tells it from the other connections of this instance.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Cancelled when the connection shall end.
    #[must_use]
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut inner = self.links.lock();
        if let Some(entry) = inner.open.remove(&self.number)
            && inner.holders.get(&entry.node).is_some_and(|holder| holder.link == self.number)
        {
            inner.holders.remove(&entry.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::fleet::liveness::SILENCE;

    fn certificate(serial: u8) -> NodeCertificate {
        let now = OffsetDateTime::UNIX_EPOCH;
        NodeCertificate { node: NodeId::generate(now), serial: vec![serial], not_after: now }
    }

    #[test]
    fn only_links_with_a_bad_certificate_are_cut() {
        let links = Links::default();
        let (one, two) = (links.open(&certificate(1)), links.open(&certificate(2)));
        let asked = links.serials();
        let late = links.open(&certificate(3));
        links.cut_unless(&asked, &HashSet::from([vec![1]]));
        assert!(!one.cut().is_cancelled());
        assert!(two.cut().is_cancelled());
        assert!(!late.cut().is_cancelled());
        drop(two);
        assert_eq!(links.count(), 2);
    }

    #[test]
    fn one_agent_at_a_time_speaks_for_a_node() {
        let links = Links::default();
        let certificate = certificate(1);
        let (node, now) = (certificate.node, certificate.not_after);
        let first = links.open(&certificate);
        assert!(links.claim(node, first.number(), "a", now));
        let second = links.open(&certificate);
        assert!(!links.claim(node, second.number(), "b", now + SILENCE));
        assert!(links.claim(node, second.number(), "a", now), "it has connected anew");
        drop(first);
        assert!(!links.claim(node, second.number(), "b", now));
        let late = now + SILENCE + Duration::seconds(1);
        assert!(links.claim(node, second.number(), "b", late), "the first one is silent");
        drop(second);
        let third = links.open(&certificate);
        assert!(links.claim(node, third.number(), "c", late), "the second one has gone");
    }

    #[test]
    fn a_watcher_wakes_on_news_only() {
        let links = Links::default();
        let node = certificate(1).node;
        let mut watcher = links.watch_generation(node);
        links.tell_generation(node, 4);
        assert!(watcher.has_changed().unwrap());
        assert_eq!(*watcher.borrow_and_update(), 4);
        links.tell_generation(node, 4);
        assert!(!watcher.has_changed().unwrap());
        drop(watcher);
        assert!(links.watched().is_empty());
    }
}
