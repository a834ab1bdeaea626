//! Every address that is taken, whatever takes it.

use sqlx::PgExecutor;
use umail_proto::ids::DomainId;
use uuid::Uuid;

use crate::{
    error::{Error, OnConstraint, Result},
    model::address::{EmailAddress, LocalPart},
};

/// Takes an address for a user, an alias or a group.
pub async fn insert(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    local_part: &LocalPart,
    owner: Uuid,
    address: &EmailAddress,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO address (domain_id, local_part, owner_id) VALUES ($1, $2, $3)",
        domain.uuid(),
        local_part.as_str(),
        owner,
    )
    .execute(db)
    .await
    .on_constraint("address_pkey", || Error::AlreadyExists {
        kind: "address",
        name: address.to_string(),
    })?;
    Ok(())
}

/// Gives an address back.
pub async fn delete(db: impl PgExecutor<'_>, owner: Uuid) -> Result<()> {
    sqlx::query!("DELETE FROM address WHERE owner_id = $1", owner).execute(db).await?;
    Ok(())
}
