//! `make demo`: the main job before the reader's eyes, on real mail nodes.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use umail_tests::{
    demo::{self, Report},
    harness::fleet::told_to_stop,
};

/// Runs the main job on a fleet of real mail nodes on this machine.
#[derive(Debug, Parser)]
struct Options {
    /// Stop after the summary instead of waiting for Ctrl-C.
    #[arg(long)]
    once: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut report = Report::new(PathBuf::from("target/demo-logs"));
    let demo = tokio::select! {
        demo = demo::run(&mut report) => demo,
        _told = told_to_stop() => return ExitCode::from(130),
    };
    let hints = demo.as_ref().map(demo::Demo::hints).unwrap_or_default();
    report.summary(&hints);
    if let Some(demo) = demo {
        if !report.failures().is_empty() {
            report.keep_logs(&demo.fleet);
        }
        if !options.once {
            Report::waiting();
            told_to_stop().await.ok();
        }
    }
    if report.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
