//! Works on imports, wherever they stand: also those that a server left behind when it died.

use std::{collections::HashMap, time::Duration};

use tokio::sync::watch;
use tracing::{error, warn};
use umail_proto::ids::ImportId;

use super::Task;
use crate::{
    app,
    context::{Context, State},
    error::{Error, Result, is_away},
    store,
};

/// Imports that are worked on at the same time; each needs three connections to the database.
pub(super) const WORKERS: usize = 2;
/// An import that fails so often in a row, while the database is there, is given up.
const ATTEMPTS: u32 = 5;

/// Woken whenever something begins.
pub(super) struct Imports {
    progress: watch::Receiver<u64>,
    failures: HashMap<ImportId, u32>,
}

impl Imports {
    pub(super) fn new(state: &State) -> Self {
        Self { progress: state.fleet().progress(), failures: HashMap::new() }
    }
}

impl Task for Imports {
    const NAME: &'static str = "imports";
    const PERIOD: Duration = Duration::from_millis(500);
    const PAUSE: Duration = Duration::from_millis(50);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        self.progress.borrow_and_update();
        let mut done = 0;
        for id in store::imports::list_running(cx.pool()).await? {
            // One that cannot go on must not hold up the others.
            match app::imports::carry_on(cx, id).await {
                Ok(lines) => {
                    self.failures.remove(&id);
                    done += lines;
                }
                Err(Error::Database(cause)) if is_away(&cause) => {
                    warn!(import.id = %id, %cause, "an import waits for the database");
                }
                Err(cause) => {
                    error!(import.id = %id, %cause, "an import does not get on");
                    let failures = self.failures.entry(id).or_default();
                    *failures += 1;
                    if *failures >= ATTEMPTS {
                        self.failures.remove(&id);
                        app::imports::give_up(cx, id).await?;
                    }
                }
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
