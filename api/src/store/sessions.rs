//! Sessions: chains of refresh tokens, stored hashed.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use umail_api_types::me::CallerKind;
use umail_proto::ids::{ApiKeyId, OperatorId, SessionId, UserId};
use uuid::Uuid;

use crate::{
    error::Result,
    model::{
        page::Page,
        session::{Client, LinkMaker, SignIn, link_maker},
    },
};

/// Whose session it is: exactly one of the two.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// An operator.
    pub operator_id: Option<OperatorId>,
    /// A user.
    pub user_id: Option<UserId>,
}

impl Owner {
    /// The id of the operator or user.
    #[must_use]
    pub fn id(&self) -> Uuid {
        let operator = self.operator_id.map(OperatorId::uuid);
        operator.or_else(|| self.user_id.map(UserId::uuid)).unwrap_or_default()
    }
}

impl From<OperatorId> for Owner {
    fn from(id: OperatorId) -> Self {
        Self { operator_id: Some(id), user_id: None }
    }
}

impl From<UserId> for Owner {
    fn from(id: UserId) -> Self {
        Self { operator_id: None, user_id: Some(id) }
    }
}

/// A session to be.
#[derive(Clone, Copy, Debug)]
pub struct New {
    /// Identifies it.
    pub id: SessionId,
    /// Whose it is.
    pub owner: Owner,
    /// Who made the login link that it is begun with; nothing: it is begun with a password.
    pub made_by: Option<LinkMaker>,
    /// From when on it is good.
    pub created_at: OffsetDateTime,
    /// Until when.
    pub expires_at: OffsetDateTime,
}

/// Adds a session.
pub async fn insert(
    db: impl PgExecutor<'_>,
    new: &New,
    refresh_hash: &[u8],
    client: &Client,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO session (id, operator_id, account_id, refresh_hash, created_at, expires_at,
                              last_used_at, client_address, user_agent, link_maker_id,
                              link_by_operator, link_api_key_id)
         VALUES ($1, $2, $3, $4, $5, $6, $5, $7, $8, $9, $10, $11)",
        new.id.uuid(),
        new.owner.operator_id.map(OperatorId::uuid),
        new.owner.user_id.map(UserId::uuid),
        refresh_hash,
        new.created_at,
        new.expires_at,
        client.address.map(|address| address.to_string()),
        client.user_agent,
        new.made_by.map(|maker| maker.id),
        new.made_by.map(|maker| maker.kind == CallerKind::Operator),
        new.made_by.and_then(|maker| maker.api_key_id).map(ApiKeyId::uuid),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A session that is good.
#[derive(Clone, Copy, Debug)]
pub struct Good {
    /// Whose it is.
    pub owner: Owner,
    /// When it was used last.
    pub last_used_at: OffsetDateTime,
    /// Whether somebody else set the password of the owner.
    pub must_change_password: bool,
    /// Whether the owner has a second factor.
    pub has_totp: bool,
    /// Who made the login link that it was begun with.
    pub made_by: Option<LinkMaker>,
}

/// The session, if it is still good.
pub async fn find_good(
    db: impl PgExecutor<'_>,
    id: SessionId,
    now: OffsetDateTime,
) -> Result<Option<Good>> {
    let row = sqlx::query!(
        r#"SELECT session.operator_id, session.account_id, last_used_at,
                  coalesce(operator.must_change_password, credential.must_change, false)
                      AS "must_change_password!",
                  EXISTS (SELECT FROM totp
                           WHERE owner_id = coalesce(session.operator_id, session.account_id)
                             AND confirmed_at IS NOT NULL) AS "has_totp!",
                  link_maker_id, link_by_operator, link_api_key_id
             FROM session
             LEFT JOIN operator ON operator.id = session.operator_id
             LEFT JOIN credential ON credential.account_id = session.account_id
                                 AND credential.kind = 1
            WHERE session.id = $1 AND revoked_at IS NULL AND session.expires_at > $2"#,
        id.uuid(),
        now,
    );
    let row = row.fetch_optional(db).await?;
    Ok(row.map(|row| Good {
        owner: Owner { operator_id: row.operator_id, user_id: row.account_id },
        last_used_at: row.last_used_at,
        must_change_password: row.must_change_password,
        has_totp: row.has_totp,
        made_by: link_maker(row.link_maker_id, row.link_by_operator, row.link_api_key_id),
    }))
}

/// Notes that a session was used.
pub async fn touch(db: impl PgExecutor<'_>, id: SessionId, now: OffsetDateTime) -> Result<()> {
    sqlx::query!("UPDATE session SET last_used_at = $2 WHERE id = $1", id.uuid(), now)
        .execute(db)
        .await?;
    Ok(())
}

/// A page of the sessions of an operator or user that are good.
pub async fn list(
    db: impl PgExecutor<'_>,
    owner: Uuid,
    page: Page,
    now: OffsetDateTime,
) -> Result<Vec<SignIn>> {
    let rows = sqlx::query!(
        "SELECT id, client_address, user_agent, created_at, last_used_at, expires_at,
                link_maker_id, link_by_operator, link_api_key_id
           FROM session
          WHERE (operator_id = $1 OR account_id = $1) AND revoked_at IS NULL AND expires_at > $2
            AND id > $3
          ORDER BY id LIMIT $4",
        owner,
        now,
        page.after(),
        page.limit,
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| SignIn {
        id: row.id,
        made_by: link_maker(row.link_maker_id, row.link_by_operator, row.link_api_key_id),
        client_address: row.client_address,
        user_agent: row.user_agent,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        expires_at: row.expires_at,
    });
    Ok(rows.collect())
}

/// A session that a refresh token leads to, locked.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The session.
    pub id: SessionId,
    /// Whose it is.
    pub owner: Owner,
    /// The token is the one that is valid now, not the one before.
    pub is_current: bool,
}

