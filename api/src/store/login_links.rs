//! Login links: stored by the hashes of their secrets.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{ApiKeyId, LoginLinkId, SessionId, UserId};

use crate::{
    error::Result,
    model::login_link::{LoginLink, MadeWith},
};

/// Adds a link.
pub async fn insert(db: impl PgExecutor<'_>, link: &LoginLink, secret_hash: &[u8]) -> Result<()> {
    let (session, key) = match link.made_with {
        MadeWith::Session(id) => (Some(id), None),
        MadeWith::ApiKey(id) => (None, Some(id)),
    };
    sqlx::query!(
        "INSERT INTO login_link (id, account_id, secret_hash, session_id, api_key_id, created_at,
                                 expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        link.id.uuid(),
        link.user_id.uuid(),
        secret_hash,
        session.map(SessionId::uuid),
        key.map(ApiKeyId::uuid),
        link.created_at,
        link.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many links of a user are good.
pub async fn count(db: impl PgExecutor<'_>, user: UserId, now: OffsetDateTime) -> Result<i64> {
    let row = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM login_link
            WHERE account_id = $1 AND expires_at > $2 AND redeemed_at IS NULL"#,
        user.uuid(),
        now,
    );
    Ok(row.fetch_one(db).await?)
}

/// The link that has this secret, be it good or not.
pub async fn find_by_hash(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<Option<LoginLink>> {
    let row = sqlx::query!(
        "SELECT id, account_id, session_id, api_key_id, created_at, expires_at, redeemed_at
           FROM login_link WHERE secret_hash = $1",
        hash,
    );
    let Some(row) = row.fetch_optional(db).await? else { return Ok(None) };
    let session = row.session_id.map(MadeWith::Session);
    let made_with = session.or_else(|| row.api_key_id.map(MadeWith::ApiKey));
    Ok(made_with.map(|made_with| LoginLink {
        id: row.id,
        user_id: row.account_id,
        made_with,
        created_at: row.created_at,
        expires_at: row.expires_at,
        redeemed_at: row.redeemed_at,
    }))
}

/// Uses a link up; false if it is not good any more. Of several at the same time one succeeds.
pub async fn redeem(db: impl PgExecutor<'_>, id: LoginLinkId, now: OffsetDateTime) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE login_link SET redeemed_at = $2
          WHERE id = $1 AND redeemed_at IS NULL AND expires_at > $2",
        id.uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets links that expired before this time.
pub async fn delete_expired(db: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<u64> {
    let done =
        sqlx::query!("DELETE FROM login_link WHERE expires_at < $1", before).execute(db).await?;
    Ok(done.rows_affected())
}
