//! Other names of domains. Those of deleted domains are shown only where that is said.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{DomainAliasId, DomainId};

use crate::{
    error::{Error, Result},
    model::{
        address::DomainName,
        domain_alias::{DomainAlias, DomainAliasRef},
        page::Page,
    },
};

struct Row {
    id: DomainAliasId,
    domain_id: DomainId,
    name: String,
    created_at: OffsetDateTime,
}

impl TryFrom<Row> for DomainAlias {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |_cause| Error::corrupt("domain alias", row.id, "name");
        Ok(Self {
            id: row.id,
            domain_id: row.domain_id,
            name: DomainName::parse(&row.name).map_err(corrupt)?,
            created_at: row.created_at,
        })
    }
}

/// The domain alias of this id or name.
pub async fn find(db: impl PgExecutor<'_>, alias: &DomainAliasRef) -> Result<Option<DomainAlias>> {
    let (id, name) = match alias {
        DomainAliasRef::Id(id) => (Some(id.uuid()), None),
        DomainAliasRef::Name(name) => (None, Some(name.as_str())),
    };
    let row = sqlx::query_as!(
        Row,
        "SELECT domain_alias.id, domain_id, domain_alias.name, domain_alias.created_at
           FROM domain_alias JOIN domain ON domain.id = domain_id
          WHERE (domain_alias.id = $1 OR domain_alias.name = $2) AND deleted_at IS NULL",
        id,
        name,
    );
    row.fetch_optional(db).await?.map(DomainAlias::try_from).transpose()
}

/// A page of the other names of a domain.
pub async fn list(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    page: Page,
) -> Result<Vec<DomainAlias>> {
    sqlx::query_as!(
        Row,
        "SELECT id, domain_id, name, created_at FROM domain_alias
          WHERE domain_id = $1 AND id > $2
          ORDER BY id LIMIT $3",
        domain.uuid(),
        page.after(),
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(DomainAlias::try_from)
    .collect()
}

/// All other names of a domain, be it deleted or not.
pub async fn list_all(db: impl PgExecutor<'_>, domain: DomainId) -> Result<Vec<DomainAlias>> {
    sqlx::query_as!(
        Row,
        "SELECT id, domain_id, name, created_at FROM domain_alias WHERE domain_id = $1 ORDER BY id",
        domain.uuid(),
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(DomainAlias::try_from)
    .collect()
}

/// Adds a domain alias, whose name was taken for it.
pub async fn insert(db: impl PgExecutor<'_>, alias: &DomainAlias) -> Result<()> {
    sqlx::query!(
        "INSERT INTO domain_alias (id, domain_id, name, created_at) VALUES ($1, $2, $3, $4)",
        alias.id.uuid(),
        alias.domain_id.uuid(),
        alias.name.as_str(),
        alias.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a domain alias; true if it was there. Its name is given back, or to another, afterwards.
pub async fn delete(db: impl PgExecutor<'_>, id: DomainAliasId) -> Result<bool> {
    let done = sqlx::query!("DELETE FROM domain_alias WHERE id = $1", id.uuid());
    Ok(done.execute(db).await?.rows_affected() > 0)
}
