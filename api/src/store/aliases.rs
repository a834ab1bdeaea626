//! Aliases, and the forwarding of users: an alias that has the address of its user.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{AliasId, DomainId, UserId};

use crate::{
    error::{Error, Result},
    model::{
        address::{DomainName, EmailAddress, LocalPart},
        alias::Alias,
        domain::Domain,
        page::{Found, Page},
        search::Search,
    },
    store::searches::{Wanted, count, search},
};

struct Row {
    id: AliasId,
    domain_id: DomainId,
    domain_name: String,
    local_part: String,
    targets: Vec<String>,
    account_id: Option<UserId>,
    keep_copy: bool,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for Alias {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |detail: &str| Error::corrupt("alias", row.id, detail);
        let address = format!("{}@{}", row.local_part, row.domain_name);
        let targets: Result<_, _> =
            row.targets.iter().map(|one| EmailAddress::parse(one)).collect();
        Ok(Self {
            id: row.id,
            domain_id: row.domain_id,
            local_part: LocalPart::parse(&row.local_part)
                .map_err(|_cause| corrupt("local_part"))?,
            address: EmailAddress::parse(&address).map_err(|_cause| corrupt("address"))?,
            targets: targets.map_err(|_cause| corrupt("targets"))?,
            user_id: row.account_id,
            keep_copy: row.keep_copy,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The alias of this id; a forwarding is none.
pub async fn find(db: impl PgExecutor<'_>, id: AliasId) -> Result<Option<Alias>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT alias.id, alias.domain_id, domain.name AS domain_name, alias.local_part, targets,
                account_id, keep_copy, alias.revision, alias.created_at, alias.updated_at
           FROM alias
           JOIN domain ON domain.id = alias.domain_id
           JOIN address ON address.owner_id = alias.id
          WHERE alias.id = $1 AND domain.deleted_at IS NULL",
        id.uuid(),
    );
    row.fetch_optional(db).await?.map(Alias::try_from).transpose()
}

/// The forwarding of a user, which has this local part.
pub async fn find_forwarding(
    db: impl PgExecutor<'_>,
    user: UserId,
    local_part: &LocalPart,
) -> Result<Option<Alias>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT alias.id, alias.domain_id, domain.name AS domain_name, alias.local_part, targets,
                alias.account_id, keep_copy, alias.revision, alias.created_at, alias.updated_at
           FROM alias
           JOIN domain ON domain.id = alias.domain_id
          WHERE alias.account_id = $1 AND alias.local_part = $2",
        user.uuid(),
        local_part.as_str(),
    );
    row.fetch_optional(db).await?.map(Alias::try_from).transpose()
}

/// Locks an alias until the end of the transaction; `find` then reads what holds.
pub async fn lock(db: impl PgExecutor<'_>, id: AliasId) -> Result<()> {
    sqlx::query_scalar!("SELECT id FROM alias WHERE id = $1 FOR UPDATE", id.uuid())
        .fetch_optional(db)
        .await?;
    Ok(())
}

/// Aliases, and what follows `WHERE`: each way to list them is a statement of its own.
macro_rules! select_aliases {
    ($conditions:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT alias.id, alias.domain_id, domain.name AS domain_name, alias.local_part, targets,
                    account_id, keep_copy, alias.revision, alias.created_at, alias.updated_at
               FROM alias JOIN domain ON domain.id = alias.domain_id
              WHERE NOT is_forwarding AND " + $conditions,
            $($argument),+
        )
    };
}

