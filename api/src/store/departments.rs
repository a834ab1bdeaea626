//! Departments: a tree inside each domain.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{DepartmentId, DomainId, PlanId};
use uuid::Uuid;

use crate::{
    error::{Error, OnConstraint, Result},
    model::{
        department::Department,
        functions,
        page::{COUNTED, Found, Page},
    },
};

struct Row {
    id: DepartmentId,
    domain_id: DomainId,
    parent_id: Option<DepartmentId>,
    name: String,
    functions: i64,
    plan_id: Option<PlanId>,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl From<Row> for Department {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            domain_id: row.domain_id,
            parent_id: row.parent_id,
            name: row.name,
            functions: functions::from_column(row.functions),
            plan_id: row.plan_id,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A department and all below it.
pub async fn subtree(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    root: DepartmentId,
) -> Result<Vec<DepartmentId>> {
    let rows = sqlx::query_scalar!(
        r#"SELECT department_id AS "id!: DepartmentId" FROM department_above
            WHERE above_id = $2 AND EXISTS (SELECT FROM department WHERE domain_id = $1 AND id = $2)"#,
        domain.uuid(),
        root.uuid(),
    );
    Ok(rows.fetch_all(db).await?)
}

/// How many levels there are from a department down; one if nothing is below it.
pub async fn count_levels(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    root: DepartmentId,
) -> Result<usize> {
    let row = sqlx::query_scalar!(
        r#"WITH RECURSIVE below AS (
               SELECT id, 1 AS level FROM department WHERE domain_id = $1 AND id = $2
                UNION ALL
               SELECT child.id, level + 1 FROM department child JOIN below ON child.parent_id = below.id
                WHERE child.domain_id = $1 AND level < 100
           )
           SELECT coalesce(max(level), 1)::bigint AS "levels!" FROM below"#,
        domain.uuid(),
        root.uuid(),
    );
    Ok(row.fetch_one(db).await?.try_into().unwrap_or(usize::MAX))
}

/// A department and all above it, the nearest first.
pub async fn ancestors(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    from: DepartmentId,
) -> Result<Vec<DepartmentId>> {
    let rows = sqlx::query_scalar!(
        r#"WITH RECURSIVE above AS (
               SELECT id, parent_id, 0 AS depth FROM department WHERE domain_id = $1 AND id = $2
                UNION
               SELECT parent.id, parent.parent_id, depth + 1
                 FROM department parent JOIN above ON parent.id = above.parent_id
                WHERE parent.domain_id = $1 AND depth < 100
           )
           SELECT id AS "id!: DepartmentId" FROM above ORDER BY depth"#,
        domain.uuid(),
        from.uuid(),
    );
    Ok(rows.fetch_all(db).await?)
}

/// A department and all above it as rows, the highest first.
pub async fn list_above(
    db: &mut sqlx::PgConnection,
    domain: DomainId,
    from: DepartmentId,
) -> Result<Vec<Department>> {
    let ids = ancestors(&mut *db, domain, from).await?;
    let ids: Vec<Uuid> = ids.into_iter().rev().map(DepartmentId::uuid).collect();
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, domain_id, parent_id, name, functions, plan_id, revision, created_at,
                updated_at
           FROM department WHERE id = ANY ($1) ORDER BY array_position($1, id)",
        &ids,
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Department::from).collect())
}

/// The department of this id. Deleted domains have none.
pub async fn find(db: impl PgExecutor<'_>, id: DepartmentId) -> Result<Option<Department>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT department.id, domain_id, parent_id, department.name, department.functions,
                plan_id, department.revision, department.created_at, department.updated_at
           FROM department JOIN domain ON domain.id = domain_id
          WHERE department.id = $1 AND domain.deleted_at IS NULL",
        id.uuid(),
    );
    Ok(row.fetch_optional(db).await?.map(Department::from))
}

