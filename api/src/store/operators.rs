//! Operators.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::OperatorId;
use uuid::Uuid;

use crate::{
    error::{Error, OnConstraint, Result},
    model::{
        operator::{Operator, OperatorName, OperatorRole},
        page::Page,
    },
};

struct Row {
    id: OperatorId,
    name: String,
    role: String,
    active: bool,
    must_change_password: bool,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for Operator {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |detail: &str| Error::corrupt("operator", row.id, detail);
        Ok(Self {
            id: row.id,
            name: OperatorName::parse(&row.name).map_err(|_cause| corrupt("name"))?,
            role: OperatorRole::from_name(&row.role).ok_or_else(|| corrupt("role"))?,
            active: row.active,
            must_change_password: row.must_change_password,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The operator of this id.
pub async fn find(db: impl PgExecutor<'_>, id: OperatorId) -> Result<Option<Operator>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, role, active, must_change_password, revision, created_at, updated_at
           FROM operator WHERE id = $1",
        id.uuid(),
    );
    row.fetch_optional(db).await?.map(Operator::try_from).transpose()
}

/// The same, locked until the end of the transaction.
pub async fn lock(db: impl PgExecutor<'_>, id: OperatorId) -> Result<Operator> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, role, active, must_change_password, revision, created_at, updated_at
           FROM operator WHERE id = $1 FOR UPDATE",
        id.uuid(),
    );
    let row = row.fetch_optional(db).await?.ok_or_else(|| Error::not_found("operator", id))?;
    row.try_into()
}

/// Id and password hash of the active operator of this name.
pub async fn find_password(
    db: impl PgExecutor<'_>,
    name: &str,
) -> Result<Option<(OperatorId, String)>> {
    let row =
        sqlx::query!("SELECT id, password_hash FROM operator WHERE name = $1 AND active", name);
    Ok(row.fetch_optional(db).await?.map(|row| (row.id, row.password_hash)))
}

/// A page of all operators.
pub async fn list(db: impl PgExecutor<'_>, page: Page) -> Result<Vec<Operator>> {
    sqlx::query_as!(
        Row,
        "SELECT id, name, role, active, must_change_password, revision, created_at, updated_at
           FROM operator WHERE id > $1 ORDER BY id LIMIT $2",
        page.after(),
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Operator::try_from)
    .collect()
}

/// What operators of these ids are called.
pub async fn list_names(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<(Uuid, String)>> {
    let rows = sqlx::query!("SELECT id, name FROM operator WHERE id = ANY ($1)", ids);
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id.uuid(), row.name)).collect())
}

/// Adds an operator.
pub async fn insert(db: impl PgExecutor<'_>, operator: &Operator, hash: &str) -> Result<()> {
    sqlx::query!(
        "INSERT INTO operator (id, name, role, password_hash, active, revision, created_at,
                               updated_at, must_change_password)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        operator.id.uuid(),
        operator.name.as_str(),
        operator.role.name(),
        hash,
        operator.active,
        operator.revision,
        operator.created_at,
        operator.updated_at,
        operator.must_change_password,
    )
    .execute(db)
    .await
    .on_constraint("operator_name_key", || Error::AlreadyExists {
        kind: "operator",
        name: operator.name.as_str().to_owned(),
    })?;
    Ok(())
}

/// Writes an operator back; the password only if there is a new one.
pub async fn update(
    db: impl PgExecutor<'_>,
    operator: &Operator,
    hash: Option<&str>,
) -> Result<()> {
    sqlx::query!(
        "UPDATE operator
            SET role = $2, active = $3, password_hash = coalesce($4, password_hash),
                revision = $5, updated_at = $6, must_change_password = $7
          WHERE id = $1",
        operator.id.uuid(),
        operator.role.name(),
        operator.active,
        hash,
        operator.revision,
        operator.updated_at,
        operator.must_change_password,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes an operator.
pub async fn delete(db: impl PgExecutor<'_>, id: OperatorId) -> Result<()> {
    sqlx::query!("DELETE FROM operator WHERE id = $1", id.uuid()).execute(db).await?;
    Ok(())
}

/// Locks the active system administrators and counts those other than this one.
pub async fn count_other_system_admins(db: impl PgExecutor<'_>, id: OperatorId) -> Result<usize> {
    let rows = sqlx::query_scalar!(
        "SELECT id FROM operator WHERE active AND role = 'system_admin' ORDER BY id FOR UPDATE",
    );
    let rows = rows.fetch_all(db).await?;
    Ok(rows.into_iter().filter(|one| *one != id).count())
}

/// The id of the operator of this name.
pub async fn find_id(db: impl PgExecutor<'_>, name: &str) -> Result<Option<OperatorId>> {
    let row = sqlx::query_scalar!("SELECT id FROM operator WHERE name = $1", name);
    Ok(row.fetch_optional(db).await?)
}

/// The password hash of the operator of this id.
pub async fn find_hash(db: impl PgExecutor<'_>, id: OperatorId) -> Result<Option<String>> {
    let row = sqlx::query_scalar!("SELECT password_hash FROM operator WHERE id = $1", id.uuid());
    Ok(row.fetch_optional(db).await?)
}
