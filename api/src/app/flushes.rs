//! Delivering what waits in the queue of a node now.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use umail_api_types::operations::{Operation, OperationKind, OperationState};
use umail_proto::{
    agent::{FlushQueue, action::Verb},
    ids::{ActionId, NodeId},
};

use crate::{
    app::{
        actions,
        audit::{self, Subject},
        nodes,
        operations::{self, Effects},
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::node::Role,
    store,
};

const STEP: &str = "flush";
const PATIENCE: Duration = Duration::minutes(1);

#[derive(Debug, Serialize, Deserialize)]
struct Flush {
    node_id: NodeId,
    action: ActionId,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
}

/// Asks a node to deliver what waits in its queue.
pub async fn start(cx: &Context, node: &str) -> Result<Operation> {
    cx.authorize(Action::Operate, Resource::Nodes)?;
    let mut tx = cx.begin().await?;
    let node = nodes::find_good(&mut *tx, node).await?;
    if !node.roles.contains(&Role::Smtp) {
        return Err(Error::Conflict(format!("node {} has no queue", node.name)));
    }
    let mut row = operations::new(cx, OperationKind::FlushQueue, STEP, serde_json::Value::Null);
    store::operations::insert(&mut *tx, &row).await?;
    let ask = (node.id, Verb::FlushQueue(FlushQueue {}));
    let action = actions::issue(&mut tx, ask, Some(row.id), PATIENCE, cx.now()).await?;
    let flush = Flush { node_id: node.id, action, until: cx.now() + PATIENCE };
    row.input = serde_json::to_value(flush).map_err(Error::internal)?;
    store::operations::update(&mut *tx, &row).await?;
    let subject = Subject::system("queue", node.id);
    audit::record(&mut tx, cx, Action::Operate, subject, None, None).await?;
    tx.commit().await?;
    operations::tell(cx, &Effects { asked: [node.id].into(), ..Effects::default() });
    operations::shown(&row)
}

/// Ends the operation once the node has answered.
pub async fn advance(
    cx: &Context,
    db: &mut PgConnection,
    row: &mut store::operations::Operation,
) -> Result<Effects> {
    let flush: Flush = serde_json::from_value(row.input.clone())
        .map_err(|cause| Error::corrupt("operation", row.id, cause))?;
    let answers = operations::answers(db, &[flush.action], flush.until, cx.now()).await?;
    let is_progress = answers.is_some() || row.cancel_requested;
    match answers {
        Some(Ok(_)) => operations::end(row, OperationState::Succeeded, None, None)?,
        Some(Err(error)) => operations::end(row, OperationState::Failed, Some(error), None)?,
        None if row.cancel_requested => {
            store::actions::close(db, flush.action, cx.now()).await?;
            operations::end(row, OperationState::Cancelled, None, None)?;
        }
        None => {}
    }
    Ok(Effects { is_progress, ..Effects::default() })
}
