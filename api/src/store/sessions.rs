//! Sessions: chains of refresh tokens, stored hashed.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{OperatorId, SessionId, UserId};
use uuid::Uuid;

use crate::error::Result;

/// Whose session it is: exactly one of the two.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// An operator.
    pub operator_id: Option<OperatorId>,
    /// A user.
    pub user_id: Option<UserId>,
}

/// Adds a session.
pub async fn insert(
    db: impl PgExecutor<'_>,
    id: SessionId,
    owner: Owner,
    refresh_hash: &[u8],
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO session (id, operator_id, account_id, refresh_hash, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        id.uuid(),
        owner.operator_id.map(OperatorId::uuid),
        owner.user_id.map(UserId::uuid),
        refresh_hash,
        created_at,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whose session it is, if it is still good.
pub async fn find_owner(
    db: impl PgExecutor<'_>,
    id: SessionId,
    now: OffsetDateTime,
) -> Result<Option<Owner>> {
    let row = sqlx::query!(
        "SELECT operator_id, account_id FROM session
          WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2",
        id.uuid(),
        now,
    );
    let row = row.fetch_optional(db).await?;
    Ok(row.map(|row| Owner { operator_id: row.operator_id, user_id: row.account_id }))
}

/// A session that a refresh token leads to, locked.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The session.
    pub id: SessionId,
    /// The token is the one that is valid now, not the one before.
    pub is_current: bool,
}

/// The session that is good and has or had this refresh token, locked.
pub async fn lock_by_refresh_hash(
    db: impl PgExecutor<'_>,
    hash: &[u8],
    now: OffsetDateTime,
) -> Result<Option<Found>> {
    let row = sqlx::query!(
        r#"SELECT id, refresh_hash = $1 AS "is_current!" FROM session
            WHERE (refresh_hash = $1 OR former_hash = $1)
              AND revoked_at IS NULL AND expires_at > $2
              FOR UPDATE"#,
        hash,
        now,
    );
    let row = row.fetch_optional(db).await?;
    Ok(row.map(|row| Found { id: row.id, is_current: row.is_current }))
}

/// Replaces the refresh token, and remembers the one before.
pub async fn rotate(db: impl PgExecutor<'_>, id: SessionId, hash: &[u8]) -> Result<()> {
    sqlx::query!(
        "UPDATE session SET former_hash = refresh_hash, refresh_hash = $2 WHERE id = $1",
        id.uuid(),
        hash,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends a session.
pub async fn revoke(db: impl PgExecutor<'_>, id: SessionId, now: OffsetDateTime) -> Result<()> {
    sqlx::query!("UPDATE session SET revoked_at = $2 WHERE id = $1", id.uuid(), now)
        .execute(db)
        .await?;
    Ok(())
}

/// Ends all sessions of an operator or user, except this one.
pub async fn revoke_of_owner(
    db: impl PgExecutor<'_>,
    owner: Uuid,
    except: Option<SessionId>,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "UPDATE session SET revoked_at = $3
          WHERE (operator_id = $1 OR account_id = $1) AND revoked_at IS NULL
            AND ($2::uuid IS NULL OR id <> $2)",
        owner,
        except.map(SessionId::uuid),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets sessions that ended before this time.
pub async fn delete_ended(db: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<u64> {
    let done = sqlx::query!("DELETE FROM session WHERE expires_at < $1 OR revoked_at < $1", before)
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}
