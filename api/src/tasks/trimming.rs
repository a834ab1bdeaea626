//! Forgets changes of the directory that hardly any node is still waiting for.

use std::time::Duration;

use super::Task;
use crate::{context::Context, error::Result, store};

/// Nodes that were away for longer get a snapshot.
const AGE: time::Duration = time::Duration::days(3);
/// So do those that are further behind.
const KEPT: i64 = 1_000_000;

pub(super) struct Trimming;

impl Task for Trimming {
    const NAME: &'static str = "trimming";
    const PERIOD: Duration = Duration::from_mins(1);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        let mut done = 0;
        loop {
            let mut tx = cx.begin().await?;
            let trimmed = store::changes::trim(&mut tx, cx.now() - AGE, KEPT).await?;
            tx.commit().await?;
            done += trimmed;
            if trimmed == 0 {
                return Ok(done);
            }
        }
    }
}
