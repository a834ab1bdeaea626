//! Log lines on standard error: JSON for machines, or for a terminal.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;

/// Starts logging. `UMAIL_LOG` filters, such as `debug` or `umail_agent=debug,info`.
pub fn start(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("UMAIL_LOG").unwrap_or_else(|_error| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process changes nothing.
    let started = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Human => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.ok();
}