/// A page of the aliases of a domain that are searched for.
pub async fn list(
    db: impl PgExecutor<'_> + Copy,
    domain: &Domain,
    search: Option<&Search>,
    page: Page,
) -> Result<Found<Alias>> {
    let Some(wanted) = Wanted::of(domain, search) else { return Ok(Vec::new().into()) };
    if wanted.term.is_none() {
        let rows = select_aliases!(
            "alias.domain_id = $1 AND alias.id > $2 ORDER BY alias.id LIMIT $3",
            domain.id.uuid(),
            page.after(),
            page.limit,
        );
        return Ok(aliases(rows.fetch_all(db).await?)?.into());
    }
    let (ids, upto) = search!("alias_search", db, wanted, page);
    let rows =
        select_aliases!("alias.id = ANY ((SELECT $1::uuid[])::uuid[]) ORDER BY alias.id", &ids);
    Ok(Found::of_ids(aliases(rows.fetch_all(db).await?)?, &ids, page).ended(upto))
}

/// How many those are, up to the bound of counts and one more.
pub async fn count(
    db: impl PgExecutor<'_>,
    domain: &Domain,
    search: Option<&Search>,
) -> Result<i32> {
    let Some(wanted) = Wanted::of(domain, search) else { return Ok(0) };
    Ok(count!("alias_count", db, wanted))
}

fn aliases(rows: Vec<Row>) -> Result<Vec<Alias>> {
    rows.into_iter().map(Alias::try_from).collect()
}

fn texts(alias: &Alias) -> Vec<String> {
    alias.targets.iter().map(ToString::to_string).collect()
}

/// Adds an alias, or a forwarding: that has no address of its own, which an alias has already.
pub async fn insert(db: impl PgExecutor<'_>, alias: &Alias) -> Result<()> {
    sqlx::query!(
        "INSERT INTO alias (id, domain_id, local_part, targets, account_id, keep_copy, revision,
                            created_at, updated_at, is_forwarding)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
                 NOT EXISTS (SELECT FROM address WHERE owner_id = $1))",
        alias.id.uuid(),
        alias.domain_id.uuid(),
        alias.local_part.as_str(),
        &texts(alias),
        alias.user_id.map(UserId::uuid),
        alias.keep_copy,
        alias.revision,
        alias.created_at,
        alias.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes an alias back.
