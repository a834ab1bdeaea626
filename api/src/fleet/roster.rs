//! Learns from the database what other instances did to the nodes that are connected here.

use std::{collections::HashSet, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{context::State, error::Result, store};

/// Twice within the second after which a revoked node is to be cut off.
const PERIOD: Duration = Duration::from_millis(400);

/// Cuts nodes off whose certificate was revoked or replaced, and wakes who watches desired states, until it shall stop.
pub async fn run(state: State, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let result = once(&state).await;
        if let Err(error) = &result
            && !failing
        {
            warn!(%error, "cannot look nodes up");
        }
        failing = result.is_err();
    }
}

async fn once(state: &State) -> Result<()> {
    let links = state.fleet().links();
    let asked = links.serials();
    if !asked.is_empty() {
        let good = store::node_certificates::list_good(state.pool(), &asked).await?;
        links.cut_unless(&asked, &HashSet::from_iter(good));
    }
    let watched = links.watched();
    if !watched.is_empty() {
        for (node, generation) in store::nodes::list_generations(state.pool(), &watched).await? {
            links.tell_generation(node, generation);
        }
    }
    Ok(())
}
