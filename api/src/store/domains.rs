//! Hosted mail domains. Those that were deleted keep their names and are not shown.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_api_types::status::Status;
use umail_proto::ids::DomainId;
use uuid::Uuid;

use crate::{
    error::{Error, OnConstraint, Result},
    model::{
        address::{DomainName, EmailAddress},
        domain::{Domain, DomainRef},
        functions,
        page::Page,
    },
};

struct Row {
    id: DomainId,
    name: String,
    status: i16,
    functions: i64,
    catch_all: String,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for Domain {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |detail: &str| Error::corrupt("domain", row.id, detail);
        let catch_all = Some(row.catch_all).filter(|address| !address.is_empty());
        let catch_all = catch_all.as_deref().map(EmailAddress::parse).transpose();
        Ok(Self {
            id: row.id,
            name: DomainName::parse(&row.name).map_err(|_cause| corrupt("name"))?,
            status: Status::from_number(row.status).ok_or_else(|| corrupt("status"))?,
            functions: functions::from_column(row.functions),
            catch_all: catch_all.map_err(|_cause| corrupt("catch_all"))?,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn split(domain: &DomainRef) -> (Option<Uuid>, Option<&str>) {
    match domain {
        DomainRef::Id(id) => (Some(id.uuid()), None),
        DomainRef::Name(name) => (None, Some(name.as_str())),
    }
}

/// The domain of this id or name.
pub async fn find(db: impl PgExecutor<'_>, domain: &DomainRef) -> Result<Option<Domain>> {
    let (id, name) = split(domain);
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, status, functions, catch_all, revision, created_at, updated_at
           FROM domain WHERE (id = $1 OR name = $2) AND deleted_at IS NULL",
        id,
        name,
    );
    row.fetch_optional(db).await?.map(Domain::try_from).transpose()
}

/// The same, locked until the end of the transaction.
pub async fn lock(db: impl PgExecutor<'_>, id: DomainId) -> Result<Domain> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, status, functions, catch_all, revision, created_at, updated_at
           FROM domain WHERE id = $1 AND deleted_at IS NULL FOR UPDATE",
        id.uuid(),
    );
    row.fetch_optional(db).await?.ok_or_else(|| Error::not_found("domain", id))?.try_into()
}

/// Keeps a domain from being deleted until the end of the transaction.
pub async fn hold(db: impl PgExecutor<'_>, id: DomainId) -> Result<()> {
    let row = sqlx::query_scalar!(
        "SELECT id FROM domain WHERE id = $1 AND deleted_at IS NULL FOR SHARE",
        id.uuid(),
    );
    row.fetch_optional(db).await?.map(|_| ()).ok_or_else(|| Error::not_found("domain", id))
}

/// A page of all domains, or of those among these.
pub async fn list(
    db: impl PgExecutor<'_>,
    among: Option<&[DomainId]>,
    page: Page,
) -> Result<Vec<Domain>> {
    let among: Option<Vec<Uuid>> = among.map(|ids| ids.iter().map(|one| one.uuid()).collect());
    sqlx::query_as!(
        Row,
        "SELECT id, name, status, functions, catch_all, revision, created_at, updated_at
           FROM domain
          WHERE deleted_at IS NULL AND ($1::uuid IS NULL OR id > $1)
            AND ($2::uuid[] IS NULL OR id = ANY ($2))
          ORDER BY id LIMIT $3",
        page.after,
        among.as_deref(),
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Domain::try_from)
    .collect()
}

/// Adds a domain.
pub async fn insert(db: impl PgExecutor<'_>, domain: &Domain) -> Result<()> {
    sqlx::query!(
        "INSERT INTO domain (id, name, status, functions, revision, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        domain.id.uuid(),
        domain.name.as_str(),
        domain.status.number(),
        functions::to_column(domain.functions),
        domain.revision,
        domain.created_at,
        domain.updated_at,
    )
    .execute(db)
    .await
    .on_constraint("domain_name_key", || Error::AlreadyExists {
        kind: "domain",
        name: domain.name.to_string(),
    })?;
    Ok(())
}

/// Writes a domain back.
pub async fn update(db: impl PgExecutor<'_>, domain: &Domain) -> Result<()> {
    sqlx::query!(
        "UPDATE domain
            SET status = $2, functions = $3, catch_all = $4, revision = $5, updated_at = $6
          WHERE id = $1",
        domain.id.uuid(),
        domain.status.number(),
        functions::to_column(domain.functions),
        domain.catch_all.as_ref().map_or("", EmailAddress::as_str),
        domain.revision,
        domain.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Marks a domain as deleted: mail for it is refused, its name stays taken.
pub async fn delete(db: impl PgExecutor<'_>, id: DomainId, now: OffsetDateTime) -> Result<()> {
    sqlx::query!(
        "UPDATE domain SET status = 6, deleted_at = $2, updated_at = $2, revision = revision + 1
          WHERE id = $1",
        id.uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts one address in the place of another one as the catch-all of a domain; false if it was not.
pub async fn retarget(
    db: impl PgExecutor<'_>,
    id: DomainId,
    (from, to): (&EmailAddress, &EmailAddress),
    now: OffsetDateTime,
) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE domain SET catch_all = $3, revision = revision + 1, updated_at = $4
          WHERE id = $1 AND catch_all = $2",
        id.uuid(),
        from.as_str(),
        to.as_str(),
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
