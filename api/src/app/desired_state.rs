//! What a node shall be, put together from rows: complete, and the same whenever these are the same.

use sqlx::PgConnection;
use tokio::sync::watch;
use umail_proto::{
    agent::{
        DesiredService, DesiredState, ListenerKind, MailSettings, MailTls, Peer, Role as RoleKind,
        ServiceKind as Kind,
    },
    ids::NodeId,
};

use crate::{
    app::mail_certificates,
    context::State,
    error::Result,
    model::node::{Listener, Node, Role, Service, ServiceKind},
    store,
};

/// Builds the desired state of a node. Every row that it is made of raises the node's
/// generation in the transaction that changes the row: whoever adds one here must do so too.
pub async fn build(state: &State, node: NodeId) -> Result<DesiredState> {
    let mut tx = state.pool().begin_snapshot().await?;
    let desired = read(&mut tx, state, node).await?;
    tx.commit().await?;
    Ok(desired)
}

async fn read(db: &mut PgConnection, state: &State, id: NodeId) -> Result<DesiredState> {
    let node = store::nodes::get(&mut *db, id).await?;
    let control_plane = store::control_plane::get(&mut *db).await?;
    let services = store::services::list(&mut *db, &[id]).await?;
    let nodes = store::nodes::list_good(&mut *db).await?;
    let certificate = store::mail_certificates::find(&mut *db, id).await?;
    let mail_tls = match certificate {
        Some(one) => Some(MailTls {
            key_pem: mail_certificates::open_key(state, id, &one)?,
            chain_pem: one.chain_pem,
            roots_pem: state.authority().roots_pem().to_owned(),
        }),
        None => None,
    };
    Ok(DesiredState {
        epoch: control_plane.epoch.to_string(),
        generation: u64::try_from(node.generation).unwrap_or_default(),
        node_id: id.to_string(),
        roles: roles(&node),
        services: services.iter().map(service).collect(),
        peers: nodes.iter().filter(|other| other.id != id).map(peer).collect(),
        mail_tls,
        settings: Some(MailSettings {
            hostname: node.name.clone(),
            message_size_limit_bytes: u64::try_from(control_plane.message_size_limit_bytes)
                .unwrap_or_default(),
            postmaster_address: control_plane.postmaster_address,
        }),
        node_name: node.name,
    })
}

/// Changes when the desired state of the node may have changed: then `build` it again. Changes
/// by other instances are heard of within half a second.
#[must_use]
pub fn watch(state: &State, node: NodeId) -> watch::Receiver<i64> {
    state.fleet().links().watch_generation(node)
}

/// Wakes who watches the desired state of the node, after the commit that raised its generation.
pub async fn changed(state: &State, node: NodeId) -> Result<()> {
    tell(state, &[node]).await
}

/// Wakes who watches any desired state, after the commit that raised all generations.
pub async fn all_changed(state: &State) -> Result<()> {
    tell(state, &state.fleet().links().watched()).await
}

async fn tell(state: &State, nodes: &[NodeId]) -> Result<()> {
    for (node, generation) in store::nodes::list_generations(state.pool(), nodes).await? {
        state.fleet().links().tell_generation(node, generation);
    }
    Ok(())
}

fn service(service: &Service) -> DesiredService {
    let kind = match service.kind {
        ServiceKind::Postfix => Kind::Postfix,
        ServiceKind::Dovecot => Kind::Dovecot,
    };
    DesiredService {
        kind: kind.into(),
        running: service.running,
        restarts: u64::try_from(service.restarts).unwrap_or_default(),
        listeners: service.listeners.iter().map(|one| listener(*one).into()).collect(),
    }
}

fn peer(node: &Node) -> Peer {
    Peer {
        node_id: node.id.to_string(),
        name: node.name.clone(),
        address: node.address.to_string(),
        roles: roles(node),
    }
}

fn roles(node: &Node) -> Vec<i32> {
    let kind = |role: &Role| match role {
        Role::Smtp => RoleKind::Smtp,
        Role::Pop => RoleKind::Pop,
        Role::Storage => RoleKind::Storage,
    };
    node.roles.iter().map(|role| kind(role).into()).collect()
}

fn listener(listener: Listener) -> ListenerKind {
    match listener {
        Listener::Smtp => ListenerKind::Smtp,
        Listener::Submission => ListenerKind::Submission,
        Listener::Pop3 => ListenerKind::Pop3,
        Listener::Imap => ListenerKind::Imap,
        Listener::Lmtp => ListenerKind::Lmtp,
    }
}
