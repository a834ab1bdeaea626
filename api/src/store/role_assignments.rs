//! Roles of users beyond that of a user. Those of deleted users, and those that are good in
//! deleted domains, are not shown; they come back with what was deleted.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_api_types::status::Status;
use umail_proto::ids::{DepartmentId, DomainId, RoleAssignmentId, UserId};

use crate::{
    error::{Error, OnConstraint, Result},
    model::{
        address::EmailAddress, department::Among, page::Page, role::Grant,
        role_assignment::RoleAssignment,
    },
    store::uuids,
};

struct Row {
    id: RoleAssignmentId,
    account_id: UserId,
    local_part: String,
    domain_name: String,
    domain_id: DomainId,
    department_id: Option<DepartmentId>,
    created_at: OffsetDateTime,
}

impl TryFrom<Row> for RoleAssignment {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let address = format!("{}@{}", row.local_part, row.domain_name);
        Ok(Self {
            id: row.id,
            user_id: row.account_id,
            user_address: EmailAddress::parse(&address)
                .map_err(|_cause| Error::corrupt("account", row.account_id, "address"))?,
            domain_id: row.domain_id,
            department_id: row.department_id,
            created_at: row.created_at,
        })
    }
}

/// What a user may do now, and the status of the domain where: while it is suspended or closed the
/// role is there to look only. Roles in deleted domains are of no effect.
pub async fn list_effective(db: impl PgExecutor<'_>, user: UserId) -> Result<Vec<(Grant, Status)>> {
    let rows = sqlx::query!(
        "SELECT role_assignment.domain_id, department_id, domain.status
           FROM role_assignment JOIN domain ON domain.id = role_assignment.domain_id
          WHERE account_id = $1 AND domain.deleted_at IS NULL
          ORDER BY role_assignment.id",
        user.uuid(),
    );
    let effective = rows.fetch_all(db).await?.into_iter().map(|row| {
        let status = Status::from_number(row.status);
        let status = status.ok_or_else(|| Error::corrupt("domain", row.domain_id, "status"))?;
        Ok((Grant { domain_id: row.domain_id, department_id: row.department_id }, status))
    });
    effective.collect()
}

