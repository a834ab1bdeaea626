//! Writes when nodes were heard of last, all of them at once.

use std::time::Duration;

use super::Task;
use crate::{context::Context, error::Result, store};

/// Other instances see a node's life no later than this after its heartbeat.
pub(super) struct Liveness;

impl Task for Liveness {
    const NAME: &'static str = "liveness";
    const PERIOD: Duration = Duration::from_secs(1);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        let beats = cx.state().fleet().liveness().take_dirty();
        if !beats.is_empty() {
            store::node_status::beat(cx.pool(), &beats).await?;
        }
        Ok(u64::try_from(beats.len()).unwrap_or_default())
    }
}