/// The same, locked until the end of the transaction.
pub async fn lock(db: impl PgExecutor<'_>, id: DepartmentId) -> Result<Department> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, domain_id, parent_id, name, functions, plan_id, revision, created_at,
                updated_at
           FROM department WHERE id = $1 FOR UPDATE",
        id.uuid(),
    );
    let row = row.fetch_optional(db).await?.ok_or_else(|| Error::not_found("department", id))?;
    Ok(row.into())
}

/// Locks the tree of a domain: who changes its shape sees what it is.
pub async fn lock_tree(db: impl PgExecutor<'_>, domain: DomainId) -> Result<()> {
    sqlx::query_scalar!("SELECT id FROM domain WHERE id = $1 FOR NO KEY UPDATE", domain.uuid())
        .fetch_optional(db)
        .await?;
    Ok(())
}

/// Departments, and what follows `WHERE`: each way to list them is a statement of its own.
macro_rules! select_departments {
    ($conditions:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT id, domain_id, parent_id, name, functions, plan_id, revision, created_at,
                    updated_at
               FROM department WHERE " + $conditions,
            $($argument),+
        )
    };
}

/// A page of the departments of a domain, or of those among these.
pub async fn list(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    among: Option<&[DepartmentId]>,
    page: Page,
) -> Result<Found<Department>> {
    if let Some(among) = among {
        let ids = page.of(among);
        let rows = select_departments!(
            "id = ANY ($2) AND domain_id = $1 ORDER BY id",
            domain.uuid(),
            &ids,
        );
        let rows = rows.fetch_all(db).await?.into_iter().map(Department::from);
        return Ok(Found::of_ids(rows.collect(), &ids, page));
    }
    let rows = select_departments!(
        "domain_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        domain.uuid(),
        page.after(),
        page.limit,
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(Department::from);
    Ok(rows.collect::<Vec<_>>().into())
}

/// A page of the departments of a domain directly below one, or below none.
pub async fn list_below(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    parent: Option<DepartmentId>,
    page: Page,
) -> Result<Vec<Department>> {
    let rows = match parent {
        Some(parent) => {
            select_departments!(
                "domain_id = $1 AND parent_id = $4 AND id > $2 ORDER BY id LIMIT $3",
                domain.uuid(),
                page.after(),
                page.limit,
                parent.uuid(),
            )
            .fetch_all(db)
            .await?
        }
        None => {
            select_departments!(
                "domain_id = $1 AND parent_id IS NULL AND id > $2 ORDER BY id LIMIT $3",
                domain.uuid(),
                page.after(),
                page.limit,
            )
            .fetch_all(db)
            .await?
        }
    };
    Ok(rows.into_iter().map(Department::from).collect())
}

/// Those of some departments of a domain that are below none.
pub async fn list_top(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    among: &[DepartmentId],
) -> Result<Vec<DepartmentId>> {
    let among: Vec<_> = among.iter().map(|id| id.uuid()).collect();
    let ids = sqlx::query_scalar!(
        "SELECT id FROM department WHERE id = ANY ($2) AND domain_id = $1 AND parent_id IS NULL",
        domain.uuid(),
        &among,
    );
    Ok(ids.fetch_all(db).await?)
}

/// How many departments a domain has, or these are, up to the bound of counts and one more.
pub async fn count(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    among: Option<&[DepartmentId]>,
) -> Result<i32> {
    if let Some(among) = among {
        return Ok(i32::try_from(among.len()).unwrap_or(i32::MAX));
    }
    let count = sqlx::query_scalar!(
        r#"SELECT count(*)::integer AS "count!"
             FROM (SELECT FROM department WHERE domain_id = $1 LIMIT $2::integer + 1) AS counted"#,
        domain.uuid(),
        COUNTED,
    );
    Ok(count.fetch_one(db).await?)
}

/// How many are directly below one, or below none.
pub async fn count_below(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    parent: Option<DepartmentId>,
) -> Result<i32> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*)::integer AS "count!"
             FROM (SELECT FROM department
                    WHERE domain_id = $1
                      AND (parent_id = $2 OR $2::uuid IS NULL AND parent_id IS NULL)
                    LIMIT $3::integer + 1) AS counted"#,
        domain.uuid(),
        parent.map(DepartmentId::uuid),
        COUNTED,
    );
    Ok(count.fetch_one(db).await?)
}

