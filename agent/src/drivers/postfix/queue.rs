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

/// What is queued, one JSON object a line, as `postqueue -j` prints it.
pub async fn list(layout: &Layout) -> Result<String, Refusal> {
    let arguments = [OsString::from("-c"), layout.etc("postfix").into(), "-j".into()];
    let output = exec::run(Program::Postqueue, &arguments, TOOL_LIMIT)
        .await
        .map_err(|error| Refusal(error.to_string()))?;
    if output.success() { Ok(output.stdout) } else { Err(Refusal(output.complaint())) }
}
