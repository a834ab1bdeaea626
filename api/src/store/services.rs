//! Services of nodes, as they are wanted.

use sqlx::PgExecutor;
use umail_proto::ids::NodeId;

use crate::{
    error::{Error, Result},
    model::node::{Listener, Service, ServiceKind},
};

struct Row {
    node_id: NodeId,
    kind: String,
    running: bool,
    restarts: i64,
    listeners: Vec<String>,
    revision: i64,
}

impl TryFrom<Row> for Service {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |detail: &str| Error::corrupt("service", row.node_id, detail);
        let listeners = row.listeners.iter().map(|name| Listener::from_name(name));
        Ok(Self {
            node: row.node_id,
            kind: ServiceKind::from_name(&row.kind).ok_or_else(|| corrupt("kind"))?,
            running: row.running,
            restarts: row.restarts,
            listeners: listeners.collect::<Option<_>>().ok_or_else(|| corrupt("listeners"))?,
            revision: row.revision,
        })
    }
}

/// The services of these nodes, by node and kind.
pub async fn list(db: impl PgExecutor<'_>, nodes: &[NodeId]) -> Result<Vec<Service>> {
    let nodes: Vec<_> = nodes.iter().map(|id| id.uuid()).collect();
    sqlx::query_as!(
        Row,
        "SELECT node_id, kind, running, restarts, listeners, revision
           FROM service
          WHERE node_id = ANY ($1)
          ORDER BY node_id, kind",
        &nodes,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Service::try_from)
    .collect()
}

/// Locks one service, to change it.
pub async fn lock(db: impl PgExecutor<'_>, node: NodeId, kind: ServiceKind) -> Result<Service> {
    sqlx::query_as!(
        Row,
        "SELECT node_id, kind, running, restarts, listeners, revision
           FROM service
          WHERE node_id = $1 AND kind = $2
            FOR UPDATE",
        node.uuid(),
        kind.name(),
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| Error::not_found("service", kind.name()))?
    .try_into()
}

/// Adds a service.
pub async fn insert(db: impl PgExecutor<'_>, service: &Service) -> Result<()> {
    sqlx::query!(
        "INSERT INTO service (node_id, kind, running, restarts, listeners, revision)
         VALUES ($1, $2, $3, $4, $5, $6)",
        service.node.uuid(),
        service.kind.name(),
        service.running,
        service.restarts,
        &names(service),
        service.revision,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes what can change of a service; its revision grows.
pub async fn update(db: impl PgExecutor<'_>, service: &Service) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        "UPDATE service SET running = $3, restarts = $4, listeners = $5, revision = revision + 1
          WHERE node_id = $1 AND kind = $2
      RETURNING revision",
        service.node.uuid(),
        service.kind.name(),
        service.running,
        service.restarts,
        &names(service),
    )
    .fetch_one(db)
    .await?)
}

fn names(service: &Service) -> Vec<String> {
    service.listeners.iter().map(|one| one.name().to_owned()).collect()
}
