//! `umail-agent status`: what the running agent has left in its state file.

use umail_proto::clock::Clock;

use super::{Outcome, say};
use crate::{config::Config, identity::Identity, layout::Layout, status::StateFile};

/// A state file older than this was not written by a running agent.
const FRESH_SECONDS: i64 = 30;

/// How to print.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn status(config: &Config, arguments: &Arguments) -> Outcome {
    let layout = Layout::new(&config.data_dir);
    let identity = Identity::load(&layout)?;
    let path = StateFile::path(&layout);
    let state = StateFile::read(&path)
        .map_err(|error| format!("{}: {error}: has the agent run?", path.display()))?;
    if arguments.json {
        say(serde_json::to_string_pretty(&state)?)?;
        return Ok(());
    }
    let age = Clock::system().now().unix_timestamp() - state.written_at;
    let running = if age.abs() <= FRESH_SECONDS { "runs" } else { "does NOT run" };
    say(format_args!("agent        {running}, last seen {age} s ago"))?;
    say(format_args!("node         {}", identity.node_id()))?;
    say(format_args!("certificate  good until {}", identity.lifetime().until))?;
    say(format_args!("server       {}", state.server.as_deref().unwrap_or("not connected")))?;
    say(format_args!(
        "state        generation {} accepted, {} applied",
        state.accepted_generation, state.applied_generation
    ))?;
    say(format_args!("directory    version {} of epoch {}", state.directory_version, state.epoch))?;
    say(format_args!("queue        {} messages", state.queued))?;
    for service in &state.services {
        let listeners = service.listeners.join(" ");
        say(format_args!(
            "{:<12} {} {} [{listeners}] {}",
            service.name, service.version, service.health, service.detail
        ))?;
    }
    for alarm in &state.alarms {
        say(format_args!("ALARM        {alarm}"))?;
    }
    Ok(())
}
