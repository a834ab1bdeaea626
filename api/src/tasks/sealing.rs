//! Seals audit events into the chain, within a second of their commit.

use std::time::Duration;

use super::Task;
use crate::{app::audit_seals, context::Context, error::Result};

/// One instance at a time holds the chain; the others find it held, or nothing left to do.
pub(super) struct Sealing;

impl Task for Sealing {
    const NAME: &'static str = "sealing";
    const PERIOD: Duration = Duration::from_millis(400);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        audit_seals::seal(cx).await
    }
}
