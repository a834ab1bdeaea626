//! Lines of imports that were refused.

use sqlx::PgExecutor;
use umail_proto::ids::ImportId;

use crate::{
    error::Result,
    model::import::{Fault, Refused},
};

/// Adds lines that were refused.
pub async fn insert_all(
    db: impl PgExecutor<'_>,
    import: ImportId,
    refused: &[Refused],
) -> Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = refused.iter().map(|one| one.line).collect();
    let addresses: Vec<_> = refused.iter().map(|one| one.address.clone()).collect();
    let fields: Vec<_> = refused.iter().map(|one| one.fault.field.clone()).collect();
    let reasons: Vec<_> = refused.iter().map(|one| one.fault.reason.clone()).collect();
    sqlx::query!(
        "INSERT INTO import_error (import_id, line, address, field, reason)
         SELECT $1, line, address, field, reason
           FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[])
                AS new (line, address, field, reason)
         ON CONFLICT DO NOTHING",
        import.uuid(),
        &lines,
        &addresses,
        &fields,
        &reasons,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Errors after one, in the order of the lines.
pub async fn list(
    db: impl PgExecutor<'_>,
    import: ImportId,
    after: Option<&Refused>,
    limit: i64,
) -> Result<Vec<Refused>> {
    let (line, field) = after.map_or((-1, ""), |one| (one.line, one.fault.field.as_str()));
    let rows = sqlx::query!(
        "SELECT line, address, field, reason FROM import_error
          WHERE import_id = $1 AND (line, field) > ($2, $3) ORDER BY line, field LIMIT $4",
        import.uuid(),
        line,
        field,
        limit,
    );
    let rows = rows.fetch_all(db).await?.into_iter();
    let refused = rows.map(|row| Refused {
        line: row.line,
        address: row.address,
        fault: Fault { field: row.field, reason: row.reason },
    });
    Ok(refused.collect())
}

/// The commonest reasons among the errors that are kept of an import, each with how many there are.
pub async fn list_reasons(
    db: impl PgExecutor<'_>,
    import: ImportId,
    limit: i64,
) -> Result<Vec<(Fault, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT field, reason, count(*) AS "count!" FROM import_error
            WHERE import_id = $1
            GROUP BY field, reason ORDER BY count(*) DESC, field, reason LIMIT $2"#,
        import.uuid(),
        limit,
    );
    let rows = rows.fetch_all(db).await?.into_iter();
    Ok(rows.map(|row| (Fault { field: row.field, reason: row.reason }, row.count)).collect())
}

/// How many errors are kept of an import.
pub async fn count(db: impl PgExecutor<'_>, import: ImportId) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM import_error WHERE import_id = $1"#,
        import.uuid(),
    )
    .fetch_one(db)
    .await?)
}
