//! Allowances of the system, of domains and of departments.

use sqlx::PgExecutor;
use umail_api_types::{
    allowances::LevelKind,
    limit::{Limit, Quota},
};
use umail_proto::ids::{DomainId, PlanId};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    model::allowance::{Allowance, Amounts, Limits},
};

/// The id of the system's row.
pub const SYSTEM: Uuid = Uuid::nil();

struct Row {
    id: Uuid,
    domain_id: Option<Uuid>,
    name: String,
    users_limit: Option<i64>,
    aliases_limit: Option<i64>,
    groups_limit: Option<i64>,
    departments_limit: Option<i64>,
    storage_limit_bytes: Option<i64>,
    overselling_percent: i32,
    users: i64,
    aliases: i64,
    groups: i64,
    departments: i64,
    storage_bytes: i64,
    unlimited_users: i64,
    revision: i64,
}

impl From<Row> for Allowance {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            level: match row.domain_id {
                None => LevelKind::System,
                Some(domain) if domain == row.id => LevelKind::Domain,
                Some(_) => LevelKind::Department,
            },
            name: row.name,
            limits: Limits {
                users: Limit::from_number(row.users_limit),
                aliases: Limit::from_number(row.aliases_limit),
                groups: Limit::from_number(row.groups_limit),
                departments: Limit::from_number(row.departments_limit),
                storage_bytes: Limit::from_number(row.storage_limit_bytes),
                overselling_percent: row.overselling_percent,
            },
            allocated: Amounts {
                users: row.users,
                aliases: row.aliases,
                groups: row.groups,
                departments: row.departments,
                storage_bytes: row.storage_bytes,
                unlimited_users: row.unlimited_users,
            },
            revision: row.revision,
        }
    }
}

/// Waits until nobody gives anything away, and keeps it so until the end of the transaction: whoever
/// does has locked a row. Rows can be read.
pub async fn lock_all(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!("LOCK TABLE allowance IN EXCLUSIVE MODE").execute(db).await?;
    Ok(())
}

/// Locks these allowances in this order until the end of the transaction. That of the system is
/// passed over while it has no limit.
pub async fn lock(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Allowance>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT allowance.id, allowance.domain_id,
                  coalesce(department.name, domain.name, '') AS "name!", users_limit,
                  aliases_limit, groups_limit, departments_limit, storage_limit_bytes,
                  overselling_percent, users, aliases, groups, departments, storage_bytes,
                  unlimited_users, allowance.revision
             FROM allowance
             LEFT JOIN domain ON domain.id = allowance.id
             LEFT JOIN department ON department.id = allowance.id
            WHERE allowance.id = ANY ($1) AND (allowance.domain_id IS NOT NULL OR is_limited)
            ORDER BY array_position($1, allowance.id) FOR UPDATE OF allowance"#,
        ids,
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Allowance::from).collect())
}

/// One allowance.
pub async fn find(db: impl PgExecutor<'_>, id: Uuid) -> Result<Allowance> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT allowance.id, allowance.domain_id,
                  coalesce(department.name, domain.name, '') AS "name!", users_limit,
                  aliases_limit, groups_limit, departments_limit, storage_limit_bytes,
                  overselling_percent, users, aliases, groups, departments, storage_bytes,
                  unlimited_users, allowance.revision
             FROM allowance
             LEFT JOIN domain ON domain.id = allowance.id
             LEFT JOIN department ON department.id = allowance.id
            WHERE allowance.id = $1"#,
        id,
    );
    let row = row.fetch_optional(db).await?;
    row.map(Allowance::from).ok_or_else(|| Error::corrupt("allowance", id, "is missing"))
}

/// Adds the allowance of a new domain or department, without a limit.
pub async fn insert(db: impl PgExecutor<'_>, id: Uuid, domain: DomainId) -> Result<()> {
    sqlx::query!("INSERT INTO allowance (id, domain_id) VALUES ($1, $2)", id, domain.uuid())
        .execute(db)
        .await?;
    Ok(())
}

/// Removes the allowance of a department that is removed.
pub async fn delete(db: impl PgExecutor<'_>, id: Uuid) -> Result<()> {
    sqlx::query!("DELETE FROM allowance WHERE id = $1", id).execute(db).await?;
    Ok(())
}

/// Removes the allowances of a domain that goes, and of its departments, with their seats.
pub async fn delete_of_domain(db: impl PgExecutor<'_>, domain: DomainId) -> Result<()> {
    sqlx::query!("DELETE FROM allowance WHERE domain_id = $1", domain.uuid()).execute(db).await?;
    Ok(())
}

/// Adds to the counters of a level, which locks it until the end of the transaction, and returns it as
/// it is then, without its name; nothing for the system while it has no limit. A sum stays within what
/// its column holds.
///
/// One row by its key: whoever waited for it finds the newest at once, while a statement over several
/// rows is begun anew for each, with everybody else in the domain waiting.
pub async fn add(db: impl PgExecutor<'_>, id: Uuid, more: &Amounts) -> Result<Option<Allowance>> {
    let row = sqlx::query_as!(
        Row,
        r#"UPDATE allowance
              SET users = users + $2, aliases = aliases + $3, departments = departments + $4,
                  storage_bytes =
                      least(storage_bytes::numeric + $5::bigint, 9223372036854775807)::bigint,
                  unlimited_users = unlimited_users + $6, groups = groups + $7
            WHERE id = $1 AND (domain_id IS NOT NULL OR is_limited)
           RETURNING id, domain_id, '' AS "name!", users_limit, aliases_limit, groups_limit,
                     departments_limit, storage_limit_bytes, overselling_percent, users, aliases,
                     groups, departments, storage_bytes, unlimited_users, revision"#,
        id,
        more.users,
        more.aliases,
        more.departments,
        more.storage_bytes,
        more.unlimited_users,
        more.groups,
    );
    Ok(row.fetch_optional(db).await?.map(Allowance::from))
}

