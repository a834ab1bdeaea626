//! Mail nodes: what is wanted of them, and what they say.

use std::collections::HashMap;

use sqlx::PgExecutor;
use time::Duration;
use umail_api_types::nodes::NodePatch;
use umail_proto::{
    agent::{Alarm, RowKind},
    ids::NodeId,
};

use crate::{
    app::{
        audit::{self, Subject, shown},
        desired_state,
        fields::one,
        mail_certificates,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    fleet::liveness::is_unreachable,
    model::{
        node::{Node, NodeRef, Role, Service, parse_address},
        overview::{Overview, Said},
        page::Page,
        revision::Precondition,
    },
    store::{self, mailbox_removals::Delayed},
    transaction::Transaction,
};

/// How long the alarm about a second agent with a node's certificate stays.
const RIVAL_ALARM: Duration = Duration::hours(1);

/// How long after a mailbox was to be removed the delay is an alarm.
const PURGE_DELAY: Duration = Duration::minutes(10);

/// A page of all nodes.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<Overview>> {
    cx.authorize(Action::List, Resource::Nodes)?;
    let nodes = store::nodes::list(cx.pool(), page).await?;
    overviews(cx, nodes).await
}

/// One node, by id or name.
pub async fn read(cx: &Context, node: &str) -> Result<Overview> {
    cx.authorize(Action::Read, Resource::Nodes)?;
    overview(cx, find(cx.pool(), node).await?).await
}

/// Changes a node.
pub async fn update(
    cx: &Context,
    node: &str,
    precondition: Precondition,
    patch: NodePatch,
) -> Result<Overview> {
    cx.authorize(Action::Update, Resource::Nodes)?;
    let address = patch.address.as_deref().map(parse_address);
    let address = address.map(|address| one("/address", address)).transpose()?;
    let (mut tx, before) = lock(cx, node, &precondition).await?;
    let mut node = before.clone();
    node.address = address.unwrap_or(before.address);
    node.eligible = patch.eligible.unwrap_or(before.eligible);
    if node == before {
        return overview(cx, before).await;
    }
    let mut node = store::nodes::update(&mut *tx, &node, cx.now()).await?;
    if node.address != before.address {
        let named = (node.name.as_str(), node.address);
        mail_certificates::issue(&mut tx, cx.state(), node.id, named).await?;
        peers_changed(&mut tx, &node).await?;
        node = store::nodes::get(&mut *tx, node.id).await?;
    }
    let subject = Subject::system("node", node.id);
    audit::record(&mut tx, cx, Action::Update, subject, shown(&before)?, shown(&node)?).await?;
    commit(cx, tx).await?;
    overview(cx, node).await
}

/// Takes a node's right to connect, at once. Its mail daemons are left as they are.
pub async fn revoke(cx: &Context, node: &str) -> Result<Overview> {
    cx.authorize(Action::Operate, Resource::Nodes)?;
    let (mut tx, before) = lock(cx, node, &Precondition::Any).await?;
    if before.revoked_at.is_some() {
        tx.commit().await?;
        return overview(cx, before).await;
    }
    let wanted = Node { revoked_at: Some(cx.now()), ..before.clone() };
    let node = store::nodes::update(&mut *tx, &wanted, cx.now()).await?;
    peers_changed(&mut tx, &node).await?;
    let subject = Subject::system("node", node.id);
    audit::record(&mut tx, cx, Action::Operate, subject, shown(&before)?, shown(&node)?).await?;
    commit(cx, tx).await?;
    cx.state().fleet().links().cut(node.id);
    overview(cx, node).await
}

/// Removes a node that keeps nobody's mail.
pub async fn delete(cx: &Context, node: &str, precondition: Precondition) -> Result<()> {
    cx.authorize(Action::Delete, Resource::Nodes)?;
    let (mut tx, node) = lock(cx, node, &precondition).await?;
    store::nodes::delete(&mut *tx, node.id).await?;
    peers_changed(&mut tx, &node).await?;
    let subject = Subject::system("node", node.id);
    audit::record(&mut tx, cx, Action::Delete, subject, shown(&node)?, None).await?;
    commit(cx, tx).await?;
    cx.state().fleet().links().cut(node.id);
    Ok(())
}

/// The node of this id or name. Whoever calls has authorized.
pub(super) async fn find(db: impl PgExecutor<'_>, node: &str) -> Result<Node> {
    let missing = || Error::not_found("node", node);
    let named: NodeRef = node.parse().map_err(|_no_name| missing())?;
    store::nodes::find(db, &named).await?.ok_or_else(missing)
}

