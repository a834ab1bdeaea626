//! Services of nodes: run or not, which listeners are open, and restarts.

use umail_api_types::services::ServicePatch;
use umail_proto::agent::RowKind;

use crate::{
    app::{
        audit::{self, Subject, shown},
        desired_state,
        fields::one,
        nodes,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        node::{Listener, Node, Service, ServiceKind, available_listeners, check_listeners},
        overview::Overview,
        revision::Precondition,
    },
    store,
    transaction::Transaction,
};

/// The services of a node.
pub async fn list(cx: &Context, node: &str) -> Result<Overview> {
    cx.authorize(Action::List, Resource::Nodes)?;
    nodes::overview(cx, nodes::find(cx.pool(), node).await?).await
}

/// One service of a node, with the node.
pub async fn read(cx: &Context, node: &str, kind: ServiceKind) -> Result<(Service, Overview)> {
    cx.authorize(Action::Read, Resource::Nodes)?;
    look_up(cx, nodes::find(cx.pool(), node).await?, kind).await
}

/// Changes whether a service runs, and which of its listeners are open.
pub async fn update(
    cx: &Context,
    node: &str,
    kind: ServiceKind,
    precondition: Precondition,
    patch: ServicePatch,
) -> Result<(Service, Overview)> {
    cx.authorize(Action::Operate, Resource::Nodes)?;
    let node = nodes::find(cx.pool(), node).await?;
    let available = available_listeners(&node.roles, kind);
    let listeners = patch.listeners.map(|wanted| check_listeners(&wanted, &available));
    let listeners = listeners.map(|wanted| one("/listeners", wanted)).transpose()?;
    let mut tx = cx.begin().await?;
    let before = store::services::lock(&mut *tx, node.id, kind).await?;
    precondition.check(before.revision)?;
    let mut service = before.clone();
    service.running = patch.running.unwrap_or(before.running);
    service.listeners = listeners.unwrap_or_else(|| before.listeners.clone());
    if service == before {
        return look_up(cx, node, kind).await;
    }
    save(cx, tx, node, Action::Update, (before, service)).await
}

/// Restarts a service once.
pub async fn restart(cx: &Context, node: &str, kind: ServiceKind) -> Result<(Service, Overview)> {
    cx.authorize(Action::Operate, Resource::Nodes)?;
    let node = nodes::find(cx.pool(), node).await?;
    let mut tx = cx.begin().await?;
    let before = store::services::lock(&mut *tx, node.id, kind).await?;
    if !before.running {
        let text = format!("{} on {} shall not run: start it instead", kind.name(), node.name);
        return Err(Error::Conflict(text));
    }
    let service = Service { restarts: before.restarts + 1, ..before.clone() };
    save(cx, tx, node, Action::Operate, (before, service)).await
}

/// Writes a service and gives it as it is from now on: the transaction may be a part of a
/// larger one, which nobody else can see into yet.
async fn save(
    cx: &Context,
    mut tx: Transaction,
    mut node: Node,
    action: Action,
    (before, mut after): (Service, Service),
) -> Result<(Service, Overview)> {
    after.revision = store::services::update(&mut *tx, &after).await?;
    node.generation = store::nodes::raise_generation(&mut *tx, node.id).await?;
    let takes = |service: &Service| service.listeners.contains(&Listener::Submission);
    if takes(&before) != takes(&after) {
        // Whether the node carries password hashes depends on it: its view is another one.
        let whole = RowKind::Unspecified;
        store::changes::insert(&mut *tx, whole, node.id.uuid(), Some(&[node.id])).await?;
    }
    let subject = Subject::system("service", node.id);
    audit::record(&mut tx, cx, action, subject, shown(&before)?, shown(&after)?).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    desired_state::changed(cx.state(), node.id).await?;
    Ok((after, nodes::overview(cx, node).await?))
}

async fn look_up(cx: &Context, node: Node, kind: ServiceKind) -> Result<(Service, Overview)> {
    let overview = nodes::overview(cx, node).await?;
    let found = overview.services.iter().find(|service| service.kind == kind).cloned();
    Ok((found.ok_or_else(|| Error::not_found("service", kind.name()))?, overview))
}
