//! Looks up what callers were told that there is no such thing, for the audit.

use std::time::Duration;

use super::Task;
use crate::{app::security_events, context::Context, error::Result};

pub(super) struct Unseen;

impl Task for Unseen {
    const NAME: &'static str = "unseen";
    const PERIOD: Duration = Duration::from_secs(1);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        security_events::write_unseen(cx).await
    }
}
