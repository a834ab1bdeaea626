//! One-off verbs to nodes: made in the transaction of whoever wants them, answered once.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use umail_proto::{
    agent::{Action, action::Verb},
    ids::{ActionId, NodeId, OperationId},
};

use crate::{
    context::State,
    error::{Error, Result},
    store::{self, actions::Answer},
};

/// Makes an action for a node, which may begin it until the deadline. After the commit, wake the
/// streams of the node.
pub async fn issue(
    db: &mut PgConnection,
    (node, verb): (NodeId, Verb),
    operation: Option<OperationId>,
    window: Duration,
    now: OffsetDateTime,
) -> Result<ActionId> {
    let epoch = store::changes::watermark(&mut *db).await?.epoch;
    let (id, deadline) = (ActionId::generate(now), now + window);
    let action = Action {
        action_id: id.to_string(),
        epoch: epoch.to_string(),
        deadline: Some(timestamp(deadline)),
        verb: Some(verb),
    };
    store::actions::insert(db, node, operation, (id, &action), deadline, now).await?;
    Ok(id)
}

/// The actions that a node has not answered. Those of another life of the database, from before
/// it was restored, are nobody's business any more.
pub async fn list_open(state: &State, node: NodeId) -> Result<Vec<Action>> {
    let epoch = store::changes::watermark(state.pool()).await?.epoch.to_string();
    let mut open = store::actions::list_open(state.pool(), node).await?;
    open.retain(|action| action.epoch == epoch);
    Ok(open)
}

/// Takes the answer of a node to an action of its own. The first one counts.
pub async fn answer(state: &State, node: NodeId, id: ActionId, answer: &Answer) -> Result<()> {
    let now = state.clock().now();
    if !store::actions::answer(state.pool(), node, id, answer, now).await? {
        return Err(Error::not_found("action", id));
    }
    state.fleet().progressed();
    Ok(())
}

/// The time as agents read it.
#[must_use]
pub fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or_default(),
    }
}
