//! Certificates of the mail daemons of nodes: made when a node enrols, renewed long before they end.

use std::net::IpAddr;

use sqlx::PgConnection;
use time::Duration;
use umail_proto::ids::NodeId;

use crate::{
    context::{Context, State},
    error::Result,
    store::{self, mail_certificates::MailCertificate},
};

/// A certificate is renewed when it has this much left: a third of its life.
const RENEWED_BEFORE: Duration = Duration::days(30);

/// Makes a certificate for the mail daemons of a node. Whoever calls raises the generation of
/// the node's desired state, which carries it.
pub(super) async fn issue(
    db: &mut PgConnection,
    state: &State,
    node: NodeId,
    (name, address): (&str, IpAddr),
) -> Result<()> {
    let issued = state.authority().issue_mail(name, address)?;
    let sealed = state.sealer().seal(&label(node), issued.key_pem.as_bytes())?;
    let certificate = MailCertificate { chain_pem: issued.chain_pem, sealed };
    store::mail_certificates::upsert(db, node, &certificate, issued.not_after).await
}

/// Opens the key of a certificate, PEM.
pub(super) fn open_key(
    state: &State,
    node: NodeId,
    certificate: &MailCertificate,
) -> Result<String> {
    let key = state.sealer().open(&label(node), &certificate.sealed)?;
    String::from_utf8(key).map_err(crate::error::Error::internal)
}

/// Renews what is due; gives the number of certificates renewed. Instances take turns.
pub async fn renew_due(state: &State) -> Result<usize> {
    let cx = Context::system(state.clone());
    let mut renewed = 0;
    let mut tx = cx.begin().await?;
    store::nodes::lock_fleet(&mut *tx).await?;
    for id in store::mail_certificates::list_due(&mut *tx, cx.now() + RENEWED_BEFORE).await? {
        let node = store::nodes::get(&mut *tx, id).await?;
        issue(&mut tx, state, id, (&node.name, node.address)).await?;
        store::nodes::raise_generation(&mut *tx, id).await?;
        renewed += 1;
    }
    tx.commit().await?;
    Ok(renewed)
}

/// The name under which a key is sealed: it opens for no other node.
fn label(node: NodeId) -> String {
    format!("mail-certificate/{node}")
}
