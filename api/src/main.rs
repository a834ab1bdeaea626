//! `umail-api`: see `commands` for what it can do.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use umail_api::commands::Arguments;

/// An eighth of the work for a request was that of the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "umail-api: {error}");
            ExitCode::FAILURE
        }
    }
}