pub async fn update(db: impl PgExecutor<'_>, alias: &Alias) -> Result<()> {
    sqlx::query!(
        "UPDATE alias
            SET targets = $2, account_id = $3, keep_copy = $4, revision = $5, updated_at = $6
          WHERE id = $1",
        alias.id.uuid(),
        &texts(alias),
        alias.user_id.map(UserId::uuid),
        alias.keep_copy,
        alias.revision,
        alias.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes an alias.
pub async fn delete(db: impl PgExecutor<'_>, id: AliasId) -> Result<()> {
    sqlx::query!("DELETE FROM alias WHERE id = $1", id.uuid()).execute(db).await?;
    Ok(())
}

/// Gives a forwarding the other address of its user.
pub async fn rename(db: impl PgExecutor<'_>, id: AliasId, local_part: &LocalPart) -> Result<()> {
    sqlx::query!("UPDATE alias SET local_part = $2 WHERE id = $1", id.uuid(), local_part.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// Whether mail for these addresses of a domain comes to this one of it, by way of its aliases and
/// of forwarding without a copy. Those that lead through other domains are not seen, nor is what is
/// further away than a thousand addresses.
pub async fn leads_to(
    db: impl PgExecutor<'_>,
    domain: (DomainId, &str),
    from: &[&str],
    to: &str,
) -> Result<bool> {
    let row = sqlx::query_scalar!(
        r#"WITH RECURSIVE reached (local_part) AS (
               SELECT unnest($3::text[])
               UNION
               SELECT split_part(target, '@', 1)
                 FROM reached
                 JOIN alias ON alias.domain_id = $1 AND alias.local_part = reached.local_part
                 CROSS JOIN LATERAL unnest(alias.targets) AS target
                WHERE NOT keep_copy AND split_part(target, '@', 2) = $2)
           SELECT EXISTS (SELECT FROM (SELECT local_part FROM reached LIMIT 1000) AS first
                           WHERE local_part = $4) AS "is!""#,
        domain.0.uuid(),
        domain.1,
        from as &[&str],
        to,
    );
    Ok(row.fetch_one(db).await?)
}

/// Puts one address in the place of another one among the targets of a domain's aliases, and returns
/// whose targets those were.
pub async fn retarget(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    (from, to): (&EmailAddress, &EmailAddress),
    now: OffsetDateTime,
) -> Result<Vec<AliasId>> {
    let rows = sqlx::query_scalar!(
        "UPDATE alias
            SET targets = array_replace(array_remove(targets, $3), $2, $3),
                revision = revision + 1, updated_at = $4
          WHERE domain_id = $1 AND $2 = ANY (targets) RETURNING id",
        domain.uuid(),
        from.as_str(),
        to.as_str(),
        now,
    );
    Ok(rows.fetch_all(db).await?)
}

/// An alias, or a forwarding, that leads to a user.
#[derive(Clone, Debug)]
pub struct LeadingTo {
    /// Which.
    pub id: AliasId,
    /// Where it leads.
    pub targets: Vec<String>,
    /// Whether it stands for the user, or is the user's own forwarding.
    pub is_held: bool,
    /// Whether it has an address of its own and counts as an alias; a forwarding does not.
    pub is_counted: bool,
}

/// What stands for a user; and, if an address is given, all in its domain that lead there.
pub async fn list_leading_to(
    db: impl PgExecutor<'_>,
    user: UserId,
    address: Option<&EmailAddress>,
) -> Result<Vec<LeadingTo>> {
    let rows = sqlx::query_as!(
        LeadingTo,
        r#"SELECT alias.id, targets, alias.account_id IS NOT DISTINCT FROM $1 AS "is_held!",
                  address.owner_id IS NOT NULL AS "is_counted!"
             FROM alias LEFT JOIN address ON address.owner_id = alias.id
            WHERE alias.account_id = $1
               OR alias.domain_id = (SELECT domain_id FROM account WHERE id = $1)
                  AND $2 = ANY (targets)
            ORDER BY alias.id FOR UPDATE OF alias"#,
        user.uuid(),
        address.map(EmailAddress::as_str),
    );
    Ok(rows.fetch_all(db).await?)
}

/// Lets an alias lead to these only.
pub async fn update_targets(
    db: impl PgExecutor<'_>,
    id: AliasId,
    targets: &[String],
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "UPDATE alias SET targets = $2, revision = revision + 1, updated_at = $3 WHERE id = $1",
        id.uuid(),
        targets,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets the aliases and forwardings of a domain lead to addresses under its new name where they led
/// to some under the old one; returns which.
pub async fn update_renamed(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    (from, to): (&DomainName, &DomainName),
    now: OffsetDateTime,
) -> Result<Vec<AliasId>> {
    let rows = sqlx::query_scalar!(
        "UPDATE alias
            SET revision = revision + 1, updated_at = $4, targets = (
                SELECT array_agg(target ORDER BY place)
                  FROM (SELECT CASE WHEN split_part(old, '@', 2) = $2
                                    THEN split_part(old, '@', 1) || '@' || $3::text ELSE old END
                               AS target, min(place) AS place
                          FROM unnest(targets) WITH ORDINALITY AS each (old, place)
                         GROUP BY target) AS renamed)
          WHERE domain_id = $1
            AND EXISTS (SELECT FROM unnest(targets) AS old WHERE split_part(old, '@', 2) = $2)
         RETURNING id",
        domain.uuid(),
        from.as_str(),
        to.as_str(),
        now,
    );
    Ok(rows.fetch_all(db).await?)
}

/// Some of the aliases of a domain.
pub async fn list_ids(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    limit: i64,
) -> Result<Vec<AliasId>> {
    let rows = sqlx::query_scalar!(
        "SELECT id FROM alias WHERE domain_id = $1 ORDER BY id LIMIT $2",
        domain.uuid(),
        limit,
    );
    Ok(rows.fetch_all(db).await?)
}
