//! Automatic replies.

use sqlx::PgExecutor;
use umail_proto::ids::UserId;

use crate::{error::Result, model::autoreply::Autoreply};

/// That of a user, if one was ever set.
pub async fn find(db: impl PgExecutor<'_>, user: UserId) -> Result<Option<Autoreply>> {
    let row = sqlx::query_as!(
        Autoreply,
        r#"SELECT account_id AS "user_id: UserId", is_enabled, subject, text, starts_at, ends_at,
                  revision, updated_at
             FROM autoreply WHERE account_id = $1"#,
        user.uuid(),
    );
    Ok(row.fetch_optional(db).await?)
}

/// Writes that of a user, set before or not.
pub async fn upsert(db: impl PgExecutor<'_>, reply: &Autoreply) -> Result<()> {
    sqlx::query!(
        "INSERT INTO autoreply (account_id, is_enabled, subject, text, starts_at, ends_at, revision,
                                updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (account_id) DO UPDATE
            SET is_enabled = excluded.is_enabled, subject = excluded.subject, text = excluded.text,
                starts_at = excluded.starts_at, ends_at = excluded.ends_at,
                revision = excluded.revision, updated_at = excluded.updated_at",
        reply.user_id.uuid(),
        reply.is_enabled,
        reply.subject,
        reply.text,
        reply.starts_at,
        reply.ends_at,
        reply.revision,
        reply.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}