/// Adds a department.
pub async fn insert(db: impl PgExecutor<'_>, department: &Department) -> Result<()> {
    sqlx::query!(
        "INSERT INTO department (id, domain_id, parent_id, name, functions, revision, created_at,
                                 updated_at, plan_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        department.id.uuid(),
        department.domain_id.uuid(),
        department.parent_id.map(DepartmentId::uuid),
        department.name,
        functions::to_column(department.functions),
        department.revision,
        department.created_at,
        department.updated_at,
        department.plan_id.map(PlanId::uuid),
    )
    .execute(db)
    .await
    .on_constraint("department_name_key", || taken(department))
    .on_constraint("department_plan_id_fkey", no_plan)
    .on_constraint("department_parent_id_fkey", no_parent)?;
    Ok(())
}

/// Writes a department back.
pub async fn update(db: impl PgExecutor<'_>, department: &Department) -> Result<()> {
    sqlx::query!(
        "UPDATE department
            SET parent_id = $2, name = $3, functions = $4, revision = $5, updated_at = $6,
                plan_id = $7
          WHERE id = $1",
        department.id.uuid(),
        department.parent_id.map(DepartmentId::uuid),
        department.name,
        functions::to_column(department.functions),
        department.revision,
        department.updated_at,
        department.plan_id.map(PlanId::uuid),
    )
    .execute(db)
    .await
    .on_constraint("department_name_key", || taken(department))
    .on_constraint("department_plan_id_fkey", no_plan)
    .on_constraint("department_parent_id_fkey", no_parent)?;
    Ok(())
}

/// Removes a department that nothing is in.
pub async fn delete(db: impl PgExecutor<'_>, id: DepartmentId) -> Result<()> {
    let not_empty =
        || Error::Conflict("the department still has users, groups or departments".to_owned());
    sqlx::query!("DELETE FROM department WHERE id = $1", id.uuid())
        .execute(db)
        .await
        .on_constraint("account_department_id_fkey", not_empty)
        .on_constraint("mail_group_department_id_fkey", not_empty)
        .on_constraint("department_parent_id_fkey", not_empty)?;
    Ok(())
}

/// All departments of a domain.
pub async fn list_ids(db: impl PgExecutor<'_>, domain: DomainId) -> Result<Vec<DepartmentId>> {
    let rows = sqlx::query_scalar!(
        "SELECT id FROM department WHERE domain_id = $1 ORDER BY id",
        domain.uuid(),
    );
    Ok(rows.fetch_all(db).await?)
}

/// Removes the departments of a domain that goes and has no users any more.
pub async fn delete_all(db: impl PgExecutor<'_>, domain: DomainId) -> Result<()> {
    sqlx::query!("DELETE FROM department WHERE domain_id = $1", domain.uuid()).execute(db).await?;
    Ok(())
}

fn taken(department: &Department) -> Error {
    Error::AlreadyExists { kind: "department", name: department.name.clone() }
}

fn no_plan() -> Error {
    Error::invalid("/plan_id", "must be a plan that there is")
}

fn no_parent() -> Error {
    Error::invalid("/parent_id", "must be a department of the same domain")
}

/// All departments of some domains.
pub async fn list_of_domains(
    db: impl PgExecutor<'_>,
    domains: &[DomainId],
) -> Result<Vec<Department>> {
    let domains: Vec<_> = domains.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, domain_id, parent_id, name, functions, plan_id, revision, created_at,
                updated_at
           FROM department WHERE domain_id = ANY ($1) ORDER BY id",
        &domains,
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Department::from).collect())
}

/// Keeps departments from being removed or moved until the end of the transaction.
pub async fn hold_all(db: impl PgExecutor<'_>, ids: &[DepartmentId]) -> Result<()> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query_scalar!(
        "SELECT id FROM department WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE",
        &ids,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// The refusal of a place in a department that there is not.
pub(super) fn no_department() -> Error {
    Error::invalid("/department_id", "must be a department of the same domain")
}
