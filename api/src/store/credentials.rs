//! What users sign in with: a password, and app passwords.

use sqlx::PgExecutor;
use umail_proto::ids::{CredentialId, UserId};

use crate::error::Result;

/// The hash of a user's password.
pub async fn find_password_hash(db: impl PgExecutor<'_>, user: UserId) -> Result<Option<String>> {
    let row = sqlx::query_scalar!(
        "SELECT hash FROM credential WHERE account_id = $1 AND kind = 1",
        user.uuid(),
    );
    Ok(row.fetch_optional(db).await?)
}

/// Replaces the password of a user, and returns which credential it is.
pub async fn update_password(
    db: impl PgExecutor<'_>,
    user: UserId,
    hash: &str,
) -> Result<Option<CredentialId>> {
    let row = sqlx::query_scalar!(
        "UPDATE credential SET hash = $2 WHERE account_id = $1 AND kind = 1 RETURNING id",
        user.uuid(),
        hash,
    );
    Ok(row.fetch_optional(db).await?)
}