/// Writes counters back, of allowances that are locked.
pub async fn update_allocated(db: impl PgExecutor<'_>, allowances: &[Allowance]) -> Result<()> {
    let column = |of: fn(&Amounts) -> i64| -> Vec<i64> {
        allowances.iter().map(|one| of(&one.allocated)).collect()
    };
    let ids: Vec<_> = allowances.iter().map(|one| one.id).collect();
    sqlx::query!(
        "UPDATE allowance
            SET users = new.users, aliases = new.aliases, departments = new.departments,
                storage_bytes = new.storage_bytes, unlimited_users = new.unlimited_users,
                groups = new.groups
           FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                       $6::bigint[], $7::bigint[])
                AS new (id, users, aliases, departments, storage_bytes, unlimited_users, groups)
          WHERE allowance.id = new.id",
        &ids,
        &column(|one| one.users),
        &column(|one| one.aliases),
        &column(|one| one.departments),
        &column(|one| one.storage_bytes),
        &column(|one| one.unlimited_users),
        &column(|one| one.groups),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes limits back.
pub async fn update_limits(db: impl PgExecutor<'_>, changed: &Allowance) -> Result<()> {
    let limits = &changed.limits;
    sqlx::query!(
        "UPDATE allowance
            SET users_limit = $2, aliases_limit = $3, departments_limit = $4,
                storage_limit_bytes = $5, overselling_percent = $6, revision = $7,
                groups_limit = $8
          WHERE id = $1",
        changed.id,
        limits.users.number(),
        limits.aliases.number(),
        limits.departments.number(),
        limits.storage_bytes.number(),
        limits.overselling_percent,
        changed.revision,
        limits.groups.number(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What all domains together have been given, counted from their counters.
pub async fn sum(db: impl PgExecutor<'_>) -> Result<Amounts> {
    Ok(sqlx::query_as!(
        Amounts,
        r#"SELECT coalesce(sum(users), 0)::bigint AS "users!",
                  coalesce(sum(aliases), 0)::bigint AS "aliases!",
                  coalesce(sum(groups), 0)::bigint AS "groups!",
                  coalesce(sum(departments), 0)::bigint AS "departments!",
                  least(coalesce(sum(storage_bytes), 0), 9223372036854775807)::bigint
                      AS "storage_bytes!",
                  coalesce(sum(unlimited_users), 0)::bigint AS "unlimited_users!"
             FROM allowance WHERE id = domain_id"#,
    )
    .fetch_one(db)
    .await?)
}

/// Locks the allowances of all levels that have users of a plan who have no quota of their own,
/// each domain's before those of its departments.
pub async fn lock_of_plan(db: impl PgExecutor<'_>, plan: PlanId) -> Result<()> {
    sqlx::query_scalar!(
        "SELECT id FROM allowance
          WHERE id IN (SELECT level_id FROM seat WHERE plan_id = $1 AND inheriting > 0)
          ORDER BY domain_id, id <> domain_id, id FOR UPDATE",
        plan.uuid(),
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Counts the users of a plan who have no quota of their own with another one, on every level.
pub async fn change_quota(
    db: impl PgExecutor<'_>,
    plan: PlanId,
    (before, after): (Quota, Quota),
) -> Result<()> {
    let unlimited = |quota: Quota| i64::from(quota.number().is_none());
    sqlx::query!(
        "UPDATE allowance
            SET storage_bytes = storage_bytes + inheriting * $2,
                unlimited_users = unlimited_users + inheriting * $3
           FROM (SELECT level_id, inheriting FROM seat WHERE plan_id = $1 AND inheriting > 0
                 UNION ALL
                 SELECT $4, coalesce(sum(inheriting), 0)::bigint
                   FROM seat JOIN domain ON domain.id = level_id WHERE plan_id = $1) AS held
          WHERE allowance.id = level_id AND (domain_id IS NOT NULL OR is_limited)",
        plan.uuid(),
        after.number().unwrap_or_default() - before.number().unwrap_or_default(),
        unlimited(after) - unlimited(before),
        SYSTEM,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The first hundred levels with users of a plan that have given away more storage than they
/// may, the system included.
pub async fn list_overdrawn(db: impl PgExecutor<'_>, plan: PlanId) -> Result<Vec<Allowance>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT allowance.id, allowance.domain_id,
                  coalesce(department.name, domain.name, '') AS "name!", users_limit,
                  aliases_limit, groups_limit, departments_limit, storage_limit_bytes,
                  overselling_percent, users, aliases, groups, departments, storage_bytes,
                  unlimited_users, allowance.revision
             FROM allowance
             LEFT JOIN domain ON domain.id = allowance.id
             LEFT JOIN department ON department.id = allowance.id
            WHERE (allowance.domain_id IS NULL OR allowance.id IN
                   (SELECT level_id FROM seat WHERE seat.plan_id = $1 AND inheriting > 0))
              AND (storage_bytes > storage_limit_bytes::numeric * overselling_percent / 100
                   OR storage_limit_bytes IS NOT NULL AND unlimited_users > 0)
            ORDER BY allowance.domain_id NULLS FIRST, allowance.id LIMIT 100"#,
        plan.uuid(),
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Allowance::from).collect())
}
