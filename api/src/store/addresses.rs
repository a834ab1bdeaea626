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

/// An address that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The domain.
    pub domain_id: DomainId,
    /// What stands before the `@`.
    pub local_part: String,
    /// The user or the alias.
    pub owner_id: Uuid,
}

/// Which of these addresses are taken.
pub async fn list(db: impl PgExecutor<'_>, asked: &[(DomainId, &str)]) -> Result<Vec<Taken>> {
    let domains: Vec<_> = asked.iter().map(|(domain, _)| domain.uuid()).collect();
    let local_parts: Vec<_> = asked.iter().map(|(_, part)| (*part).to_owned()).collect();
    Ok(sqlx::query_as!(
        Taken,
        r#"SELECT address.domain_id AS "domain_id: DomainId", address.local_part, owner_id
             FROM unnest($1::uuid[], $2::text[]) AS asked (domain_id, local_part)
             JOIN address ON address.domain_id = asked.domain_id
                         AND address.local_part = asked.local_part"#,
        &domains,
        &local_parts,
    )
    .fetch_all(db)
    .await?)
}

/// Takes many addresses, and returns the owners of those that were free.
pub async fn insert_all(
    db: impl PgExecutor<'_>,
    wanted: &[(DomainId, &LocalPart, Uuid)],
) -> Result<Vec<Uuid>> {
    let domains: Vec<_> = wanted.iter().map(|(domain, ..)| domain.uuid()).collect();
    let local_parts: Vec<_> = wanted.iter().map(|(_, part, _)| part.as_str().to_owned()).collect();
    let owners: Vec<_> = wanted.iter().map(|(.., owner)| *owner).collect();
    Ok(sqlx::query_scalar!(
        "INSERT INTO address (domain_id, local_part, owner_id)
         SELECT domain_id, local_part, owner_id
           FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS new (domain_id, local_part, owner_id)
          ORDER BY domain_id, local_part
         ON CONFLICT DO NOTHING RETURNING owner_id",
        &domains,
        &local_parts,
        &owners,
    )
    .fetch_all(db)
    .await?)
}

/// Gives many addresses back.
pub async fn delete_all(db: impl PgExecutor<'_>, owners: &[Uuid]) -> Result<()> {
    sqlx::query!("DELETE FROM address WHERE owner_id = ANY ($1)", owners).execute(db).await?;
    Ok(())
}
