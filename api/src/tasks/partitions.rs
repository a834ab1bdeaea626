//! Makes the partitions of audit events before their months begin, and notes where the chain ends.

use std::time::Duration;

use tracing::info;

use super::Task;
use crate::{context::Context, error::Result, store};

/// Two months ahead: a server that fails at this for weeks loses nothing.
pub(super) struct Partitions;

impl Task for Partitions {
    const NAME: &'static str = "partitions";
    const PERIOD: Duration = Duration::from_hours(1);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        store::audit_seals::prepare(cx.pool()).await?;
        // The log is out of reach of whoever cuts the chain off in the database.
        let head = store::audit_seals::head(cx.pool()).await?;
        info!(%head, "the chain of audit events ends here");
        Ok(1)
    }
}
