//! API keys: stored by the hashes of their secrets.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{ApiKeyId, DepartmentId, DomainId, OperatorId, UserId};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    model::{
        api_key::{ApiKey, KeyScope, role_from_name, role_name},
        network::Network,
        page::Page,
    },
    store::sessions::Owner,
};

struct Row {
    id: ApiKeyId,
    name: String,
    prefix: String,
    role: Option<String>,
    domain_id: Option<DomainId>,
    department_id: Option<DepartmentId>,
    read_only: bool,
    login_links: bool,
    networks: Vec<String>,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    last_used_at: Option<OffsetDateTime>,
    former_until: Option<OffsetDateTime>,
}

impl TryFrom<Row> for ApiKey {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |detail: &str| Error::corrupt("api_key", row.id, detail);
        let role = row.role.as_deref();
        let role =
            role.map(|role| role_from_name(role).ok_or_else(|| corrupt(role))).transpose()?;
        let networks = row.networks.iter().map(|one| one.parse::<Network>());
        let networks = networks.collect::<Result<_, _>>().map_err(|cause| corrupt(&cause))?;
        Ok(Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            scope: KeyScope {
                role,
                domain_id: row.domain_id,
                department_id: row.department_id,
                read_only: row.read_only,
                login_links: row.login_links,
            },
            networks,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            former_until: row.former_until,
        })
    }
}

/// Adds a key.
pub async fn insert(
    db: impl PgExecutor<'_>,
    owner: Owner,
    key: &ApiKey,
    secret_hash: &[u8],
) -> Result<()> {
    let networks: Vec<_> = key.networks.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "INSERT INTO api_key (id, operator_id, account_id, name, prefix, secret_hash, role, domain_id,
                              department_id, read_only, networks, created_at, expires_at,
                              login_links)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        key.id.uuid(),
        owner.operator_id.map(OperatorId::uuid),
        owner.user_id.map(UserId::uuid),
        key.name,
        key.prefix,
        secret_hash,
        key.scope.role.map(role_name),
        key.scope.domain_id.map(DomainId::uuid),
        key.scope.department_id.map(DepartmentId::uuid),
        key.scope.read_only,
        &networks,
        key.created_at,
        key.expires_at,
        key.scope.login_links,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many keys somebody has.
pub async fn count(db: impl PgExecutor<'_>, owner: Uuid) -> Result<i64> {
    let row = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM api_key WHERE operator_id = $1 OR account_id = $1"#,
        owner,
    );
    Ok(row.fetch_one(db).await?)
}

/// A page of the keys of somebody.
pub async fn list(db: impl PgExecutor<'_>, owner: Uuid, page: Page) -> Result<Vec<ApiKey>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, name, prefix, role, domain_id, department_id, read_only, login_links, networks,
                created_at, expires_at, last_used_at, former_until
           FROM api_key
          WHERE (operator_id = $1 OR account_id = $1) AND id > $2
          ORDER BY id LIMIT $3",
        owner,
        page.after(),
        page.limit,
    );
    rows.fetch_all(db).await?.into_iter().map(ApiKey::try_from).collect()
}

/// A key of somebody.
pub async fn find(db: impl PgExecutor<'_>, owner: Uuid, id: ApiKeyId) -> Result<Option<ApiKey>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, prefix, role, domain_id, department_id, read_only, login_links, networks,
                created_at, expires_at, last_used_at, former_until
           FROM api_key WHERE id = $2 AND (operator_id = $1 OR account_id = $1)",
        owner,
        id.uuid(),
    );
    row.fetch_optional(db).await?.map(ApiKey::try_from).transpose()
}

/// The same, locked until the end of the transaction.
pub async fn lock(db: impl PgExecutor<'_>, owner: Uuid, id: ApiKeyId) -> Result<Option<ApiKey>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, prefix, role, domain_id, department_id, read_only, login_links, networks,
                created_at, expires_at, last_used_at, former_until
           FROM api_key WHERE id = $2 AND (operator_id = $1 OR account_id = $1) FOR UPDATE",
        owner,
        id.uuid(),
    );
    row.fetch_optional(db).await?.map(ApiKey::try_from).transpose()
}

/// Lets nobody else make a key for this one until the end of the transaction.
pub async fn lock_all(db: impl PgExecutor<'_>, owner: Uuid) -> Result<()> {
    let name = format!("API keys of {owner}");
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)
        .fetch_one(db)
        .await?;
    Ok(())
}

