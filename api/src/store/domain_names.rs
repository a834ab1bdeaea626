//! Every name of a domain that is taken, whatever takes it: a domain or a domain alias.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{
    error::{Error, OnConstraint, Result},
    model::address::DomainName,
};

/// Takes a name for a domain or a domain alias.
pub async fn insert(db: impl PgExecutor<'_>, name: &DomainName, owner: Uuid) -> Result<()> {
    sqlx::query!("INSERT INTO domain_name (name, owner_id) VALUES ($1, $2)", name.as_str(), owner)
        .execute(db)
        .await
        .on_constraint("domain_name_pkey", || Error::AlreadyExists {
            kind: "domain name",
            name: name.to_string(),
        })?;
    Ok(())
}

/// Gives a name to another owner.
pub async fn update(db: impl PgExecutor<'_>, name: &DomainName, owner: Uuid) -> Result<()> {
    sqlx::query!("UPDATE domain_name SET owner_id = $2 WHERE name = $1", name.as_str(), owner)
        .execute(db)
        .await?;
    Ok(())
}

/// Gives a name back.
pub async fn delete(db: impl PgExecutor<'_>, name: &DomainName) -> Result<()> {
    sqlx::query!("DELETE FROM domain_name WHERE name = $1", name.as_str()).execute(db).await?;
    Ok(())
}
