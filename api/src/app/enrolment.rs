//! How a machine becomes a node, and stays one.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use umail_proto::ids::NodeId;

use crate::{
    app::{desired_state, mail_certificates},
    context::Context,
    error::{Error, Result},
    model::{
        join_token::JoinToken,
        node::{Node, NodeRef, Role, Service, parse_address, parse_name},
    },
    pki::{GRACE, Issued, NodeCertificate},
    store,
};

/// What a machine says that wants to become a node.
#[derive(Clone, Copy, Debug)]
pub struct Enrolment<'a> {
    /// As an operator got it.
    pub join_token: &'a str,
    /// PKCS#10, DER.
    pub signing_request: &'a [u8],
    /// The name that the token is bound to.
    pub node_name: &'a str,
    /// Under which other nodes reach it; empty: where it calls from.
    pub address: &'a str,
    /// Where it calls from.
    pub from: IpAddr,
}

/// Makes the bearer of a join token a node. A name that is taken means the same node once
/// more, on a new disk perhaps: what it had before is no longer good.
pub async fn enrol(cx: &Context, wanted: Enrolment<'_>) -> Result<(NodeId, Issued)> {
    let invalid = |field: &'static str| move |reason| Error::invalid(field, reason);
    let name = parse_name(wanted.node_name).map_err(invalid("node_name"))?;
    let address = match wanted.address {
        "" => wanted.from,
        address => parse_address(address).map_err(invalid("address"))?,
    };
    let mut tx = cx.begin().await?;
    store::nodes::lock_fleet(&mut *tx).await?;
    let token = take(&mut tx, cx, wanted.join_token).await?;
    if token.node_name != name {
        return Err(Error::Forbidden("the join token is bound to another name".to_owned()));
    }
    let node = match store::nodes::find(&mut *tx, &NodeRef::Name(name.clone())).await? {
        Some(node) => join_again(&mut tx, cx, node, address, &token.roles).await?,
        None => join(&mut tx, cx, (name, address), token.roles).await?,
    };
    let issued = cx.state().authority().issue_node(node.id, wanted.signing_request)?;
    store::node_certificates::delete_ended(&mut *tx, node.id, None).await?;
    store::node_certificates::insert(&mut *tx, node.id, &issued, cx.now()).await?;
    mail_certificates::issue(&mut tx, cx.state(), node.id, (&node.name, node.address)).await?;
    store::nodes::raise_generations(&mut *tx).await?;
    if node.roles.contains(&Role::Storage) {
        store::changes::insert(
            &mut *tx,
            umail_proto::agent::RowKind::StorageNode,
            node.id.uuid(),
            None,
        )
        .await?;
    }
    tx.commit().await?;
    cx.state().fleet().links().cut(node.id);
    cx.state().changes().notify_one();
    desired_state::all_changed(cx.state()).await?;
    Ok((node.id, issued))
}

/// Renews the certificate of a node that is not revoked.
pub async fn renew(cx: &Context, former: &NodeCertificate, request: &[u8]) -> Result<Issued> {
    let issued = cx.state().authority().issue_node(former.node, request)?;
    let mut tx = cx.begin().await?;
    let good =
        store::node_certificates::list_good(&mut *tx, std::slice::from_ref(&former.serial)).await?;
    if good.is_empty() {
        return Err(Error::Forbidden("the certificate is revoked".to_owned()));
    }
    // The former one stays good until its end: the answer may get lost.
    store::node_certificates::insert(&mut *tx, former.node, &issued, cx.now()).await?;
    store::node_certificates::delete_ended(&mut *tx, former.node, Some(cx.now() - GRACE)).await?;
    tx.commit().await?;
    Ok(issued)
}

async fn take(db: &mut PgConnection, cx: &Context, token: &str) -> Result<JoinToken> {
    let hash = Sha256::digest(token.trim());
    let found = store::join_tokens::take(db, &hash, cx.now()).await?;
    found.ok_or(Error::Unauthenticated("the join token is not known, used, or has expired"))
}

async fn join(
    db: &mut PgConnection,
    cx: &Context,
    (name, address): (String, IpAddr),
    roles: Vec<Role>,
) -> Result<Node> {
    let node = Node {
        id: NodeId::generate(cx.now()),
        name,
        address,
        roles,
        eligible: true,
        generation: 1,
        revoked_at: None,
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    store::nodes::insert(&mut *db, &node).await?;
    for service in Service::defaults(node.id, &node.roles) {
        store::services::insert(&mut *db, &service).await?;
    }
    Ok(node)
}

async fn join_again(
    db: &mut PgConnection,
    cx: &Context,
    mut node: Node,
    address: IpAddr,
    roles: &[Role],
) -> Result<Node> {
    if node.roles != roles {
        let text = format!("node {} exists with other roles: delete it first", node.name);
        return Err(Error::Conflict(text));
    }
    node.address = address;
    node.revoked_at = None;
    store::nodes::update(&mut *db, &node, cx.now()).await
}
