//! `umail-agent`: one on every mail node.

use std::process::ExitCode;

use clap::Parser;
use umail_agent::commands::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
