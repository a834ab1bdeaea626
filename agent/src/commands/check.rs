//! `umail-agent check`: whether everything that the agent needs is there and holds together.

use std::fmt::Display;

use umail_proto::clock::Clock;

use super::{Outcome, say};
use crate::{config::Config, identity::Identity, layout::Layout, ledger::Ledger, replica::Replica};

pub(super) async fn check(config: &Config) -> Outcome {
    let layout = Layout::new(&config.data_dir);
    say("ok    configuration")?;
    let identity = Identity::load(&layout)?;
    say(format_args!("ok    identity of node {}", identity.node_id()))?;
    let mut faults = 0;
    let until = identity.lifetime().until;
    faults += tell(
        "certificate",
        Ok(format!("good until {until}")).and_then(|text| {
            if Clock::system().now() <= until { Ok(text) } else { Err(format!("ended at {until}")) }
        }),
    )?;
    let ledger = Ledger::read(&layout);
    faults += tell(
        "ledger",
        ledger.map(|desired| match desired {
            Some(desired) => format!("generation {} is accepted", desired.generation),
            None => "no desired state yet".to_owned(),
        }),
    )?;
    faults += tell("replica", replica(&layout).await)?;
    if faults == 0 { Ok(()) } else { Err(format!("{faults} of the above do not hold").into()) }
}

/// Prints one line and counts it if it is a fault.
fn tell(what: &str, found: Result<String, impl Display>) -> std::io::Result<usize> {
    match found {
        Ok(text) => say(format_args!("ok    {what}: {text}")).map(|()| 0),
        Err(error) => say(format_args!("FAULT {what}: {error}")).map(|()| 1),
    }
}

async fn replica(layout: &Layout) -> Result<String, String> {
    if !layout.directory_db().exists() {
        return Ok("not made yet".to_owned());
    }
    let replica = Replica::open(layout).await.map_err(|error| error.to_string())?;
    replica.check().await.map_err(|error| error.to_string())?;
    let position = replica.position().await.map_err(|error| error.to_string())?;
    Ok(position.map_or_else(
        || "no snapshot yet".to_owned(),
        |position| format!("version {} of epoch {}", position.version, position.epoch),
    ))
}
