//! What nodes said last.

use std::collections::HashMap;

use prost::Message;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::{agent::ObservedState, ids::NodeId};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    fleet::liveness::Beat,
    model::overview::Said,
};

/// A status report, as it is kept.
#[derive(Clone, Debug)]
pub struct Report {
    /// The start of the agent.
    pub boot: String,
    /// Its place among the reports of this start.
    pub sequence: i64,
    /// Version of the agent.
    pub agent_version: String,
    /// Epoch of the two generations and the version.
    pub epoch: String,
    /// Generation in the ledger.
    pub accepted_generation: i64,
    /// Generation that the services were brought to.
    pub applied_generation: i64,
    /// Version of the directory.
    pub directory_version: i64,
    /// Why the generation is not applied; empty when it is.
    pub refusal: String,
    /// The whole report, encoded.
    pub observed: Vec<u8>,
}

/// How far a node has followed the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The node.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// When it was heard of last.
    pub seen_at: Option<OffsetDateTime>,
    /// The version that it has of this life of the database; 0 when it has none.
    pub version: i64,
}

/// Keeps a report unless one of the same start with the same or a later sequence is there.
/// Returns whether it was kept.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    node: NodeId,
    report: &Report,
    now: OffsetDateTime,
) -> Result<bool> {
    let done = sqlx::query!(
        "INSERT INTO node_status AS old (node_id, boot, sequence, seen_at, reported_at,
                agent_version, accepted_generation, applied_generation, directory_version, epoch,
                refusal, observed)
         VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (node_id) DO UPDATE SET
                boot = excluded.boot, sequence = excluded.sequence, seen_at = excluded.seen_at,
                reported_at = excluded.reported_at, agent_version = excluded.agent_version,
                accepted_generation = excluded.accepted_generation,
                applied_generation = excluded.applied_generation,
                directory_version = excluded.directory_version, epoch = excluded.epoch,
                refusal = excluded.refusal, observed = excluded.observed
          WHERE old.boot <> excluded.boot OR old.sequence < excluded.sequence",
        node.uuid(),
        report.boot,
        report.sequence,
        now,
        report.agent_version,
        report.accepted_generation,
        report.applied_generation,
        report.directory_version,
        report.epoch,
        report.refusal,
        report.observed,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that a second agent showed the certificate of this node.
pub async fn note_rival(db: impl PgExecutor<'_>, node: NodeId, now: OffsetDateTime) -> Result<()> {
    sqlx::query!(
        "INSERT INTO node_status AS old (node_id, rival_seen_at) VALUES ($1, $2)
         ON CONFLICT (node_id) DO UPDATE SET rival_seen_at = excluded.rival_seen_at",
        node.uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes a batch of heartbeats, sorted by node. Nodes that are gone are passed over.
pub async fn beat(db: impl PgExecutor<'_>, beats: &[(NodeId, Beat)]) -> Result<()> {
    let nodes: Vec<_> = beats.iter().map(|(node, _)| node.uuid()).collect();
    let seen: Vec<_> = beats.iter().map(|(_, beat)| beat.seen_at).collect();
    let epochs: Vec<_> = beats.iter().map(|(_, beat)| text(beat.epoch)).collect();
    let versions: Vec<_> = beats.iter().map(|(_, beat)| beat.version).collect();
    sqlx::query!(
        "INSERT INTO node_status AS old (node_id, seen_at, epoch, directory_version)
         SELECT beat.node_id, beat.seen_at, beat.epoch,
                CASE beat.epoch WHEN '' THEN 0 ELSE beat.version END
           FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::bigint[])
                AS beat (node_id, seen_at, epoch, version)
           JOIN node ON node.id = beat.node_id
          ORDER BY beat.node_id
         ON CONFLICT (node_id) DO UPDATE SET
                seen_at = greatest(old.seen_at, excluded.seen_at),
                epoch = CASE excluded.epoch WHEN '' THEN old.epoch ELSE excluded.epoch END,
                directory_version = CASE excluded.epoch WHEN '' THEN old.directory_version
                                                        ELSE excluded.directory_version END",
        &nodes,
        &seen,
        &epochs,
        &versions,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How far every node that is not revoked has followed this life of the database, by name.
pub async fn list_applied(db: impl PgExecutor<'_>) -> Result<Vec<Applied>> {
    Ok(sqlx::query_as!(
        Applied,
        r#"SELECT node.id AS "node_id: NodeId", name, roles, seen_at AS "seen_at?",
                  CASE WHEN status.epoch = control_plane.epoch::text
                       THEN status.directory_version ELSE 0 END AS "version!"
             FROM node CROSS JOIN control_plane
             LEFT JOIN node_status AS status ON status.node_id = node.id
            WHERE revoked_at IS NULL ORDER BY name"#,
    )
    .fetch_all(db)
    .await?)
}

/// What these nodes said last.
pub async fn list(db: impl PgExecutor<'_>, nodes: &[NodeId]) -> Result<HashMap<NodeId, Said>> {
    let nodes: Vec<_> = nodes.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT node_id, seen_at, agent_version, accepted_generation, applied_generation,
                  status.directory_version, refusal, observed, rival_seen_at,
                  status.epoch = control_plane.epoch::text AS "is_current!"
             FROM node_status AS status CROSS JOIN control_plane
            WHERE node_id = ANY ($1)"#,
        &nodes,
    )
    .fetch_all(db)
    .await?;
    let said = rows.into_iter().map(|row| {
        let current = |number: i64| if row.is_current { number } else { 0 };
        let observed = row.observed.as_deref().map(ObservedState::decode).transpose();
        let observed =
            observed.map_err(|cause| Error::corrupt("node_status", row.node_id, cause))?;
        let said = Said {
            seen_at: row.seen_at,
            agent_version: row.agent_version,
            accepted_generation: current(row.accepted_generation),
            applied_generation: current(row.applied_generation),
            directory_version: current(row.directory_version),
            refusal: row.refusal,
            rival_seen_at: row.rival_seen_at,
            alarms: observed.as_ref().map(|one| one.alarms.clone()).unwrap_or_default(),
            observed,
        };
        Ok((row.node_id, said))
    });
    said.collect()
}

fn text(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
