//! How many users of a domain or department have which plan. The rows belong to allowances, and
//! whoever changes them has locked those. Of the system only plans that are limited there have a
//! row: it makes all domains wait for each other.

use sqlx::{PgConnection, PgExecutor};
use umail_api_types::limit::Limit;
use umail_proto::ids::PlanId;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    model::plan::{Holders, Seats},
    store::allowances::SYSTEM,
};

/// What is given away of seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The domain or department; nil: the system.
    pub level: Uuid,
    /// The plan.
    pub plan: PlanId,
    /// Users.
    pub users: i64,
    /// Of these, users without a quota of their own.
    pub inheriting: i64,
}

/// The seats of a level, by the name of the plan.
pub async fn list(db: impl PgExecutor<'_>, level: Uuid) -> Result<Vec<Seats>> {
    let rows = sqlx::query!(
        "SELECT plan_id, name, users_limit, users FROM seat JOIN plan ON plan.id = plan_id
          WHERE level_id = $1 AND (users > 0 OR users_limit IS NOT NULL) ORDER BY name",
        level,
    );
    let seats = rows.fetch_all(db).await?.into_iter().map(|row| Seats {
        level,
        plan: row.plan_id,
        plan_name: row.name,
        limit: Limit::from_number(row.users_limit),
        users: row.users,
    });
    Ok(seats.collect())
}

/// Gives seats away, and returns what was given with how many there are afterwards.
pub async fn give(db: &mut PgConnection, given: &[Given]) -> Result<Vec<(Given, Seats)>> {
    let mut after = Vec::with_capacity(given.len());
    for one in given {
        let mut there = add(&mut *db, one).await?;
        if there.is_none() && one.level == SYSTEM {
            continue;
        }
        if there.is_none() {
            // The first ones of the plan in this level.
            insert(&mut *db, one.level, one.plan).await?;
            there = add(&mut *db, one).await?;
        }
        let there = there.ok_or_else(|| Error::corrupt("seat", one.level, "is missing"))?;
        after.push((*one, there));
    }
    Ok(after)
}

async fn add(db: impl PgExecutor<'_>, given: &Given) -> Result<Option<Seats>> {
    let row = sqlx::query!(
        "UPDATE seat SET users = seat.users + $3, inheriting = inheriting + $4
           FROM plan WHERE level_id = $1 AND plan_id = $2 AND plan.id = plan_id
         RETURNING users_limit, users, plan.name",
        given.level,
        given.plan.uuid(),
        given.users,
        given.inheriting,
    );
    Ok(row.fetch_optional(db).await?.map(|row| Seats {
        level: given.level,
        plan: given.plan,
        plan_name: row.name,
        limit: Limit::from_number(row.users_limit),
        users: row.users,
    }))
}

async fn insert(db: impl PgExecutor<'_>, level: Uuid, plan: PlanId) -> Result<()> {
    sqlx::query!("INSERT INTO seat (level_id, plan_id) VALUES ($1, $2)", level, plan.uuid())
        .execute(db)
        .await?;
    Ok(())
}

/// The seats in a level as what is given away of each plan.
pub async fn inside(db: impl PgExecutor<'_>, level: Uuid) -> Result<Vec<Given>> {
    let rows = sqlx::query!(
        "SELECT plan_id, users, inheriting FROM seat WHERE level_id = $1 AND users > 0",
        level,
    );
    let given = rows.fetch_all(db).await?.into_iter().map(|row| Given {
        level,
        plan: row.plan_id,
        users: row.users,
        inheriting: row.inheriting,
    });
    Ok(given.collect())
}

/// Limits how many users of a level may have a plan, and returns how many have it.
pub async fn limit(
    db: impl PgExecutor<'_>,
    level: Uuid,
    plan: PlanId,
    limit: Limit,
) -> Result<i64> {
    let users = sqlx::query_scalar!(
        "INSERT INTO seat (level_id, plan_id, users_limit) VALUES ($1, $2, $3)
         ON CONFLICT (level_id, plan_id) DO UPDATE SET users_limit = excluded.users_limit
         RETURNING users",
        level,
        plan.uuid(),
        limit.number(),
    );
    Ok(users.fetch_one(db).await?)
}

/// Limits how many users of the system may have a plan, and returns how many have it, while nobody
/// else gives anything away. Without a limit they are not counted.
pub async fn limit_system(db: &mut PgConnection, plan: PlanId, limit: Limit) -> Result<i64> {
    let Some(limit) = limit.number() else {
        sqlx::query!("DELETE FROM seat WHERE level_id = $1 AND plan_id = $2", SYSTEM, plan.uuid())
            .execute(db)
            .await?;
        return Ok(0);
    };
    let users = sqlx::query_scalar!(
        "INSERT INTO seat (level_id, plan_id, users_limit, users)
         SELECT $1, $2, $3, coalesce(sum(users), 0)
           FROM seat JOIN domain ON domain.id = level_id WHERE plan_id = $2
         ON CONFLICT (level_id, plan_id) DO UPDATE
            SET users_limit = excluded.users_limit, users = excluded.users
         RETURNING users",
        SYSTEM,
        plan.uuid(),
        limit,
    );
    Ok(users.fetch_one(db).await?)
}

/// Who has a plan, by domains.
pub async fn holders(db: &mut PgConnection, plan: PlanId) -> Result<Holders> {
    let sums = sqlx::query!(
        r#"SELECT coalesce(sum(users), 0)::bigint AS "users!", count(*) AS "domain_count!"
             FROM seat JOIN domain ON domain.id = level_id WHERE plan_id = $1 AND users > 0"#,
        plan.uuid(),
    )
    .fetch_one(&mut *db)
    .await?;
    let rows = sqlx::query!(
        "SELECT domain.id, name, users FROM seat JOIN domain ON domain.id = level_id
          WHERE plan_id = $1 AND users > 0 ORDER BY users DESC, domain.id LIMIT 100",
        plan.uuid(),
    )
    .fetch_all(db)
    .await?;
    Ok(Holders {
        users: sums.users,
        domain_count: sums.domain_count,
        domains: rows.into_iter().map(|row| (row.id, row.name, row.users)).collect(),
    })
}

/// The seats of some levels that are counted there.
pub async fn list_of_levels(db: impl PgExecutor<'_>, levels: &[Uuid]) -> Result<Vec<Seats>> {
    let rows = sqlx::query!(
        "SELECT level_id, plan_id, name, users_limit, users FROM seat JOIN plan ON plan.id = plan_id
          WHERE level_id = ANY ($1)",
        levels,
    );
    let seats = rows.fetch_all(db).await?.into_iter().map(|row| Seats {
        level: row.level_id,
        plan: row.plan_id,
        plan_name: row.name,
        limit: Limit::from_number(row.users_limit),
        users: row.users,
    });
    Ok(seats.collect())
}
