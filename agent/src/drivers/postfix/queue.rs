//! Postfix's queue.

use std::ffi::OsString;

use super::TOOL_LIMIT;
use crate::{
    drivers::Refusal,
    exec::{self, Program},
    layout::Layout,
};

/// Delivers what is queued now instead of at the next attempt.
pub async fn flush(layout: &Layout) -> Result<(), Refusal> {
    let arguments = [OsString::from("-c"), layout.etc("postfix").into(), "-f".into()];
    let output = exec::run(Program::Postqueue, &arguments, TOOL_LIMIT)
        .await
        .map_err(|error| Refusal(error.to_string()))?;
    if output.success() { Ok(()) } else { Err(Refusal(output.complaint())) }
}
