//! What was counted on nodes: reports by their key, and sums per minute.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::NodeId;
use uuid::Uuid;

use crate::error::Result;

/// The key of a report, and its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The start of the agent that counted.
    pub boot: Uuid,
    /// The place among the reports of this start.
    pub sequence: i64,
    /// Begin of the interval.
    pub started_at: OffsetDateTime,
    /// End of the interval.
    pub ended_at: OffsetDateTime,
}

/// What was counted of one kind in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The minute.
    pub minute: OffsetDateTime,
    /// As `TrafficKind`.
    pub kind: i16,
    /// Messages, recipients, sessions or attempts.
    pub messages: i64,
    /// Bytes.
    pub bytes: i64,
}

/// Notes reports and returns the keys of those that were not there.
pub async fn insert_reports(
    db: impl PgExecutor<'_>,
    node: NodeId,
    reports: &[Report],
) -> Result<Vec<(Uuid, i64)>> {
    let boots: Vec<_> = reports.iter().map(|one| one.boot).collect();
    let sequences: Vec<_> = reports.iter().map(|one| one.sequence).collect();
    let started: Vec<_> = reports.iter().map(|one| one.started_at).collect();
    let ended: Vec<_> = reports.iter().map(|one| one.ended_at).collect();
    let rows = sqlx::query!(
        "INSERT INTO traffic_report (node_id, boot, sequence, started_at, ended_at)
         SELECT $1, boot, sequence, started_at, ended_at
           FROM unnest($2::uuid[], $3::bigint[], $4::timestamptz[], $5::timestamptz[])
                AS sent (boot, sequence, started_at, ended_at)
          ORDER BY boot, sequence
         ON CONFLICT DO NOTHING RETURNING boot, sequence",
        node.uuid(),
        &boots,
        &sequences,
        &started,
        &ended,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.boot, row.sequence)).collect())
}

/// Adds counts, sorted by minute and kind and each pair once, to the sums of a node.
pub async fn add(db: impl PgExecutor<'_>, node: NodeId, counts: &[Count]) -> Result<()> {
    let minutes: Vec<_> = counts.iter().map(|one| one.minute).collect();
    let kinds: Vec<_> = counts.iter().map(|one| one.kind).collect();
    let messages: Vec<_> = counts.iter().map(|one| one.messages).collect();
    let bytes: Vec<_> = counts.iter().map(|one| one.bytes).collect();
    sqlx::query!(
        "INSERT INTO traffic AS old (node_id, minute, kind, messages, bytes)
         SELECT $1, minute, kind, messages, bytes
           FROM unnest($2::timestamptz[], $3::smallint[], $4::bigint[], $5::bigint[])
                AS sent (minute, kind, messages, bytes)
         ON CONFLICT (node_id, minute, kind) DO UPDATE SET
                messages = old.messages + excluded.messages, bytes = old.bytes + excluded.bytes",
        node.uuid(),
        &minutes,
        &kinds,
        &messages,
        &bytes,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a node counted, by minute and kind; the end is not included.
pub async fn list(
    db: impl PgExecutor<'_>,
    node: NodeId,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Vec<Count>> {
    Ok(sqlx::query_as!(
        Count,
        "SELECT minute, kind, messages, bytes FROM traffic
          WHERE node_id = $1 AND minute >= $2 AND minute < $3 ORDER BY minute, kind",
        node.uuid(),
        from,
        to,
    )
    .fetch_all(db)
    .await?)
}

/// How many reports never arrived, among and right before those that ended in this time.
pub async fn count_missing(
    db: impl PgExecutor<'_>,
    node: NodeId,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"SELECT coalesce(sum(last - count - coalesce(
                    (SELECT max(sequence) FROM traffic_report AS before
                      WHERE node_id = $1 AND before.boot = sent.boot AND sequence < first), 0)),
                  0)::bigint AS "missing!"
             FROM (SELECT boot, min(sequence) AS first, max(sequence) AS last, count(*) AS count
                     FROM traffic_report
                    WHERE node_id = $1 AND ended_at >= $2 AND ended_at < $3
                    GROUP BY boot) AS sent"#,
        node.uuid(),
        from,
        to,
    )
    .fetch_one(db)
    .await?)
}

/// Forgets keys of reports that no spool holds any more, and sums that nobody looks at.
pub async fn delete_before(
    db: impl PgExecutor<'_>,
    reports: OffsetDateTime,
    sums: OffsetDateTime,
) -> Result<u64> {
    let done = sqlx::query!(
        "WITH gone AS (DELETE FROM traffic_report WHERE ended_at < $1)
         DELETE FROM traffic WHERE minute < $2",
        reports,
        sums,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
