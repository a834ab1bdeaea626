//! Join tokens: what lets a machine become a node, once.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::JoinTokenId;

use crate::{
    error::{Error, Result},
    model::{join_token::JoinToken, node::Role, page::Page},
};

struct Row {
    id: JoinTokenId,
    node_name: String,
    roles: Vec<String>,
    expires_at: OffsetDateTime,
    used_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
}

impl TryFrom<Row> for JoinToken {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let roles = row.roles.iter().map(|name| Role::from_name(name)).collect::<Option<_>>();
        Ok(Self {
            id: row.id,
            node_name: row.node_name,
            roles: roles.ok_or_else(|| Error::corrupt("join_token", row.id, "roles"))?,
            expires_at: row.expires_at,
            used_at: row.used_at,
            created_at: row.created_at,
        })
    }
}

/// A page of the tokens.
pub async fn list(db: impl PgExecutor<'_>, page: Page) -> Result<Vec<JoinToken>> {
    sqlx::query_as!(
        Row,
        "SELECT id, node_name, roles, expires_at, used_at, created_at
           FROM join_token
          WHERE id > $1
          ORDER BY id
          LIMIT $2",
        page.after(),
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(JoinToken::try_from)
    .collect()
}

/// Adds a token with the hash of its text.
pub async fn insert(db: impl PgExecutor<'_>, token: &JoinToken, hash: &[u8]) -> Result<()> {
    let roles: Vec<_> = token.roles.iter().map(|role| role.name().to_owned()).collect();
    sqlx::query!(
        "INSERT INTO join_token (id, node_name, roles, hash, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        token.id.uuid(),
        token.node_name,
        &roles,
        hash,
        token.expires_at,
        token.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Uses a token up: of all who try, one gets it.
pub async fn take(
    db: impl PgExecutor<'_>,
    hash: &[u8],
    now: OffsetDateTime,
) -> Result<Option<JoinToken>> {
    sqlx::query_as!(
        Row,
        "UPDATE join_token SET used_at = $2
          WHERE hash = $1 AND used_at IS NULL AND expires_at > $2
      RETURNING id, node_name, roles, expires_at, used_at, created_at",
        hash,
        now,
    )
    .fetch_optional(db)
    .await?
    .map(JoinToken::try_from)
    .transpose()
}

/// Removes a token; gives what it was.
pub async fn delete(db: impl PgExecutor<'_>, id: JoinTokenId) -> Result<JoinToken> {
    sqlx::query_as!(
        Row,
        "DELETE FROM join_token WHERE id = $1
      RETURNING id, node_name, roles, expires_at, used_at, created_at",
        id.uuid(),
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| Error::not_found("join token", id))?
    .try_into()
}
