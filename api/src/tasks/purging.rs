//! Removes what was deleted once its grace time is over: from the nodes, then from the directory.

use std::time::Duration;

use tokio::sync::watch;

use super::Task;
use crate::{
    app::purges,
    context::{Context, State},
    error::Result,
};

/// Woken whenever a node has answered, or somebody does not want to wait.
pub(super) struct Purging {
    progress: watch::Receiver<u64>,
}

impl Purging {
    pub(super) fn new(state: &State) -> Self {
        Self { progress: state.fleet().progress() }
    }
}

impl Task for Purging {
    const NAME: &'static str = "purging";
    const PERIOD: Duration = Duration::from_secs(10);
    const PAUSE: Duration = Duration::from_millis(500);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        self.progress.borrow_and_update();
        purges::carry_on(cx).await
    }

    async fn woken(&mut self, _cx: &Context) {
        // The sender lives as long as the state that this task holds.
        if self.progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