/// The same, of those that are not revoked: nothing is asked of the others.
pub(super) async fn find_good(db: impl PgExecutor<'_>, node: &str) -> Result<Node> {
    let found = find(db, node).await?;
    if found.revoked_at.is_some() { Err(Error::not_found("node", node)) } else { Ok(found) }
}

/// The storage node that a body names for a mailbox.
pub(super) async fn find_storage(db: impl PgExecutor<'_>, node: &str) -> Result<Node> {
    let wrong = |reason: String| Error::invalid("/storage_node", reason);
    let found = find_good(db, node).await.map_err(|cause| match cause {
        Error::NotFound { .. } => wrong(cause.to_string()),
        other => other,
    })?;
    if found.roles.contains(&Role::Storage) {
        Ok(found)
    } else {
        Err(wrong("is not a storage node".to_owned()))
    }
}

/// A node with its services and what it says.
pub(super) async fn overview(cx: &Context, node: Node) -> Result<Overview> {
    let id = node.id;
    let found = overviews(cx, vec![node]).await?.pop();
    found.ok_or_else(|| Error::not_found("node", id))
}

/// Says to everybody who may care that the nodes of the fleet, or addresses of them, changed.
pub(super) async fn peers_changed(tx: &mut Transaction, node: &Node) -> Result<()> {
    store::nodes::raise_generations(&mut **tx).await?;
    if node.roles.contains(&Role::Storage) {
        let (kind, id) = (RowKind::StorageNode, node.id.uuid());
        store::changes::insert(&mut **tx, kind, id, None).await?;
    }
    Ok(())
}

/// Commits a change of the fleet and wakes whoever waits for it.
pub(super) async fn commit(cx: &Context, tx: Transaction) -> Result<()> {
    tx.commit().await?;
    cx.state().changes().notify_one();
    desired_state::all_changed(cx.state()).await
}

async fn lock(
    cx: &Context,
    node: &str,
    precondition: &Precondition,
) -> Result<(Transaction, Node)> {
    let mut tx = cx.begin().await?;
    store::nodes::lock_fleet(&mut *tx).await?;
    let node = find(&mut *tx, node).await?;
    precondition.check(node.revision)?;
    Ok((tx, node))
}

async fn overviews(cx: &Context, nodes: Vec<Node>) -> Result<Vec<Overview>> {
    let ids: Vec<_> = nodes.iter().map(|node| node.id).collect();
    let mut services: HashMap<NodeId, Vec<Service>> = HashMap::new();
    for service in store::services::list(cx.pool(), &ids).await? {
        services.entry(service.node).or_default().push(service);
    }
    let mut said = store::node_status::list(cx.pool(), &ids).await?;
    let before = cx.now() - PURGE_DELAY;
    let mut delayed = store::mailbox_removals::list_delayed(cx.pool(), &ids, before).await?;
    let overview = |node: Node| {
        let services = services.remove(&node.id).unwrap_or_default();
        let mut said = heard(cx, node.id, said.remove(&node.id).unwrap_or_default());
        said.alarms.extend(delayed.remove(&node.id).map(purge_delayed));
        let is_silent = said.seen_at.is_some_and(|seen_at| is_unreachable(seen_at, cx.now()));
        Overview::new(node, services, said, is_silent)
    };
    Ok(nodes.into_iter().map(overview).collect())
}

/// A node that is away, or refuses, cannot say so itself.
fn purge_delayed(delayed: Delayed) -> Alarm {
    let Delayed { mailboxes, since, detail } = delayed;
    let reason = if detail.is_empty() { "it has not answered" } else { &detail };
    let detail = format!("{mailboxes} mailboxes are to be removed since {since}: {reason}");
    Alarm { kind: "purge_delayed".to_owned(), detail }
}

/// Heartbeats reach the database in batches; this instance may have heard more. A rival agent
/// cannot raise an alarm on the node, so the server does.
fn heard(cx: &Context, node: NodeId, mut said: Said) -> Said {
    let beat = cx.state().fleet().liveness().find(node).map(|beat| beat.seen_at);
    said.seen_at = said.seen_at.max(beat);
    if let Some(at) = said.rival_seen_at.filter(|at| cx.now() - *at < RIVAL_ALARM) {
        let detail = format!("another agent showed this node's certificate, last at {at}");
        said.alarms.insert(0, Alarm { kind: "certificate_shared".to_owned(), detail });
    }
    said
}
