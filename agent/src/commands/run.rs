//! `umail-agent run`: the agent itself.

use std::sync::Arc;

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use umail_proto::clock::Clock;

use super::{Outcome, drivers, supervisor};
use crate::{
    agent::Agent,
    config::Config,
    layout::Layout,
    meters::Meters,
    moves::Moves,
    sending::Sending,
    sessions,
    state::{Pace, State},
    verbs::NodeVerbs,
    watchers,
};

pub(super) async fn run(config: Config) -> Outcome {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let layout = Layout::new(&config.data_dir);
    let supervisor = supervisor(&layout, &config);
    let drivers = drivers(&layout, &config, &supervisor);
    let agent = Agent::open(config.clone(), Clock::system(), Pace::default()).await?;
    tracing::info!(node.id = agent.state().identity.node_id(), "the agent starts");
    let state = Arc::clone(agent.state());
    let (replica, identity) = (state.replica.clone(), state.identity.clone());
    let spool = Arc::clone(&state.spool);
    let meters = Meters::new(layout.clone(), &config, Clock::system(), replica.clone(), spool);
    let (meters, stop) = (Arc::new(meters), agent.stopping().clone());
    agent.task(watchers::load(Arc::clone(&state), Arc::clone(&meters), stop.clone()));
    let stop_looking = stop.clone();
    agent.task(async move {
        let State { layout, replica, directory_changed, .. } = &*state;
        sessions::watch(layout, replica, directory_changed, stop_looking).await;
    });
    agent.task(async move { meters.run(stop).await });
    let moves = Moves::new(layout.clone(), &config, replica.clone(), identity, Clock::system())?;
    let peers = TcpListener::bind((config.address, config.peer_port))
        .await
        .map_err(|error| format!("peer_port: {}:{}: {error}", config.address, config.peer_port))?;
    let (served, stop) = (moves.clone(), agent.stopping().clone());
    agent.task(async move { served.serve(peers, stop).await });
    let ledger = Arc::clone(&agent.state().ledger);
    let sending = Arc::new(Sending::new(layout.clone(), Clock::system(), ledger));
    agent.task(sending.serve(agent.stopping().clone()));
    agent.start(drivers, Arc::new(NodeVerbs::new(layout, replica, moves)));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let is_clean = agent.stop().await;
    tracing::info!(is_clean, "the agent stops; the mail services go on");
    Ok(())
}
