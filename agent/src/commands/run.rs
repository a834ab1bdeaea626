//! `umail-agent run`: the agent itself.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use umail_proto::clock::Clock;

use super::{Outcome, drivers};
use crate::{agent::Agent, config::Config, layout::Layout, state::Pace, verbs::NodeVerbs};

pub(super) async fn run(config: Config) -> Outcome {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let layout = Layout::new(&config.data_dir);
    let drivers = drivers(&layout, &config).await?;
    let agent = Agent::open(config, Clock::system(), Pace::default()).await?;
    tracing::info!(node.id = agent.state().identity.node_id(), "the agent starts");
    agent.start(drivers, Arc::new(NodeVerbs::new(layout)));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let is_clean = agent.stop().await;
    tracing::info!(is_clean, "the agent stops; the mail services go on");
    Ok(())
}
