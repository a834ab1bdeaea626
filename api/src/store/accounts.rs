//! Users. The table is called account, since user is a reserved word of SQL.

use sqlx::PgExecutor;
use umail_proto::ids::{DomainId, UserId};

use crate::error::Result;

/// The domain of a user who may sign in: both are active.
pub async fn find_sign_in_domain(db: impl PgExecutor<'_>, id: UserId) -> Result<Option<DomainId>> {
    let row = sqlx::query_scalar!(
        "SELECT account.domain_id FROM account JOIN domain ON domain.id = account.domain_id
          WHERE account.id = $1 AND account.status = 1 AND domain.status = 1",
        id.uuid(),
    );
    Ok(row.fetch_optional(db).await?)
}

/// The active user of this address, with the hash of the password.
pub async fn find_password(
    db: impl PgExecutor<'_>,
    local_part: &str,
    domain: &str,
) -> Result<Option<(UserId, String)>> {
    let row = sqlx::query!(
        "SELECT account.id, credential.hash
           FROM account
           JOIN domain ON domain.id = account.domain_id
           JOIN credential ON credential.account_id = account.id AND credential.kind = 1
          WHERE account.local_part = $1 AND domain.name = $2
            AND account.status = 1 AND domain.status = 1",
        local_part,
        domain,
    );
    Ok(row.fetch_optional(db).await?.map(|row| (row.id, row.hash)))
}

/// The address of a user.
pub async fn find_address(db: impl PgExecutor<'_>, id: UserId) -> Result<Option<String>> {
    let row = sqlx::query_scalar!(
        r#"SELECT account.local_part || '@' || domain.name AS "address!"
             FROM account JOIN domain ON domain.id = account.domain_id WHERE account.id = $1"#,
        id.uuid(),
    );
    Ok(row.fetch_optional(db).await?)
}

/// Storage nodes whose view a user is in: where the mailbox is, and where it is moving from or to.
pub async fn find_nodes(
    db: impl PgExecutor<'_>,
    id: UserId,
) -> Result<Vec<umail_proto::ids::NodeId>> {
    let row = sqlx::query!(
        "SELECT storage_node_id, companion_node_id FROM account WHERE id = $1",
        id.uuid(),
    );
    let row = row.fetch_optional(db).await?;
    Ok(row
        .into_iter()
        .flat_map(|row| [row.storage_node_id, row.companion_node_id])
        .flatten()
        .collect())
}
