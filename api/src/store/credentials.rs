//! What users sign in with: a password, and app passwords.

use std::collections::HashMap;

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::{
    functions::Functions,
    ids::{CredentialId, NodeId, UserId},
};
use uuid::Uuid;

use crate::{
    error::Result,
    model::{
        credential::{AppPassword, AppPasswordUse},
        functions,
        page::Page,
    },
};

/// The hash of a user's password.
pub async fn find_password_hash(db: impl PgExecutor<'_>, user: UserId) -> Result<Option<String>> {
    let row = sqlx::query_scalar!(
        "SELECT hash FROM credential WHERE account_id = $1 AND kind = 1",
        user.uuid(),
    );
    Ok(row.fetch_optional(db).await?)
}

/// Sets the password of a user, given as its hash and whether it must be changed, and returns which
/// credential it is.
pub async fn upsert_password(
    db: impl PgExecutor<'_>,
    user: UserId,
    (hash, must_change): (&str, bool),
    now: OffsetDateTime,
) -> Result<CredentialId> {
    let row = sqlx::query_scalar!(
        "INSERT INTO credential (id, account_id, kind, hash, functions, created_at, must_change)
         VALUES ($1, $2, 1, $3, $4, $5, $6)
         ON CONFLICT (account_id) WHERE kind = 1
         DO UPDATE SET hash = excluded.hash, must_change = excluded.must_change
         RETURNING id",
        CredentialId::generate(now).uuid(),
        user.uuid(),
        hash,
        i64::MAX,
        now,
        must_change,
    );
    Ok(row.fetch_one(db).await?)
}

/// A page of the app passwords of a user.
pub async fn list_app_passwords(
    db: impl PgExecutor<'_>,
    user: UserId,
    page: Page,
) -> Result<Vec<AppPassword>> {
    let rows = sqlx::query!(
        "SELECT id, label, functions, expires_at, created_at, last_use_at, last_use_address
           FROM credential
          WHERE account_id = $1 AND kind = 2 AND id > $2
          ORDER BY id LIMIT $3",
        user.uuid(),
        page.after(),
        page.limit,
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| AppPassword {
        id: row.id,
        label: row.label,
        functions: functions::from_column(row.functions),
        expires_at: row.expires_at,
        created_at: row.created_at,
        last_used_at: row.last_use_at,
        last_client_address: row.last_use_address,
    });
    Ok(rows.collect())
}

/// Of each app password of a user, whether it is good still, and for what.
pub async fn list_scopes(
    db: impl PgExecutor<'_>,
    user: UserId,
    now: OffsetDateTime,
) -> Result<Vec<(bool, Functions)>> {
    let rows = sqlx::query!(
        r#"SELECT expires_at IS NULL OR expires_at > $2 AS "is_good!", functions FROM credential
            WHERE account_id = $1 AND kind = 2"#,
        user.uuid(),
        now,
    );
    let rows = rows.fetch_all(db).await?.into_iter();
    Ok(rows.map(|row| (row.is_good, functions::from_column(row.functions))).collect())
}