/// A page of the role assignments of a user; of those that are good in these domains or in these
/// departments, if only some are to be seen.
pub async fn list_of_user(
    db: impl PgExecutor<'_>,
    user: UserId,
    among: Option<&(Vec<DomainId>, Vec<DepartmentId>)>,
    page: Page,
) -> Result<Vec<RoleAssignment>> {
    let domains = uuids(among.map(|(domains, _)| domains.as_slice()));
    let departments = uuids(among.map(|(_, departments)| departments.as_slice()));
    sqlx::query_as!(
        Row,
        "SELECT role_assignment.id, account_id, local_part, home.name AS domain_name,
                role_assignment.domain_id, role_assignment.department_id,
                role_assignment.created_at
           FROM role_assignment
           JOIN domain ON domain.id = role_assignment.domain_id
           JOIN account ON account.id = account_id
           JOIN domain home ON home.id = account.domain_id
          WHERE account_id = $1 AND role_assignment.id > $2
            AND ($3::uuid[] IS NULL OR role_assignment.domain_id = ANY ($3)
                 OR role_assignment.department_id = ANY ($4))
            AND domain.deleted_at IS NULL
          ORDER BY role_assignment.id LIMIT $5",
        user.uuid(),
        page.after(),
        domains.as_deref(),
        departments.as_deref(),
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(RoleAssignment::try_from)
    .collect()
}

/// A page of the role assignments that are good in a domain, or in these departments of it.
pub async fn list_of_domain(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    among: &Among,
    page: Page,
) -> Result<Vec<RoleAssignment>> {
    let (these, tops) = (uuids(among.these()), uuids(among.tops()));
    sqlx::query_as!(
        Row,
        "SELECT role_assignment.id, account_id, local_part, home.name AS domain_name,
                role_assignment.domain_id, role_assignment.department_id,
                role_assignment.created_at
           FROM role_assignment
           JOIN account ON account.id = account_id
           JOIN domain home ON home.id = account.domain_id
          WHERE role_assignment.domain_id = $1
            AND role_assignment.id > $2
            AND ($3::uuid[] IS NULL OR role_assignment.department_id = ANY ($3))
            AND ($5::uuid[] IS NULL
                 OR EXISTS (SELECT FROM department_above AS above
                             WHERE above.department_id = role_assignment.department_id
                               AND above_id = ANY ($5)))
            AND account.deleted_at IS NULL AND home.deleted_at IS NULL
          ORDER BY role_assignment.id LIMIT $4",
        domain.uuid(),
        page.after(),
        these.as_deref(),
        page.limit,
        tops.as_deref(),
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(RoleAssignment::try_from)
    .collect()
}

/// The role assignment of this id.
pub async fn find(db: impl PgExecutor<'_>, id: RoleAssignmentId) -> Result<Option<RoleAssignment>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT role_assignment.id, account_id, local_part, home.name AS domain_name,
                role_assignment.domain_id, role_assignment.department_id,
                role_assignment.created_at
           FROM role_assignment
           JOIN domain ON domain.id = role_assignment.domain_id
           JOIN account ON account.id = account_id
           JOIN domain home ON home.id = account.domain_id
          WHERE role_assignment.id = $1 AND domain.deleted_at IS NULL
            AND account.deleted_at IS NULL AND home.deleted_at IS NULL",
        id.uuid(),
    );
    row.fetch_optional(db).await?.map(RoleAssignment::try_from).transpose()
}

/// Those of a department, be their users deleted or not.
pub async fn list_of_department(
    db: impl PgExecutor<'_>,
    department: DepartmentId,
) -> Result<Vec<RoleAssignment>> {
    sqlx::query_as!(
        Row,
        "SELECT role_assignment.id, account_id, local_part, home.name AS domain_name,
                role_assignment.domain_id, role_assignment.department_id,
                role_assignment.created_at
           FROM role_assignment
           JOIN account ON account.id = account_id
           JOIN domain home ON home.id = account.domain_id
          WHERE role_assignment.department_id = $1
          ORDER BY role_assignment.id",
        department.uuid(),
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(RoleAssignment::try_from)
    .collect()
}

/// Whether anybody administers this department itself.
pub async fn is_administered(db: impl PgExecutor<'_>, department: DepartmentId) -> Result<bool> {
    let row = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM role_assignment WHERE department_id = $1) AS "is!""#,
        department.uuid(),
    );
    Ok(row.fetch_one(db).await?)
}

/// Adds a role assignment.
pub async fn insert(db: impl PgExecutor<'_>, assignment: &RoleAssignment) -> Result<()> {
    let grant = assignment.grant();
    sqlx::query!(
        "INSERT INTO role_assignment (id, account_id, role, domain_id, department_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        assignment.id.uuid(),
        assignment.user_id.uuid(),
        grant.role().name(),
        grant.domain_id.uuid(),
        grant.department_id.map(DepartmentId::uuid),
        assignment.created_at,
    )
    .execute(db)
    .await
    .on_constraint("role_assignment_key", || Error::AlreadyExists {
        kind: "role assignment",
        name: format!("of {} as {}", assignment.user_address, grant.role().name()),
    })
    .on_constraint("role_assignment_department_id_fkey", || {
        Error::invalid("/department_id", "must be a department of the domain")
    })?;
    Ok(())
}

/// Removes a role assignment.
pub async fn delete(db: impl PgExecutor<'_>, id: RoleAssignmentId) -> Result<()> {
    sqlx::query!("DELETE FROM role_assignment WHERE id = $1", id.uuid()).execute(db).await?;
    Ok(())
}

/// Removes all that are good in a domain that goes.
pub async fn delete_of_domain(db: impl PgExecutor<'_>, domain: DomainId) -> Result<()> {
    sqlx::query!("DELETE FROM role_assignment WHERE domain_id = $1", domain.uuid())
        .execute(db)
        .await?;
    Ok(())
}
