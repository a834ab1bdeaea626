//! How far the nodes have followed the directory.

use std::time::Duration;

use sqlx::PgConnection;
use umail_api_types::directory::{Directory, DirectoryNode};

use crate::{
    app::waiting,
    authz::{Action, Resource},
    context::Context,
    error::Result,
    fleet::liveness::is_unreachable,
    store::{self, node_status::Applied},
};

/// Where the nodes are; waits, at most this long, until every node that can be reached has
/// applied all that was committed when the request came.
pub async fn read(cx: &Context, wait: Duration) -> Result<Directory> {
    let asked = (Action::Read, Resource::Directory);
    cx.authorize(asked.0, asked.1.clone())?;
    let newest = store::changes::newest_of_all(cx.pool()).await?;
    waiting::watch(cx, asked, wait, || look(cx, newest), |seen| seen.converged).await
}

/// How far every node has come: as the database knows it, or this instance, which knows it first.
pub async fn applied(cx: &Context, db: &mut PgConnection) -> Result<Vec<Applied>> {
    let mark = store::changes::watermark(&mut *db).await?;
    let mut nodes = store::node_status::list_applied(db).await?;
    for node in &mut nodes {
        let Some(beat) = cx.state().fleet().liveness().find(node.node_id) else { continue };
        if node.seen_at.is_none_or(|seen| seen <= beat.seen_at) {
            node.seen_at = Some(beat.seen_at);
            // A version that is not reached yet is one of a life before the database was restored.
            let is_of_this = beat.epoch == Some(mark.epoch) && beat.version <= mark.version;
            node.version = if is_of_this { beat.version } else { 0 };
        }
    }
    Ok(nodes)
}

/// `newest` is the change that must have been applied, by its id in the log.
async fn look(cx: &Context, newest: Option<i64>) -> Result<Directory> {
    let mut db = cx.pool().acquire().await?;
    let mark = store::changes::watermark(&mut *db).await?;
    let wanted = match newest {
        Some(id) => store::changes::version(&mut *db, id).await?,
        None => Some(mark.version),
    };
    let now = cx.now();
    let shown = |one: Applied| DirectoryNode {
        node_id: one.node_id,
        reachable: one.seen_at.is_some_and(|seen| !is_unreachable(seen, now)),
        name: one.name,
        version: one.version.cast_unsigned(),
        behind: (mark.version - one.version).max(0).cast_unsigned(),
    };
    let nodes: Vec<_> = applied(cx, &mut db).await?.into_iter().map(shown).collect();
    let has = |node: &DirectoryNode, wanted: i64| node.version >= wanted.cast_unsigned();
    let converged =
        wanted.is_some_and(|wanted| nodes.iter().all(|node| !node.reachable || has(node, wanted)));
    Ok(Directory { epoch: mark.epoch, version: mark.version.cast_unsigned(), converged, nodes })
}
