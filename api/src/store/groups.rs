//! Groups. The table is called `mail_group`, since group is a reserved word of SQL. Those of deleted
//! domains are shown only where that is said.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_api_types::groups::Posting;
use umail_proto::ids::{DepartmentId, DomainId, GroupId};
use uuid::Uuid;

use crate::{
    error::{Error, OnConstraint, Result},
    model::{
        address::{EmailAddress, LocalPart},
        department::Among,
        domain::Domain,
        group::{Group, GroupRef},
        page::{Found, Page},
        search::Search,
    },
    store::{
        departments::no_department,
        searches::{Wanted, count, of_departments, search},
    },
};

struct Row {
    id: GroupId,
    domain_id: DomainId,
    domain_name: String,
    department_id: Option<DepartmentId>,
    local_part: String,
    display_name: String,
    posting: i16,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for Group {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |detail: &str| Error::corrupt("mail_group", row.id, detail);
        let address = format!("{}@{}", row.local_part, row.domain_name);
        Ok(Self {
            id: row.id,
            domain_id: row.domain_id,
            department_id: row.department_id,
            local_part: LocalPart::parse(&row.local_part)
                .map_err(|_cause| corrupt("local_part"))?,
            address: EmailAddress::parse(&address).map_err(|_cause| corrupt("address"))?,
            display_name: row.display_name,
            posting: Posting::from_number(row.posting).ok_or_else(|| corrupt("posting"))?,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Groups, and what follows `WHERE`: each way to find them is a statement of its own.
macro_rules! select_groups {
    ($conditions:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT mail_group.id, mail_group.domain_id, domain.name AS domain_name, department_id,
                    mail_group.local_part, display_name, posting, mail_group.revision,
                    mail_group.created_at, mail_group.updated_at
               FROM mail_group JOIN domain ON domain.id = mail_group.domain_id
              WHERE domain.deleted_at IS NULL AND "
                + $conditions,
            $($argument),+
        )
    };
}

/// The group of this id or address.
pub async fn find(db: impl PgExecutor<'_>, group: &GroupRef) -> Result<Option<Group>> {
    let row = match group {
        GroupRef::Id(id) => {
            select_groups!("mail_group.id = $1", id.uuid()).fetch_optional(db).await?
        }
        GroupRef::Address(address) => {
            let (local_part, name) = address.parts();
            select_groups!(
                "mail_group.id = (SELECT owner_id FROM address JOIN domain ON domain.id = domain_id
                                   WHERE address.local_part = $1 AND domain.name = $2)",
                local_part,
                name,
            )
            .fetch_optional(db)
            .await?
        }
    };
    row.map(Group::try_from).transpose()
}

/// Locks a group until the end of the transaction; `find` then reads what holds.
pub async fn lock(db: impl PgExecutor<'_>, id: GroupId) -> Result<()> {
    sqlx::query_scalar!("SELECT id FROM mail_group WHERE id = $1 FOR UPDATE", id.uuid())
        .fetch_optional(db)
        .await?;
    Ok(())
}

/// A page of the groups of a domain, or of those in these departments, that are searched for.
pub async fn list(
    db: impl PgExecutor<'_> + Copy,
    domain: &Domain,
    among: &Among,
    search: Option<&Search>,
    page: Page,
) -> Result<Found<Group>> {
    let Some(wanted) = wanted(domain, among, search) else { return Ok(Vec::new().into()) };
    if wanted.term.is_none() {
        if *among == Among::All {
            return Ok(list_all(db, domain.id, page).await?.into());
        }
        let ids = of_departments!("mail_group_of_departments", db, wanted, page);
        return Ok(Found::of_ids(list_these(db, &ids).await?, &ids, page));
    }
    let (ids, upto) = search!("mail_group_search", db, wanted, page);
    Ok(Found::of_ids(list_these(db, &ids).await?, &ids, page).ended(upto))
}

/// How many those are, up to the bound of counts and one more.
pub async fn count(
    db: impl PgExecutor<'_>,
    domain: &Domain,
    among: &Among,
    search: Option<&Search>,
) -> Result<i32> {
    let Some(wanted) = wanted(domain, among, search) else { return Ok(0) };
    Ok(count!("mail_group_count", db, wanted))
}

fn wanted(domain: &Domain, among: &Among, search: Option<&Search>) -> Option<Wanted> {
    Some(Wanted::of(domain, search)?.among(among))
}

fn groups(rows: Vec<Row>) -> Result<Vec<Group>> {
    rows.into_iter().map(Group::try_from).collect()
}

async fn list_all(db: impl PgExecutor<'_>, domain: DomainId, page: Page) -> Result<Vec<Group>> {
    let rows = select_groups!(
        "mail_group.domain_id = $1 AND mail_group.id > $2 ORDER BY mail_group.id LIMIT $3",
        domain.uuid(),
        page.after(),
        page.limit,
    );
    groups(rows.fetch_all(db).await?)
}

/// The groups of these ids in their order.
async fn list_these(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Group>> {
    let rows = select_groups!(
        "mail_group.id = ANY ((SELECT $1::uuid[])::uuid[]) ORDER BY mail_group.id",
        ids,
    );
    groups(rows.fetch_all(db).await?)
}

/// Adds a group.
pub async fn insert(db: impl PgExecutor<'_>, group: &Group) -> Result<()> {
    sqlx::query!(
        "INSERT INTO mail_group (id, domain_id, department_id, local_part, display_name, posting,
                                 revision, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        group.id.uuid(),
        group.domain_id.uuid(),
        group.department_id.map(DepartmentId::uuid),
        group.local_part.as_str(),
        group.display_name,
        group.posting.number(),
        group.revision,
        group.created_at,
        group.updated_at,
    )
    .execute(db)
    .await
    .on_constraint("mail_group_department_id_fkey", no_department)?;
    Ok(())
}

/// Writes a group back.
pub async fn update(db: impl PgExecutor<'_>, group: &Group) -> Result<()> {
    sqlx::query!(
        "UPDATE mail_group
            SET department_id = $2, display_name = $3, posting = $4, revision = $5, updated_at = $6
          WHERE id = $1",
        group.id.uuid(),
        group.department_id.map(DepartmentId::uuid),
        group.display_name,
        group.posting.number(),
        group.revision,
        group.updated_at,
    )
    .execute(db)
    .await
    .on_constraint("mail_group_department_id_fkey", no_department)?;
    Ok(())
}

/// Removes a group with its members.
pub async fn delete(db: impl PgExecutor<'_>, id: GroupId) -> Result<()> {
    sqlx::query!("DELETE FROM mail_group WHERE id = $1", id.uuid()).execute(db).await?;
    Ok(())
}

/// Some of the groups of a domain, be it deleted or not, each with its department.
pub async fn list_ids(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    limit: i64,
) -> Result<Vec<(GroupId, Option<DepartmentId>)>> {
    let rows = sqlx::query!(
        "SELECT id, department_id FROM mail_group WHERE domain_id = $1 ORDER BY id LIMIT $2",
        domain.uuid(),
        limit,
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id, row.department_id)).collect())
}
