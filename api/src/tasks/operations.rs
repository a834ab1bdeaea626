//! Carries operations on, wherever they stand: also those that a server left behind when it died.

use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::Task;
use crate::{
    app,
    context::{Context, State},
    error::Result,
    store,
};

/// Woken whenever a node has answered or applied something.
pub(super) struct Operations {
    progress: watch::Receiver<u64>,
}

impl Operations {
    pub(super) fn new(state: &State) -> Self {
        Self { progress: state.fleet().progress() }
    }
}

impl Task for Operations {
    const NAME: &'static str = "operations";
    const PERIOD: Duration = Duration::from_millis(500);
    const PAUSE: Duration = Duration::from_millis(5);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        self.progress.borrow_and_update();
        let mut done = 0;
        for id in store::operations::list_running(cx.pool()).await? {
            // One that cannot go on must not hold up the others.
            match app::operations::carry_on(cx, id).await {
                Ok(steps) => done += steps,
                Err(error) => warn!(operation.id = %id, %error, "an operation does not get on"),
            }
        }
        Ok(done)
    }

    async fn woken(&mut self, _cx: &Context) {
        // The sender lives as long as the state that this task holds.
        if self.progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
