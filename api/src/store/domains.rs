//! Hosted mail domains. Those that were deleted keep their names, and are shown where that is said.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_api_types::status::Status;
use umail_proto::ids::DomainId;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    model::{
        address::{DomainName, EmailAddress},
        deletion::Deletion,
        domain::{Domain, DomainRef},
        functions,
        page::{COUNTED, Found, Page},
        search::Search,
    },
    store::{
        searches::{Wanted, count, search},
        uuids,
    },
};

struct Row {
    id: DomainId,
    name: String,
    status: i16,
    functions: i64,
    catch_all: String,
    deferred_until: Option<OffsetDateTime>,
    deleted_at: Option<OffsetDateTime>,
    purge_at: Option<OffsetDateTime>,
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
            deferred_until: row.deferred_until,
            deletion: Deletion::from_columns(row.deleted_at, row.purge_at, None),
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
    Ok(find_any(db, domain).await?.filter(|one| one.deletion.is_none()))
}

/// The same, be it deleted or not.
pub async fn find_any(db: impl PgExecutor<'_>, domain: &DomainRef) -> Result<Option<Domain>> {
    let (id, name) = split(domain);
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, status, functions, catch_all, deferred_until, deleted_at, purge_at,
                revision, created_at, updated_at
           FROM domain WHERE id = $1 OR name = $2",
        id,
        name,
    );
    row.fetch_optional(db).await?.map(Domain::try_from).transpose()
}

/// The same, locked until the end of the transaction.
pub async fn lock(db: impl PgExecutor<'_>, id: DomainId) -> Result<Domain> {
    let found = lock_any(db, id).await?.filter(|one| one.deletion.is_none());
    found.ok_or_else(|| Error::not_found("domain", id))
}

/// The same, be it deleted or not.
pub async fn lock_any(db: impl PgExecutor<'_>, id: DomainId) -> Result<Option<Domain>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, status, functions, catch_all, deferred_until, deleted_at, purge_at,
                revision, created_at, updated_at
           FROM domain WHERE id = $1 FOR UPDATE",
        id.uuid(),
    );
    row.fetch_optional(db).await?.map(Domain::try_from).transpose()
}

/// Keeps a domain from being deleted until the end of the transaction.
pub async fn hold(db: impl PgExecutor<'_>, id: DomainId) -> Result<()> {
    let row = sqlx::query_scalar!(
        "SELECT id FROM domain WHERE id = $1 AND deleted_at IS NULL FOR SHARE",
        id.uuid(),
    );
    row.fetch_optional(db).await?.map(|_| ()).ok_or_else(|| Error::not_found("domain", id))
}

/// The domains of these names or ids, each kept from being deleted until the end of the
/// transaction.
pub async fn hold_all(
    db: impl PgExecutor<'_>,
    names: &[String],
    id: Option<DomainId>,
) -> Result<Vec<Domain>> {
    sqlx::query_as!(
        Row,
        "SELECT id, name, status, functions, catch_all, deferred_until, deleted_at, purge_at,
                revision, created_at, updated_at
           FROM domain
          WHERE (name = ANY ($1) OR id = $2) AND deleted_at IS NULL
          ORDER BY id FOR SHARE",
        names,
        id.map(DomainId::uuid),
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Domain::try_from)
    .collect()
}

/// Domains, and what follows `WHERE`: each way to list them is a statement of its own.
macro_rules! select_domains {
    ($conditions:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT id, name, status, functions, catch_all, deferred_until, deleted_at, purge_at,
                    revision, created_at, updated_at
               FROM domain WHERE " + $conditions,
            $($argument),+
        )
    };
}

fn domains(rows: Vec<Row>) -> Result<Vec<Domain>> {
    rows.into_iter().map(Domain::try_from).collect()
}

/// A page of all domains, or of those among these; of those that have this in their names, if that is
/// searched for.
pub async fn list(
    db: impl PgExecutor<'_> + Copy,
    among: Option<&[DomainId]>,
    search: Option<&Search>,
    page: Page,
) -> Result<Found<Domain>> {
    match search {
        Some(search) => search_for(db, among, search, page).await,
        None => list_all(db, among, page).await,
    }
}

async fn list_all(
    db: impl PgExecutor<'_>,
    among: Option<&[DomainId]>,
    page: Page,
) -> Result<Found<Domain>> {
    if let Some(among) = among {
        let ids = page.of(among);
        let rows = select_domains!("id = ANY ($1) AND deleted_at IS NULL ORDER BY id", &ids);
        return Ok(Found::of_ids(domains(rows.fetch_all(db).await?)?, &ids, page));
    }
    let rows = select_domains!(
        "deleted_at IS NULL AND id > $1 ORDER BY id LIMIT $2",
        page.after(),
        page.limit,
    );
    Ok(domains(rows.fetch_all(db).await?)?.into())
}