/// A key that a secret leads to.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who made it.
    pub owner: Owner,
    /// The key.
    pub key: ApiKey,
    /// Until when this secret of it is good.
    pub until: OffsetDateTime,
    /// Whether somebody else set the password of the maker.
    pub must_change_password: bool,
    /// Whether the maker has a second factor.
    pub has_totp: bool,
}

/// The key that has or had this secret, be it good or not.
pub async fn find_by_hash(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<Option<Found>> {
    let row = sqlx::query!(
        r#"SELECT api_key.id, api_key.operator_id, api_key.account_id, api_key.name, prefix,
                  api_key.role, api_key.domain_id, department_id, read_only, login_links,
                  networks, api_key.created_at, api_key.expires_at, last_used_at, former_until,
                  secret_hash = $1 AS "is_current!",
                  coalesce(operator.must_change_password, credential.must_change, false)
                      AS "must_change_password!",
                  EXISTS (SELECT FROM totp
                           WHERE owner_id = coalesce(api_key.operator_id, api_key.account_id)
                             AND confirmed_at IS NOT NULL) AS "has_totp!"
             FROM api_key
             LEFT JOIN operator ON operator.id = api_key.operator_id
             LEFT JOIN credential ON credential.account_id = api_key.account_id
                                 AND credential.kind = 1
            WHERE secret_hash = $1 OR former_hash = $1"#,
        hash,
    );
    let Some(row) = row.fetch_optional(db).await? else { return Ok(None) };
    let former_until = row.former_until.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let until = if row.is_current { row.expires_at } else { row.expires_at.min(former_until) };
    let key = ApiKey::try_from(Row {
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        role: row.role,
        domain_id: row.domain_id,
        department_id: row.department_id,
        read_only: row.read_only,
        login_links: row.login_links,
        networks: row.networks,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        former_until: row.former_until,
    })?;
    Ok(Some(Found {
        owner: Owner { operator_id: row.operator_id, user_id: row.account_id },
        key,
        until,
        must_change_password: row.must_change_password,
        has_totp: row.has_totp,
    }))
}

/// Keeps a key from being removed until the end of the transaction; false if it is gone already.
pub async fn hold(db: impl PgExecutor<'_>, id: ApiKeyId) -> Result<bool> {
    let row = sqlx::query!("SELECT FROM api_key WHERE id = $1 FOR KEY SHARE", id.uuid());
    Ok(row.fetch_optional(db).await?.is_some())
}

/// The hash of the secret that a key has now.
pub async fn find_hash(db: impl PgExecutor<'_>, id: ApiKeyId) -> Result<Option<Vec<u8>>> {
    let hash = sqlx::query_scalar!("SELECT secret_hash FROM api_key WHERE id = $1", id.uuid());
    Ok(hash.fetch_optional(db).await?)
}

/// Notes that a key was used.
pub async fn touch(db: impl PgExecutor<'_>, id: ApiKeyId, now: OffsetDateTime) -> Result<()> {
    sqlx::query!("UPDATE api_key SET last_used_at = $2 WHERE id = $1", id.uuid(), now)
        .execute(db)
        .await?;
    Ok(())
}

/// Gives a key a new secret; the one before is good until a time.
pub async fn rotate(db: impl PgExecutor<'_>, key: &ApiKey, secret_hash: &[u8]) -> Result<()> {
    sqlx::query!(
        "UPDATE api_key
            SET former_hash = secret_hash, former_until = $2, secret_hash = $3, prefix = $4
          WHERE id = $1",
        key.id.uuid(),
        key.former_until,
        secret_hash,
        key.prefix,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a key.
pub async fn delete(db: impl PgExecutor<'_>, id: ApiKeyId) -> Result<()> {
    sqlx::query!("DELETE FROM api_key WHERE id = $1", id.uuid()).execute(db).await?;
    Ok(())
}

/// Removes all keys of a user.
pub async fn delete_of_user(db: impl PgExecutor<'_>, user: UserId) -> Result<()> {
    sqlx::query!("DELETE FROM api_key WHERE account_id = $1", user.uuid()).execute(db).await?;
    Ok(())
}

/// Removes keys that expired before this time.
pub async fn delete_expired(db: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<u64> {
    let done =
        sqlx::query!("DELETE FROM api_key WHERE expires_at < $1", before).execute(db).await?;
    Ok(done.rows_affected())
}
