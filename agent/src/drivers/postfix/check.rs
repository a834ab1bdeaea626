//! Looking through a rendered copy: `postfix check` finds neither unknown parameters nor broken maps.

use std::{ffi::OsString, path::Path};

use super::{TOOL_LIMIT, maps};
use crate::{
    drivers::Refusal,
    exec::{self, Output, Program},
};

/// Has Postfix read the copy in this folder, and asks every map once.
pub(super) async fn check(folder: &Path) -> Result<(), Refusal> {
    for view in ["-n", "-M"] {
        let arguments = [OsString::from("-c"), folder.into(), view.into()];
        let output = run(Program::Postconf, &arguments).await?;
        if !output.success() || !output.stderr.trim().is_empty() {
            return Err(Refusal(format!("postfix: {}", output.complaint())));
        }
    }
    for name in maps::FILES {
        let mut map = OsString::from("sqlite:");
        map.push(folder.join(name));
        let arguments =
            [OsString::from("-c"), folder.into(), "-q".into(), "probe@probe.invalid".into(), map];
        let output = run(Program::Postmap, &arguments).await?;
        // Status 1 without a word: the map works and does not know the address.
        if !output.stderr.trim().is_empty() || !matches!(output.code, Some(0 | 1)) {
            return Err(Refusal(format!("postfix: {name}: {}", output.complaint())));
        }
    }
    Ok(())
}

async fn run(program: Program, arguments: &[OsString]) -> Result<Output, Refusal> {
    let output = exec::run(program, arguments, TOOL_LIMIT).await;
    output.map_err(|error| Refusal(error.to_string()))
}
