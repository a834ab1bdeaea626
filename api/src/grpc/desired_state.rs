//! The stream of the desired state: the whole of it now, and after each change.

use umail_proto::{agent::WatchDesiredStateResponse, ids::NodeId};

use crate::{app, context::State, error::Result, grpc::stream::Sender};

/// Sends the desired state of a node whenever it has become another.
pub(super) async fn watch(
    state: State,
    node: NodeId,
    updates: Sender<WatchDesiredStateResponse>,
) -> Result<()> {
    let mut generations = app::desired_state::watch(&state, node);
    let mut sent = None;
    loop {
        generations.borrow_and_update();
        let desired = Some(app::desired_state::build(&state, node).await?);
        if sent != desired {
            updates.send(WatchDesiredStateResponse { state: desired.clone() }).await;
            sent = desired;
        }
        if generations.changed().await.is_err() {
            return Ok(());
        }
    }
}