/// The session that has this refresh token, be it good or not.
pub async fn find_by_refresh_hash(
    db: impl PgExecutor<'_>,
    hash: &[u8],
) -> Result<Option<SessionId>> {
    let id = sqlx::query_scalar!("SELECT id FROM session WHERE refresh_hash = $1", hash);
    Ok(id.fetch_optional(db).await?)
}

/// The session that is good and has or had this refresh token, locked.
pub async fn lock_by_refresh_hash(
    db: impl PgExecutor<'_>,
    hash: &[u8],
    now: OffsetDateTime,
) -> Result<Option<Found>> {
    let row = sqlx::query!(
        r#"SELECT id, operator_id, account_id, refresh_hash = $1 AS "is_current!" FROM session
            WHERE (refresh_hash = $1 OR former_hash = $1)
              AND revoked_at IS NULL AND expires_at > $2
              FOR UPDATE"#,
        hash,
        now,
    );
    let row = row.fetch_optional(db).await?;
    Ok(row.map(|row| Found {
        id: row.id,
        owner: Owner { operator_id: row.operator_id, user_id: row.account_id },
        is_current: row.is_current,
    }))
}

/// Replaces the refresh token, remembers the one before, and notes from where.
pub async fn rotate(
    db: impl PgExecutor<'_>,
    id: SessionId,
    hash: &[u8],
    client: &Client,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "UPDATE session
            SET former_hash = refresh_hash, refresh_hash = $2, last_used_at = $3,
                client_address = $4, user_agent = $5
          WHERE id = $1",
        id.uuid(),
        hash,
        now,
        client.address.map(|address| address.to_string()),
        client.user_agent,
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

/// Ends a session of an operator or user; false if there is none that is good.
pub async fn revoke_one_of_owner(
    db: impl PgExecutor<'_>,
    owner: Uuid,
    id: SessionId,
    now: OffsetDateTime,
) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE session SET revoked_at = $3
          WHERE id = $2 AND (operator_id = $1 OR account_id = $1) AND revoked_at IS NULL
            AND expires_at > $3",
        owner,
        id.uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends all sessions of an operator or user, except this one, those of others that their login links
/// have begun, and the links that would begin more.
pub async fn revoke_of_owner(
    db: &mut PgConnection,
    owner: Uuid,
    except: Option<SessionId>,
    now: OffsetDateTime,
) -> Result<()> {
    // First, and by itself: whoever is being let in is then waited for, and found.
    sqlx::query!("DELETE FROM login_link WHERE account_id = $1", owner).execute(&mut *db).await?;
    sqlx::query!(
        "UPDATE session SET revoked_at = $3
          WHERE (operator_id = $1 OR account_id = $1 OR link_maker_id = $1)
            AND revoked_at IS NULL AND ($2::uuid IS NULL OR id <> $2)",
        owner,
        except.map(SessionId::uuid),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends what the login links of an API key have begun, and would begin.
pub async fn revoke_of_key(
    db: &mut PgConnection,
    key: ApiKeyId,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!("DELETE FROM login_link WHERE api_key_id = $1", key.uuid())
        .execute(&mut *db)
        .await?;
    sqlx::query!(
        "UPDATE session SET revoked_at = $2 WHERE link_api_key_id = $1 AND revoked_at IS NULL",
        key.uuid(),
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
