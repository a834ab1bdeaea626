//! The stream of actions: those that are open now, and later ones, each once per stream.

use std::collections::BTreeSet;

use umail_proto::{agent::WatchActionsResponse, ids::NodeId};

use crate::{app, context::State, error::Result, grpc::stream::Sender};

/// Sends every action that the node has not answered. A node that comes back gets them again and
/// knows by their ids which ones it has done.
pub(super) async fn watch(
    state: State,
    node: NodeId,
    updates: Sender<WatchActionsResponse>,
) -> Result<()> {
    let mut stream = state.fleet().registry().open(node);
    let mut sent = BTreeSet::new();
    loop {
        stream.actions.borrow_and_update();
        let open = app::actions::list_open(&state, node).await?;
        let ids: BTreeSet<_> = open.iter().map(|action| action.action_id.clone()).collect();
        for action in open {
            if !sent.contains(&action.action_id) {
                updates.send(WatchActionsResponse { action: Some(action) }).await;
            }
        }
        sent = ids;
        if stream.actions.changed().await.is_err() {
            return Ok(());
        }
    }
}