async fn search_for(
    db: impl PgExecutor<'_> + Copy,
    among: Option<&[DomainId]>,
    search: &Search,
    page: Page,
) -> Result<Found<Domain>> {
    let term = search.of_domains();
    if let Some(among) = uuids(among) {
        let rows = select_domains!(
            "id = ANY ($1) AND id > $2 AND deleted_at IS NULL AND search_text LIKE like_pattern($3)
             ORDER BY id LIMIT $4",
            &among,
            page.after(),
            term,
            page.limit,
        );
        return Ok(domains(rows.fetch_all(db).await?)?.into());
    }
    let wanted = Wanted { term: Some(term), ..Wanted::default() };
    let (ids, upto) = search!("domain_search", db, wanted, page);
    let rows = select_domains!("id = ANY ($1) AND deleted_at IS NULL ORDER BY id", &ids);
    Ok(Found::of_ids(domains(rows.fetch_all(db).await?)?, &ids, page).ended(upto))
}

/// How many those are, up to the bound of counts and one more.
pub async fn count(
    db: impl PgExecutor<'_>,
    among: Option<&[DomainId]>,
    search: Option<&Search>,
) -> Result<i32> {
    let term = search.map(Search::of_domains);
    let Some(among) = uuids(among) else {
        let wanted = Wanted { term, ..Wanted::default() };
        return Ok(count!("domain_count", db, wanted));
    };
    let count = sqlx::query_scalar!(
        r#"SELECT count(*)::integer AS "count!"
             FROM (SELECT FROM domain
                    WHERE id = ANY ($1) AND deleted_at IS NULL
                      AND ($2::text IS NULL OR search_text LIKE like_pattern($2))
                    LIMIT $3::integer + 1) AS counted"#,
        &among,
        term,
        COUNTED,
    );
    Ok(count.fetch_one(db).await?)
}

/// A page of the domains that were deleted, and have this in their names.
pub async fn list_deleted(
    db: impl PgExecutor<'_>,
    search: Option<&Search>,
    page: Page,
) -> Result<Vec<Domain>> {
    let rows = select_domains!(
        "deleted_at IS NOT NULL AND id > $1
         AND ($3::text IS NULL OR search_text LIKE like_pattern($3))
         ORDER BY id LIMIT $2",
        page.after(),
        page.limit,
        search.map(Search::of_domains),
    );
    domains(rows.fetch_all(db).await?)
}

/// How many those are, up to the bound of counts and one more.
pub async fn count_deleted(db: impl PgExecutor<'_>, search: Option<&Search>) -> Result<i32> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*)::integer AS "count!"
             FROM (SELECT FROM domain
                    WHERE deleted_at IS NOT NULL
                      AND ($1::text IS NULL OR search_text LIKE like_pattern($1))
                    LIMIT $2::integer + 1) AS counted"#,
        search.map(Search::of_domains),
        COUNTED,
    );
    Ok(count.fetch_one(db).await?)
}

/// Adds a domain, whose name was taken for it.
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
    .await?;
    Ok(())
}

/// Gives a domain another name, which was taken for it.
pub async fn update_name(db: impl PgExecutor<'_>, id: DomainId, name: &DomainName) -> Result<()> {
    sqlx::query!("UPDATE domain SET name = $2 WHERE id = $1", id.uuid(), name.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// Writes a domain back, its deletion included; the name is written by `update_name`.
pub async fn update(db: impl PgExecutor<'_>, domain: &Domain) -> Result<()> {
    sqlx::query!(
        "UPDATE domain
            SET status = $2, functions = $3, catch_all = $4, revision = $5, updated_at = $6,
                deferred_until = $7, deleted_at = $8, purge_at = $9
          WHERE id = $1",
        domain.id.uuid(),
        domain.status.number(),
        functions::to_column(domain.functions),
        domain.catch_all.as_ref().map_or("", EmailAddress::as_str),
        domain.revision,
        domain.updated_at,
        domain.deferred_until,
        domain.deletion.map(|one| one.deleted_at),
        domain.deletion.map(|one| one.purge_at),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets the catch-all of a domain lead nowhere if it leads to this address; true if it did.
pub async fn clear_catch_all(
    db: impl PgExecutor<'_>,
    id: DomainId,
    address: &EmailAddress,
    now: OffsetDateTime,
) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE domain SET catch_all = '', revision = revision + 1, updated_at = $3
          WHERE id = $1 AND catch_all = $2",
        id.uuid(),
        address.as_str(),
        now,
    );
    Ok(done.execute(db).await?.rows_affected() > 0)
}

/// Removes a domain that nothing is in.
pub async fn delete(db: impl PgExecutor<'_>, id: DomainId) -> Result<()> {
    sqlx::query!("DELETE FROM domain WHERE id = $1", id.uuid()).execute(db).await?;
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
