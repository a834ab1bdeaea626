//! Gives committed changes of the directory their versions, and tells the streams.

use std::time::Duration;

use super::Task;
use crate::{context::Context, error::Result, store};

/// Woken by the changes of this instance; looks for those of others twenty times a second.
pub(super) struct Sequencer;

impl Task for Sequencer {
    const NAME: &'static str = "sequencer";
    const PERIOD: Duration = Duration::from_millis(50);
    const PAUSE: Duration = Duration::from_millis(10);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        let mut mark = store::changes::watermark(cx.pool()).await?;
        let mut done = 0;
        if mark.is_pending {
            let mut tx = cx.begin().await?;
            done = store::changes::sequence(&mut tx).await?;
            tx.commit().await?;
            mark = store::changes::watermark(cx.pool()).await?;
        }
        if mark.is_pending {
            // More than fits one transaction, or committed meanwhile.
            cx.state().changes().notify_one();
        }
        cx.state().fleet().advance(mark);
        Ok(done)
    }

    async fn woken(&mut self, cx: &Context) {
        cx.state().changes().notified().await;
    }
}
