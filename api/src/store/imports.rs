//! Imports of users.

use std::collections::BTreeSet;

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_api_types::imports::{Format, ImportKey, ImportMode, ImportState};
use umail_proto::ids::{ApiKeyId, DomainId, ImportId, OperationId, UserId};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    model::{
        import::{Column, Counts, Import},
        page::Page,
    },
};

struct Row {
    id: ImportId,
    domain_id: Option<DomainId>,
    key: String,
    bulk: Option<serde_json::Value>,
    matched: Option<i64>,
    done_user: Option<UserId>,
    mode: String,
    dry_run: bool,
    state: String,
    format: String,
    columns: Vec<String>,
    received_bytes: i64,
    received_lines: i64,
    hashed_lines: i64,
    done_lines: i64,
    is_applied: bool,
    created: i64,
    changed: i64,
    unchanged: i64,
    refused: i64,
    operation_id: Option<OperationId>,
    failure: String,
    created_by: Uuid,
    by_operator: bool,
    api_key_id: Option<ApiKeyId>,
    request_id: String,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for Import {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |detail: &str| Error::corrupt("import", row.id, detail);
        let bulk = row.bulk.map(serde_json::from_value).transpose();
        let columns = row.columns.iter().map(|name| Column::from_name(name)).collect::<Option<_>>();
        Ok(Self {
            id: row.id,
            domain_id: row.domain_id,
            key: ImportKey::from_name(&row.key).ok_or_else(|| corrupt("key"))?,
            bulk: bulk.map_err(|cause| corrupt(&cause.to_string()))?,
            matched: row.matched,
            done_user: row.done_user,
            mode: ImportMode::from_name(&row.mode).ok_or_else(|| corrupt("mode"))?,
            dry_run: row.dry_run,
            state: ImportState::from_name(&row.state).ok_or_else(|| corrupt("state"))?,
            format: match row.format.as_str() {
                "csv" => Some(Format::Csv),
                "ndjson" => Some(Format::Ndjson),
                _ => None,
            },
            columns: columns.ok_or_else(|| corrupt("columns"))?,
            received_bytes: row.received_bytes,
            received_lines: row.received_lines,
            hashed_lines: row.hashed_lines,
            done_lines: row.done_lines,
            is_applied: row.is_applied,
            counts: Counts {
                created: row.created,
                changed: row.changed,
                unchanged: row.unchanged,
                refused: row.refused,
            },
            operation_id: row.operation_id,
            failure: row.failure,
            created_by: row.created_by,
            by_operator: row.by_operator,
            api_key_id: row.api_key_id,
            request_id: row.request_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Adds an import whose content is not there yet, or a bulk change that can begin.
pub async fn insert(db: impl PgExecutor<'_>, new: &Import) -> Result<()> {
    let bulk = new.bulk.as_ref().map(serde_json::to_value).transpose().map_err(Error::internal)?;
    sqlx::query!(
        "INSERT INTO import (id, domain_id, mode, dry_run, state, created_by, by_operator,
                             request_id, created_at, updated_at, key, bulk, operation_id,
                             api_key_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        new.id.uuid(),
        new.domain_id.map(DomainId::uuid),
        new.mode.name(),
        new.dry_run,
        new.state.name(),
        new.created_by,
        new.by_operator,
        new.request_id,
        new.created_at,
        new.updated_at,
        new.key.name(),
        bulk,
        new.operation_id.map(OperationId::uuid),
        new.api_key_id.map(ApiKeyId::uuid),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The import of this id.
pub async fn find(db: impl PgExecutor<'_>, id: ImportId) -> Result<Option<Import>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, domain_id, key, bulk, matched, done_user, mode, dry_run, state, format,
                columns, received_bytes, received_lines, hashed_lines, done_lines, is_applied,
                created, changed, unchanged, refused, operation_id, failure, created_by,
                by_operator, api_key_id, request_id, created_at, updated_at
           FROM import WHERE id = $1",
        id.uuid(),
    );
    row.fetch_optional(db).await?.map(Import::try_from).transpose()
}

/// A page of imports or of bulk changes, or of those that somebody began.
pub async fn list(
    db: impl PgExecutor<'_>,
    is_bulk: bool,
    created_by: Option<Uuid>,
    page: Page,
) -> Result<Vec<Import>> {
    sqlx::query_as!(
        Row,
        "SELECT id, domain_id, key, bulk, matched, done_user, mode, dry_run, state, format,
                columns, received_bytes, received_lines, hashed_lines, done_lines, is_applied,
                created, changed, unchanged, refused, operation_id, failure, created_by,
                by_operator, api_key_id, request_id, created_at, updated_at
           FROM import
          WHERE ($1::uuid IS NULL OR created_by = $1) AND ($2::uuid IS NULL OR id < $2)
            AND (bulk IS NOT NULL) = $4
          ORDER BY id DESC LIMIT $3",
        created_by,
        page.after,
        page.limit,
        is_bulk,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Import::try_from)
    .collect()
}

/// The imports that are at work, oldest first.
pub async fn list_running(db: impl PgExecutor<'_>) -> Result<Vec<ImportId>> {
    let ids = sqlx::query_scalar!("SELECT id FROM import WHERE state = 'running' ORDER BY id");
    Ok(ids.fetch_all(db).await?)
}

/// How many imports of somebody have not ended.
pub async fn count_open(db: impl PgExecutor<'_>, created_by: Uuid) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM import
            WHERE created_by = $1 AND state IN ('receiving', 'running')"#,
        created_by,
    )
    .fetch_one(db)
    .await?)
}

/// Notes how much has been received and of which kind it is; false if somebody else has sent
/// something meanwhile, or it has begun.
pub async fn receive(db: impl PgExecutor<'_>, before: &Import, after: &Import) -> Result<bool> {
    let format = match after.format {
        None => "",
        Some(Format::Csv) => "csv",
        Some(Format::Ndjson) => "ndjson",
    };
    let columns: Vec<_> = after.columns.iter().map(|one| one.name().to_owned()).collect();
    let done = sqlx::query!(
        "UPDATE import SET format = $3, columns = $4, received_bytes = $5, received_lines = $6,
                updated_at = $7
          WHERE id = $1 AND received_bytes = $2 AND state = 'receiving'",
        before.id.uuid(),
        before.received_bytes,
        format,
        &columns,
        after.received_bytes,
        after.received_lines,
        after.updated_at,
    );
    Ok(done.execute(db).await?.rows_affected() == 1)
}

/// Begins the work; false if it has begun, or somebody has sent something meanwhile.
pub async fn begin(
    db: impl PgExecutor<'_>,
    import: &Import,
    operation: OperationId,
    now: OffsetDateTime,
) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE import SET state = 'running', operation_id = $3, updated_at = $4
          WHERE id = $1 AND received_bytes = $2 AND state = 'receiving'",
        import.id.uuid(),
        import.received_bytes,
        operation.uuid(),
        now,
    );
    Ok(done.execute(db).await?.rows_affected() == 1)
}

/// Notes how far the work has come.
pub async fn update(db: impl PgExecutor<'_>, import: &Import) -> Result<()> {
    sqlx::query!(
        "UPDATE import SET state = $2, hashed_lines = $3, done_lines = $4, created = $5,
                changed = $6, unchanged = $7, refused = $8, failure = $9, updated_at = $10,
                is_applied = $11, matched = $12, done_user = $13
          WHERE id = $1",
        import.id.uuid(),
        import.state.name(),
        import.hashed_lines,
        import.done_lines,
        import.counts.created,
        import.counts.changed,
        import.counts.unchanged,
        import.counts.refused,
        import.failure,
        import.updated_at,
        import.is_applied,
        import.matched,
        import.done_user.map(UserId::uuid),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets the imports of somebody be counted and added to by one at a time, until the end of the
/// transaction.
pub async fn lock_all(db: impl PgExecutor<'_>, created_by: Uuid) -> Result<()> {
    let name = format!("imports of {created_by}");
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)
        .fetch_one(db)
        .await?;
    Ok(())
}

/// Lets nobody else work on this import until the end of the transaction, however long that rests;
/// false if somebody does.
pub async fn try_lock(db: &mut sqlx::PgConnection, id: ImportId) -> Result<bool> {
    let name = format!("import {id}");
    let got = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS "got!""#,
        name,
    );
    if !got.fetch_one(&mut *db).await? {
        return Ok(false);
    }
    sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = 0").execute(db).await?;
    Ok(true)
}

/// Lets no other import write into these domains, or with nothing into any, until the end of the
/// transaction. False if one does; what was got until then is kept as well.
pub async fn try_turn(
    db: &mut sqlx::PgConnection,
    domains: Option<&BTreeSet<DomainId>>,
) -> Result<bool> {
    let Some(domains) = domains else {
        let got = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_xact_lock(hashtext('umail.imports')) AS "got!""#
        );
        return Ok(got.fetch_one(db).await?);
    };
    let got = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock_shared(hashtext('umail.imports')) AS "got!""#
    );
    let mut got = got.fetch_one(&mut *db).await?;
    for domain in domains {
        let next = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_xact_lock(hashtext('umail.imports'), hashtext($1)) AS "got!""#,
            domain.to_string(),
        );
        got = got && next.fetch_one(&mut *db).await?;
    }
    Ok(got)
}

/// Fails if the lock is lost, as the connection was cut.
pub async fn check_lock(db: &mut sqlx::PgConnection) -> Result<()> {
    Ok(sqlx::Connection::ping(db).await?)
}

/// Removes an import with all that was received.
pub async fn delete(db: impl PgExecutor<'_>, id: ImportId) -> Result<bool> {
    let done = sqlx::query!("DELETE FROM import WHERE id = $1 AND state <> 'running'", id.uuid());
    Ok(done.execute(db).await?.rows_affected() > 0)
}

/// Forgets imports that ended before one time, and those whose content has not come on since
/// another.
pub async fn delete_before(
    db: impl PgExecutor<'_>,
    ended: OffsetDateTime,
    cut_off: OffsetDateTime,
) -> Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM import
          WHERE state IN ('succeeded', 'failed', 'cancelled') AND updated_at < $1
             OR state = 'receiving' AND updated_at < $2",
        ended,
        cut_off,
    );
    Ok(done.execute(db).await?.rows_affected())
}
