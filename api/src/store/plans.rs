//! Plans.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_api_types::limit::Quota;
use umail_proto::ids::PlanId;

use crate::{
    error::{Error, OnConstraint, Result},
    model::{
        functions,
        page::Page,
        plan::{Plan, PlanRef},
        sending::SendingLimits,
    },
};

struct Row {
    id: PlanId,
    name: String,
    quota_bytes: Option<i64>,
    message_size_bytes: Option<i64>,
    messages_per_hour: Option<i64>,
    messages_per_day: Option<i64>,
    recipients_per_hour: Option<i64>,
    recipients_per_day: Option<i64>,
    functions: i64,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl From<Row> for Plan {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            name: row.name,
            quota: Quota::from_number(row.quota_bytes),
            sending: SendingLimits([
                row.message_size_bytes,
                row.messages_per_hour,
                row.messages_per_day,
                row.recipients_per_hour,
                row.recipients_per_day,
            ]),
            functions: functions::from_column(row.functions),
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The plan of this id or name.
pub async fn find(db: impl PgExecutor<'_>, plan: &PlanRef) -> Result<Option<Plan>> {
    let (id, name) = match plan {
        PlanRef::Id(id) => (Some(id.uuid()), None),
        PlanRef::Name(name) => (None, Some(name)),
    };
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, quota_bytes, message_size_bytes, messages_per_hour, messages_per_day,
                recipients_per_hour, recipients_per_day, functions, revision, created_at,
                updated_at
           FROM plan WHERE id = $1 OR name = $2",
        id,
        name,
    );
    Ok(row.fetch_optional(db).await?.map(Plan::from))
}

/// The plan of this id, which does not change until the end of the transaction.
pub async fn hold(db: impl PgExecutor<'_>, id: PlanId) -> Result<Option<Plan>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, quota_bytes, message_size_bytes, messages_per_hour, messages_per_day,
                recipients_per_hour, recipients_per_day, functions, revision, created_at,
                updated_at
           FROM plan WHERE id = $1 FOR SHARE",
        id.uuid(),
    );
    Ok(row.fetch_optional(db).await?.map(Plan::from))
}

/// The plan of this id, locked until the end of the transaction.
pub async fn lock(db: impl PgExecutor<'_>, id: PlanId) -> Result<Plan> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, quota_bytes, message_size_bytes, messages_per_hour, messages_per_day,
                recipients_per_hour, recipients_per_day, functions, revision, created_at,
                updated_at
           FROM plan WHERE id = $1 FOR UPDATE",
        id.uuid(),
    );
    let row = row.fetch_optional(db).await?;
    row.map(Plan::from).ok_or_else(|| Error::not_found("plan", id))
}

/// A page of all plans.
pub async fn list(db: impl PgExecutor<'_>, page: Page) -> Result<Vec<Plan>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, name, quota_bytes, message_size_bytes, messages_per_hour, messages_per_day,
                recipients_per_hour, recipients_per_day, functions, revision, created_at,
                updated_at
           FROM plan WHERE id > $1 ORDER BY id LIMIT $2",
        page.after(),
        page.limit,
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Plan::from).collect())
}

/// Adds a plan.
pub async fn insert(db: impl PgExecutor<'_>, plan: &Plan) -> Result<()> {
    let [size, messages_hour, messages_day, recipients_hour, recipients_day] = plan.sending.0;
    sqlx::query!(
        "INSERT INTO plan (id, name, quota_bytes, functions, revision, created_at, updated_at,
                           message_size_bytes, messages_per_hour, messages_per_day,
                           recipients_per_hour, recipients_per_day)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        plan.id.uuid(),
        plan.name,
        plan.quota.number(),
        functions::to_column(plan.functions),
        plan.revision,
        plan.created_at,
        plan.updated_at,
        size,
        messages_hour,
        messages_day,
        recipients_hour,
        recipients_day,
    )
    .execute(db)
    .await
    .on_constraint("plan_name_key", || taken(plan))?;
    Ok(())
}

/// Writes a plan back.
pub async fn update(db: impl PgExecutor<'_>, plan: &Plan) -> Result<()> {
    let [size, messages_hour, messages_day, recipients_hour, recipients_day] = plan.sending.0;
    sqlx::query!(
        "UPDATE plan
            SET name = $2, quota_bytes = $3, functions = $4, revision = $5, updated_at = $6,
                message_size_bytes = $7, messages_per_hour = $8, messages_per_day = $9,
                recipients_per_hour = $10, recipients_per_day = $11
          WHERE id = $1",
        plan.id.uuid(),
        plan.name,
        plan.quota.number(),
        functions::to_column(plan.functions),
        plan.revision,
        plan.updated_at,
        size,
        messages_hour,
        messages_day,
        recipients_hour,
        recipients_day,
    )
    .execute(db)
    .await
    .on_constraint("plan_name_key", || taken(plan))?;
    Ok(())
}

/// Removes a plan that nobody has.
pub async fn delete(db: &mut sqlx::PgConnection, id: PlanId) -> Result<()> {
    let in_use = || Error::Conflict("users have the plan still: give them another one".to_owned());
    let preset = || Error::Conflict("a department gives the plan to new users still".to_owned());
    sqlx::query!("DELETE FROM seat WHERE plan_id = $1 AND users = 0", id.uuid())
        .execute(&mut *db)
        .await?;
    sqlx::query!("DELETE FROM plan WHERE id = $1", id.uuid())
        .execute(db)
        .await
        .on_constraint("account_plan_id_fkey", in_use)
        .on_constraint("seat_plan_id_fkey", in_use)
        .on_constraint("department_plan_id_fkey", preset)?;
    Ok(())
}

fn taken(plan: &Plan) -> Error {
    Error::AlreadyExists { kind: "plan", name: plan.name.clone() }
}
