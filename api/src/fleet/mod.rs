//! The nodes that are connected to this instance, and the directory on its way to them.

pub mod feed;
pub mod links;
pub mod liveness;
pub mod registry;
pub mod roster;

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::store::changes::Watermark;

pub use self::{links::Links, liveness::Liveness, registry::Registry};

/// Streams that read from the database at the same time; the others wait for their turn.
const READERS: usize = 8;

/// Everything that this instance knows of its nodes. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    watermark: watch::Sender<Watermark>,
    progress: watch::Sender<u64>,
    links: Links,
    registry: Registry,
    liveness: Liveness,
    readers: Semaphore,
    streams: TaskTracker,
    stop: CancellationToken,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            watermark: watch::Sender::default(),
            progress: watch::Sender::default(),
            links: Links::default(),
            registry: Registry::default(),
            liveness: Liveness::default(),
            readers: Semaphore::new(READERS),
            streams: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }
}

impl Fleet {
    /// How far the change log has come, as far as this instance knows.
    #[must_use]
    pub fn watermark(&self) -> watch::Receiver<Watermark> {
        self.0.watermark.subscribe()
    }

    /// Tells the streams how far the change log has come.
    pub fn advance(&self, to: Watermark) {
        self.0.watermark.send_if_modified(|now| {
            let is_news = (now.epoch, now.version) != (to.epoch, to.version);
            *now = to;
            is_news
        });
    }

    /// Changes whenever a node has applied, answered or reported something: operations and
    /// those who wait for convergence look again then.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.0.progress.subscribe()
    }

    /// Says that a node has applied, answered or reported something, or that an operation moved on.
    pub fn progressed(&self) {
        self.0.progress.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The connections that nodes have open.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.0.links
    }

    /// The nodes with open streams.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// When nodes were heard of last.
    #[must_use]
    pub fn liveness(&self) -> &Liveness {
        &self.0.liveness
    }

    /// Holds one of the few places for reading on behalf of a stream.
    #[must_use]
    pub fn readers(&self) -> &Semaphore {
        &self.0.readers
    }

    /// Where the senders of streams run.
    #[must_use]
    pub fn streams(&self) -> &TaskTracker {
        &self.0.streams
    }

    /// Cancelled when this instance stops.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Ends every stream and waits for its sender.
    pub async fn shut_down(&self) {
        self.0.stop.cancel();
        self.0.streams.close();
        self.0.streams.wait().await;
    }
}