/// Adds an app password.
pub async fn insert_app_password(
    db: impl PgExecutor<'_>,
    user: UserId,
    new: &AppPassword,
    hash: &str,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO credential (id, account_id, kind, label, hash, functions, expires_at,
                                 created_at)
         VALUES ($1, $2, 2, $3, $4, $5, $6, $7)",
        new.id.uuid(),
        user.uuid(),
        new.label,
        hash,
        functions::to_column(new.functions),
        new.expires_at,
        new.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes when app passwords were used last. A node speaks for users whose mailboxes it holds, and
/// for all if they submit there: what others say is passed over. Rows are locked in order, since
/// several nodes may speak of one.
pub async fn note_uses(
    db: impl PgExecutor<'_>,
    node: NodeId,
    uses: &[(Uuid, AppPasswordUse)],
) -> Result<()> {
    let ids: Vec<_> = uses.iter().map(|(id, _)| *id).collect();
    let times: Vec<_> = uses.iter().map(|(_, one)| one.used_at).collect();
    let addresses: Vec<_> = uses.iter().map(|(_, one)| one.client_address.clone()).collect();
    sqlx::query!(
        "WITH own AS (
             SELECT credential.id FROM credential
               JOIN account ON account.id = account_id
               JOIN node ON node.id = $1
              WHERE credential.id = ANY ($2) AND kind = 2
                AND (storage_node_id = node.id OR 'smtp' = ANY (node.roles))
              ORDER BY credential.id FOR NO KEY UPDATE OF credential)
         UPDATE credential SET last_use_at = sent.used_at,
                last_use_address = sent.client_address
           FROM own, unnest($2::uuid[], $3::timestamptz[], $4::text[])
                     AS sent (id, used_at, client_address)
          WHERE credential.id = own.id AND sent.id = own.id
            AND (last_use_at IS NULL OR last_use_at < sent.used_at)",
        node.uuid(),
        &ids,
        &times,
        &addresses as &[Option<String>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes an app password of a user; false if there is none.
pub async fn delete_app_password(
    db: impl PgExecutor<'_>,
    user: UserId,
    id: CredentialId,
) -> Result<bool> {
    let done = sqlx::query!(
        "DELETE FROM credential WHERE id = $1 AND account_id = $2 AND kind = 2",
        id.uuid(),
        user.uuid(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes the password and all app passwords of a user, and returns which they were.
pub async fn delete_all(db: impl PgExecutor<'_>, user: UserId) -> Result<Vec<CredentialId>> {
    let rows = sqlx::query_scalar!(
        "DELETE FROM credential WHERE account_id = $1 RETURNING id",
        user.uuid(),
    );
    Ok(rows.fetch_all(db).await?)
}

/// The passwords of users: which credential it is, its hash, and whether it must be changed.
pub async fn list_passwords(
    db: impl PgExecutor<'_>,
    users: &[UserId],
) -> Result<HashMap<UserId, (String, bool)>> {
    let users: Vec<_> = users.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT account_id, hash, must_change FROM credential
          WHERE account_id = ANY ($1) AND kind = 1",
        &users,
    );
    let rows = rows.fetch_all(db).await?.into_iter();
    Ok(rows.map(|row| (row.account_id, (row.hash, row.must_change))).collect())
}

/// A password that is to be set, as its hash.
#[derive(Clone, Debug)]
pub struct NewPassword {
    /// Whose it is.
    pub user: UserId,
    /// The hash.
    pub hash: String,
    /// Whether it must be changed.
    pub must_change: bool,
}

/// Sets the passwords of many users, and returns which credentials they are.
pub async fn upsert_passwords(
    db: impl PgExecutor<'_>,
    new: &[NewPassword],
    now: OffsetDateTime,
) -> Result<Vec<(UserId, CredentialId)>> {
    let ids: Vec<_> = new.iter().map(|_| CredentialId::generate(now).uuid()).collect();
    let users: Vec<_> = new.iter().map(|one| one.user.uuid()).collect();
    let hashes: Vec<_> = new.iter().map(|one| one.hash.clone()).collect();
    let must_change: Vec<_> = new.iter().map(|one| one.must_change).collect();
    let rows = sqlx::query!(
        "INSERT INTO credential (id, account_id, kind, hash, functions, created_at, must_change)
         SELECT id, account_id, 1, hash, $5, $6, must_change
           FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[])
                AS new (id, account_id, hash, must_change)
         ON CONFLICT (account_id) WHERE kind = 1
         DO UPDATE SET hash = excluded.hash, must_change = excluded.must_change
         RETURNING account_id, id",
        &ids,
        &users,
        &hashes,
        &must_change,
        i64::MAX,
        now,
    );
    let rows = rows.fetch_all(db).await?.into_iter();
    Ok(rows.map(|row| (row.account_id, row.id)).collect())
}

/// Stores another hash of the same password, if it is the same still.
pub async fn rehash(
    db: impl PgExecutor<'_>,
    user: UserId,
    (before, after): (&str, &str),
) -> Result<Option<CredentialId>> {
    let row = sqlx::query_scalar!(
        "UPDATE credential SET hash = $3 WHERE account_id = $1 AND kind = 1 AND hash = $2
         RETURNING id",
        user.uuid(),
        before,
        after,
    );
    Ok(row.fetch_optional(db).await?)
}
