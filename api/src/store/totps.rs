//! Second factors.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{OperatorId, UserId};
use uuid::Uuid;

use crate::{error::Result, store::sessions::Owner};

/// A second factor.
#[derive(Clone)]
pub struct Stored {
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// When its first code was shown; before that nobody asks for it.
    pub confirmed_at: Option<OffsetDateTime>,
}

/// The factor of an operator or user.
pub async fn find(db: impl PgExecutor<'_>, owner: Uuid) -> Result<Option<Stored>> {
    let row = sqlx::query_as!(
        Stored,
        "SELECT sealed, confirmed_at FROM totp WHERE owner_id = $1",
        owner,
    );
    Ok(row.fetch_optional(db).await?)
}

/// Stores a factor that is not confirmed, in the place of another one such; false if there is one
/// that is confirmed.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    owner: Owner,
    sealed: &[u8],
    now: OffsetDateTime,
) -> Result<bool> {
    let (operator, user) =
        (owner.operator_id.map(OperatorId::uuid), owner.user_id.map(UserId::uuid));
    let done = sqlx::query!(
        "INSERT INTO totp (owner_id, operator_id, account_id, sealed, created_at)
         VALUES (coalesce($1::uuid, $2::uuid), $1, $2, $3, $4)
         ON CONFLICT (owner_id) DO UPDATE SET sealed = $3, created_at = $4
          WHERE totp.confirmed_at IS NULL",
        operator,
        user,
        sealed,
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Confirms a factor by the code of a time step; false if it is confirmed already.
pub async fn confirm(
    db: impl PgExecutor<'_>,
    owner: Uuid,
    step: i64,
    now: OffsetDateTime,
) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE totp SET confirmed_at = $3, last_step = $2
          WHERE owner_id = $1 AND confirmed_at IS NULL",
        owner,
        step,
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Uses up the code of a time step; false if it, or a newer one, was used.
pub async fn use_step(db: impl PgExecutor<'_>, owner: Uuid, step: i64) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE totp SET last_step = $2
          WHERE owner_id = $1 AND last_step < $2 AND confirmed_at IS NOT NULL",
        owner,
        step,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes a factor with its recovery codes; false if there is none.
pub async fn delete(db: impl PgExecutor<'_>, owner: Uuid) -> Result<bool> {
    let done = sqlx::query!("DELETE FROM totp WHERE owner_id = $1", owner).execute(db).await?;
    Ok(done.rows_affected() > 0)
}
