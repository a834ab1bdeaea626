//! Writes how often security events happened again that were written once.

use std::time::Duration;

use super::Task;
use crate::{app::security_events, context::Context, error::Result};

pub(super) struct Repeats;

impl Task for Repeats {
    const NAME: &'static str = "repeats";
    const PERIOD: Duration = Duration::from_mins(1);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        security_events::write_repeats(cx).await
    }
}
