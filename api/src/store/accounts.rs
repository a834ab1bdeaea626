//! Users. The table is called account, since user is a reserved word of SQL. Users that were
//! deleted, and users of deleted domains, are shown only where that is said.

use std::slice;

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_api_types::status::Status;
use umail_proto::{
    functions::Functions,
    ids::{DepartmentId, DomainId, NodeId, PlanId, UserId},
};
use uuid::Uuid;

use crate::{
    error::{Error, OnConstraint, Result},
    model::{
        address::{EmailAddress, LocalPart},
        deletion::Deletion,
        department::Among,
        domain::Domain,
        functions,
        page::{COUNTED, Found, Page},
        profile::Profile,
        role::Grant,
        sending::SendingLimits,
        user::{User, UserRef},
        user_filter::UserFilter,
    },
    store::{
        departments::no_department,
        searches::{Wanted, count, of_departments, search},
    },
};

struct Row {
    id: UserId,
    domain_id: DomainId,
    domain_name: String,
    department_id: Option<DepartmentId>,
    local_part: String,
    display_name: String,
    given_name: String,
    family_name: String,
    employee_number: String,
    title: String,
    phone: String,
    locale: String,
    time_zone: String,
    external_id: String,
    status: i16,
    functions: i64,
    plan_id: PlanId,
    quota_bytes: Option<i64>,
    message_size_bytes: Option<i64>,
    messages_per_hour: Option<i64>,
    messages_per_day: Option<i64>,
    recipients_per_hour: Option<i64>,
    recipients_per_day: Option<i64>,
    storage_node_id: Option<NodeId>,
    storage_node_name: Option<String>,
    companion_node_id: Option<NodeId>,
    moving: bool,
    deleted_at: Option<OffsetDateTime>,
    purge_at: Option<OffsetDateTime>,
    purge_begun_at: Option<OffsetDateTime>,
    is_domain_deleted: bool,
    grants: Vec<(DomainId, Option<DepartmentId>)>,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for User {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = |detail: &str| Error::corrupt("account", row.id, detail);
        let address = format!("{}@{}", row.local_part, row.domain_name);
        let grant = |(domain_id, department_id)| Grant { domain_id, department_id };
        Ok(Self {
            id: row.id,
            address: EmailAddress::parse(&address).map_err(|_cause| corrupt("address"))?,
            local_part: LocalPart::parse(&row.local_part)
                .map_err(|_cause| corrupt("local_part"))?,
            domain_id: row.domain_id,
            department_id: row.department_id,
            display_name: row.display_name,
            profile: Profile {
                given_name: row.given_name,
                family_name: row.family_name,
                employee_number: row.employee_number,
                title: row.title,
                phone: row.phone,
                locale: row.locale,
                time_zone: row.time_zone,
                external_id: row.external_id,
            },
            status: Status::from_number(row.status).ok_or_else(|| corrupt("status"))?,
            functions: functions::from_column(row.functions),
            plan_id: row.plan_id,
            quota: row.quota_bytes,
            sending: SendingLimits([
                row.message_size_bytes,
                row.messages_per_hour,
                row.messages_per_day,
                row.recipients_per_hour,
                row.recipients_per_day,
            ]),
            storage_node: row.storage_node_id.zip(row.storage_node_name),
            companion_node_id: row.companion_node_id,
            moving: row.moving,
            deletion: Deletion::from_columns(row.deleted_at, row.purge_at, row.purge_begun_at),
            is_domain_deleted: row.is_domain_deleted,
            grants: row.grants.into_iter().map(grant).collect(),
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Users, and what follows `FROM`: the conditions. Each way to find them is a statement of its own,
/// which the database plans once; one with optional conditions is planned at each use.
macro_rules! select_users {
    ($conditions:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT account.id, account.domain_id, domain.name AS domain_name,
                      account.department_id, local_part, display_name, given_name, family_name,
                      employee_number, title, phone, locale, time_zone, external_id,
                      account.status, account.functions, plan_id, quota_bytes,
                      message_size_bytes, messages_per_hour, messages_per_day,
                      recipients_per_hour, recipients_per_day, storage_node_id,
                      (SELECT node.name FROM node WHERE node.id = storage_node_id)
                          AS storage_node_name, companion_node_id, moving,
                      ARRAY(SELECT (role_assignment.domain_id, role_assignment.department_id)
                              FROM role_assignment WHERE account_id = account.id)
                          AS "grants!: Vec<(DomainId, Option<DepartmentId>)>",
                      account.deleted_at, account.purge_at, purge_begun_at,
                      domain.deleted_at IS NOT NULL AS "is_domain_deleted!",
                      account.revision, account.created_at, account.updated_at
                 FROM account JOIN domain ON domain.id = account.domain_id
                WHERE "#
                + $conditions,
            $($argument),+
        )
    };
}

/// The user of this id or address.
pub async fn find(db: impl PgExecutor<'_>, user: &UserRef) -> Result<Option<User>> {
    let found = find_any(db, user).await?;
    Ok(found.filter(|one| !one.is_deleted()))
}

/// The same, be the user or its domain deleted or not.
pub async fn find_any(db: impl PgExecutor<'_>, user: &UserRef) -> Result<Option<User>> {
    let row = match user {
        UserRef::Id(id) => select_users!("account.id = $1", id.uuid()).fetch_optional(db).await?,
        UserRef::Address(address) => {
            let (local_part, name) = address.parts();
            select_users!(
                "account.id = (SELECT owner_id FROM address JOIN domain ON domain.id = domain_id
                                WHERE address.local_part = $1 AND domain.name = $2)
                 AND account.local_part = $1",
                local_part,
                name,
            )
            .fetch_optional(db)
            .await?
        }
    };
    row.map(User::try_from).transpose()
}

/// The users of these ids, deleted or not, in no order. One plan serves all: the database does not
/// see how many ids there are before it reads them.
pub async fn list_any(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<User>> {
    select_users!("account.id = ANY ((SELECT $1::uuid[])::uuid[])", ids)
        .fetch_all(db)
        .await?
        .into_iter()
        .map(User::try_from)
        .collect()
}

/// Locks a user until the end of the transaction; `find` then reads what holds.
pub async fn lock(db: impl PgExecutor<'_>, id: UserId) -> Result<()> {
    sqlx::query_scalar!("SELECT id FROM account WHERE id = $1 FOR UPDATE", id.uuid())
        .fetch_optional(db)
        .await?;
    Ok(())
}

/// A page of the users of a domain, or of those in these departments.
pub async fn list(
    db: impl PgExecutor<'_> + Copy,
    domain: DomainId,
    among: &Among,
    page: Page,
) -> Result<Vec<User>> {
    if *among != Among::All {
        let wanted = Wanted { place: Some(domain.uuid()), ..Wanted::default() }.among(among);
        return Ok(list_of_departments(db, &wanted, page).await?.rows);
    }
    let rows = select_users!(
        "account.domain_id = $1 AND account.id > $2
         AND account.deleted_at IS NULL AND domain.deleted_at IS NULL
         ORDER BY account.id LIMIT $3",
        domain.uuid(),
        page.after(),
        page.limit,
    );
    users(rows.fetch_all(db).await?)
}

/// The same, of those that are wanted. Each filter has an index in the order of the list.
pub async fn list_wanted(
    db: impl PgExecutor<'_> + Copy,
    domain: &Domain,
    among: &Among,
    filter: &UserFilter,
    page: Page,
) -> Result<Found<User>> {
    let Some(wanted) = wanted(domain, among, filter) else { return Ok(Vec::new().into()) };
    if filter.deleted {
        return Ok(list_deleted(db, &wanted, filter, page).await?.into());
    }
    if let Some(external_id) = &filter.external_id {
        return Ok(list_by_external_id(db, &wanted, external_id, page).await?.into());
    }
    if wanted.term.is_some() {
        return search(db, &wanted, page).await;
    }
    if *among != Among::All {
        return list_of_departments(db, &wanted, page).await;
    }
    let rows = match (filter.status, filter.plan) {
        (None, None) => list(db, domain.id, &Among::All, page).await?,
        (Some(Status::Active), None) => list_active(db, domain.id, page).await?,
        // Most users are active: the plan is the narrower filter then.
        (status @ (None | Some(Status::Active)), Some(plan)) => {
            list_by_plan(db, domain.id, plan, status, page).await?
        }
        (Some(status), plan) => list_by_status(db, domain.id, status, plan, page).await?,
    };
    Ok(rows.into())
}

/// How many those are, up to the bound of counts and one more.
pub async fn count_wanted(
    db: impl PgExecutor<'_>,
    domain: &Domain,
    among: &Among,
    filter: &UserFilter,
) -> Result<i32> {
    match wanted(domain, among, filter) {
        None => Ok(0),
        Some(wanted) if filter.deleted || filter.external_id.is_some() => {
            count_few(db, &wanted, filter).await
        }
        Some(wanted) => Ok(count!("account_count", db, wanted)),
    }
}

/// Nothing: no address can have what is searched for.
fn wanted(domain: &Domain, among: &Among, filter: &UserFilter) -> Option<Wanted> {
    Some(Wanted {
        status: filter.status.map(Status::number),
        plan: filter.plan.map(PlanId::uuid),
        ..Wanted::of(domain, filter.search.as_ref())?.among(among)
    })
}

fn users(rows: Vec<Row>) -> Result<Vec<User>> {
    rows.into_iter().map(User::try_from).collect()
}

async fn search(
    db: impl PgExecutor<'_> + Copy,
    wanted: &Wanted,
    page: Page,
) -> Result<Found<User>> {
    let (ids, upto) = search!("account_search", db, wanted, page);
    Ok(Found::of_ids(list_live(db, &ids).await?, &ids, page).ended(upto))
}

async fn list_of_departments(
    db: impl PgExecutor<'_> + Copy,
    wanted: &Wanted,
    page: Page,
) -> Result<Found<User>> {
    let ids = of_departments!("account_of_departments", db, wanted, page);
    Ok(Found::of_ids(list_live(db, &ids).await?, &ids, page))
}

/// The users of these ids in their order, deleted ones not.
async fn list_live(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<User>> {
    let rows = select_users!(
        "account.id = ANY ((SELECT $1::uuid[])::uuid[])
         AND account.deleted_at IS NULL AND domain.deleted_at IS NULL ORDER BY account.id",
        ids,
    );
    users(rows.fetch_all(db).await?)
}

/// Nearly all are.
async fn list_active(db: impl PgExecutor<'_>, domain: DomainId, page: Page) -> Result<Vec<User>> {
    let rows = select_users!(
        "account.domain_id = $1 AND account.id > $2 AND account.status = 1
         AND account.deleted_at IS NULL AND domain.deleted_at IS NULL
         ORDER BY account.id LIMIT $3",
        domain.uuid(),
        page.after(),
        page.limit,
    );
    users(rows.fetch_all(db).await?)
}

/// Any status but active, which the index knows of.
async fn list_by_status(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    status: Status,
    plan: Option<PlanId>,
    page: Page,
) -> Result<Vec<User>> {
    let rows = select_users!(
        "account.domain_id = $1 AND account.status = $3 AND account.status <> 1 AND account.id > $2
         AND ($5::uuid IS NULL OR plan_id = $5)
         AND account.deleted_at IS NULL AND domain.deleted_at IS NULL
         ORDER BY account.id LIMIT $4",
        domain.uuid(),
        page.after(),
        status.number(),
        page.limit,
        plan.map(PlanId::uuid),
    );
    users(rows.fetch_all(db).await?)
}

async fn list_by_plan(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    plan: PlanId,
    status: Option<Status>,
    page: Page,
) -> Result<Vec<User>> {
    let rows = select_users!(
        "plan_id = $3 AND account.domain_id = $1 AND account.id > $2
         AND ($5::smallint IS NULL OR account.status = $5)
         AND account.deleted_at IS NULL AND domain.deleted_at IS NULL
         ORDER BY account.id LIMIT $4",
        domain.uuid(),
        page.after(),
        plan.uuid(),
        page.limit,
        status.map(Status::number),
    );
    users(rows.fetch_all(db).await?)
}

/// A page of the users of a domain, or of these departments, that were deleted: as many as are
/// deleted within the grace time.
async fn list_deleted(
    db: impl PgExecutor<'_>,
    wanted: &Wanted,
    filter: &UserFilter,
    page: Page,
) -> Result<Vec<User>> {
    let rows = select_users!(
        "account.domain_id = $1 AND account.id > $2
         AND ($3::uuid[] IS NULL OR account.department_id = ANY ($3))
         AND ($9::uuid[] IS NULL
              OR EXISTS (SELECT FROM department_above AS above
                          WHERE above.department_id = account.department_id
                            AND above_id = ANY ($9)))
         AND account.deleted_at IS NOT NULL AND domain.deleted_at IS NULL
         AND ($5::smallint IS NULL OR account.status = $5) AND ($6::uuid IS NULL OR plan_id = $6)
         AND ($7::text IS NULL OR account.search_text LIKE like_pattern($7))
         AND ($8::text IS NULL OR external_id = $8)
         ORDER BY account.id LIMIT $4",
        wanted.place,
        page.after(),
        wanted.departments.as_deref(),
        page.limit,
        wanted.status,
        wanted.plan,
        wanted.term,
        filter.external_id,
        wanted.tops.as_deref(),
    );
    users(rows.fetch_all(db).await?)
}

/// The user of a domain, or of these departments, whom another directory knows by this, on a page.
async fn list_by_external_id(
    db: impl PgExecutor<'_>,
    wanted: &Wanted,
    external_id: &str,
    page: Page,
) -> Result<Vec<User>> {
    let rows = select_users!(
        "account.domain_id = $1 AND external_id = $4 AND external_id <> ''
         AND account.id > $2 AND ($3::uuid[] IS NULL OR account.department_id = ANY ($3))
         AND ($8::uuid[] IS NULL
              OR EXISTS (SELECT FROM department_above AS above
                          WHERE above.department_id = account.department_id
                            AND above_id = ANY ($8)))
         AND account.deleted_at IS NULL AND domain.deleted_at IS NULL
         AND ($5::smallint IS NULL OR account.status = $5) AND ($6::uuid IS NULL OR plan_id = $6)
         AND ($7::text IS NULL OR account.search_text LIKE like_pattern($7))",
        wanted.place,
        page.after(),
        wanted.departments.as_deref(),
        external_id,
        wanted.status,
        wanted.plan,
        wanted.term,
        wanted.tops.as_deref(),
    );
    users(rows.fetch_all(db).await?)
}

/// How many users one of the two lists above has, up to the bound of counts and one more.
async fn count_few(db: impl PgExecutor<'_>, wanted: &Wanted, filter: &UserFilter) -> Result<i32> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*)::integer AS "count!"
             FROM (SELECT FROM account
                    WHERE domain_id = $1 AND ($2::uuid[] IS NULL OR department_id = ANY ($2))
                      AND ($9::uuid[] IS NULL
                           OR EXISTS (SELECT FROM department_above AS above
                                       WHERE above.department_id = account.department_id
                                         AND above_id = ANY ($9)))
                      AND ($3::smallint IS NULL OR status = $3)
                      AND ($4::uuid IS NULL OR plan_id = $4)
                      AND ($5::text IS NULL OR search_text LIKE like_pattern($5))
                      AND ($6 AND deleted_at IS NOT NULL
                               AND ($7::text IS NULL OR external_id = $7)
                           OR NOT $6 AND deleted_at IS NULL
                              AND external_id <> '' AND external_id = $7)
                    LIMIT $8::integer + 1) AS counted"#,
        wanted.place,
        wanted.departments.as_deref(),
        wanted.status,
        wanted.plan,
        wanted.term,
        filter.deleted,
        filter.external_id,
        COUNTED,
        wanted.tops.as_deref(),
    );
    Ok(count.fetch_one(db).await?)
}

/// Users of these ids, deleted ones not.
pub async fn list_by_ids(db: impl PgExecutor<'_>, ids: &[UserId]) -> Result<Vec<User>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    select_users!(
        "account.id = ANY ($1) AND account.deleted_at IS NULL AND domain.deleted_at IS NULL",
        &ids,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(User::try_from)
    .collect()
}

/// Locks users in the order of their ids until the end of the transaction.
pub async fn lock_all(db: impl PgExecutor<'_>, ids: &[UserId]) -> Result<()> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query_scalar!("SELECT id FROM account WHERE id = ANY ($1) ORDER BY id FOR UPDATE", &ids)
        .fetch_all(db)
        .await?;
    Ok(())
}

/// Users of a domain who were there at a time, and match a filter of those who were not deleted.
#[derive(Clone, Debug)]
pub struct Selection {
    /// In these departments.
    pub among: Among,
    /// What else holds for them.
    pub filter: UserFilter,
    /// Not added since then.
    pub until: OffsetDateTime,
}

/// Locks the next users of a selection, in the order of their ids, until the end of the
/// transaction. Whoever is changed at the same time is waited for, and then looked at again.
pub async fn lock_selected(
    db: impl PgExecutor<'_>,
    domain: &Domain,
    Selection { among, filter, until }: &Selection,
    page: Page,
) -> Result<Vec<(UserId, String)>> {
    let Some(wanted) = wanted(domain, among, filter) else {
        return Ok(Vec::new());
    };
    let rows = sqlx::query!(
        "SELECT id, local_part FROM account
          WHERE domain_id = $1 AND created_at <= $2 AND id > $3
            AND ($4::uuid[] IS NULL OR department_id = ANY ($4))
            AND ($10::uuid[] IS NULL
                 OR EXISTS (SELECT FROM department_above AS above
                             WHERE above.department_id = account.department_id
                               AND above_id = ANY ($10)))
            AND ($5::uuid IS NULL OR plan_id = $5)
            AND ($6::smallint IS NULL OR status = $6)
            AND ($7::text IS NULL OR external_id <> '' AND external_id = $7)
            AND ($8::text IS NULL OR search_text LIKE (SELECT like_pattern($8)))
            AND deleted_at IS NULL
          ORDER BY id LIMIT $9 FOR UPDATE",
        wanted.place,
        until,
        page.after(),
        wanted.departments.as_deref(),
        wanted.plan,
        wanted.status,
        filter.external_id,
        wanted.term,
        page.limit,
        wanted.tops.as_deref(),
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id, row.local_part)).collect())
}

/// How many users a selection has.
pub async fn count_selected(
    db: impl PgExecutor<'_>,
    domain: &Domain,
    Selection { among, filter, until }: &Selection,
) -> Result<i64> {
    let Some(wanted) = wanted(domain, among, filter) else { return Ok(0) };
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM account
            WHERE domain_id = $1 AND created_at <= $2
              AND ($3::uuid[] IS NULL OR department_id = ANY ($3))
              AND ($8::uuid[] IS NULL
                   OR EXISTS (SELECT FROM department_above AS above
                               WHERE above.department_id = account.department_id
                                 AND above_id = ANY ($8)))
              AND ($4::uuid IS NULL OR plan_id = $4)
              AND ($5::smallint IS NULL OR status = $5)
              AND ($6::text IS NULL OR external_id <> '' AND external_id = $6)
              AND ($7::text IS NULL OR search_text LIKE (SELECT like_pattern($7)))
              AND deleted_at IS NULL"#,
        wanted.place,
        until,
        wanted.departments.as_deref(),
        wanted.plan,
        wanted.status,
        filter.external_id,
        wanted.term,
        wanted.tops.as_deref(),
    )
    .fetch_one(db)
    .await?)
}

/// Who has which of these external ids, each asked for in its domain.
pub async fn list_external_ids(
    db: impl PgExecutor<'_>,
    asked: &[(DomainId, &str)],
) -> Result<Vec<(DomainId, String, UserId)>> {
    let domains: Vec<_> = asked.iter().map(|(domain, _)| domain.uuid()).collect();
    let ids: Vec<_> = asked.iter().map(|(_, id)| (*id).to_owned()).collect();
    let rows = sqlx::query!(
        "SELECT account.domain_id, account.external_id, account.id
           FROM unnest($1::uuid[], $2::text[]) AS asked (domain_id, external_id)
           JOIN account ON account.domain_id = asked.domain_id
                       AND account.external_id = asked.external_id
          WHERE account.external_id <> '' AND account.deleted_at IS NULL",
        &domains,
        &ids,
    );
    let rows = rows.fetch_all(db).await?.into_iter();
    Ok(rows.map(|row| (row.domain_id, row.external_id, row.id)).collect())
}

/// Users as columns, to be written together.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    domains: Vec<Uuid>,
    departments: Vec<Option<Uuid>>,
    local_parts: Vec<String>,
    display_names: Vec<String>,
    statuses: Vec<i16>,
    functions: Vec<i64>,
    quotas: Vec<Option<i64>>,
    storage_nodes: Vec<Option<Uuid>>,
    revisions: Vec<i64>,
    created: Vec<OffsetDateTime>,
    updated: Vec<OffsetDateTime>,
    plans: Vec<Uuid>,
    profiles: [Vec<String>; 8],
    sending: [Vec<Option<i64>>; 5],
}

impl Columns {
    fn of<'a>(users: impl Iterator<Item = &'a User>) -> Self {
        let mut columns = Self::default();
        for user in users {
            columns.ids.push(user.id.uuid());
            columns.domains.push(user.domain_id.uuid());
            columns.departments.push(user.department_id.map(DepartmentId::uuid));
            columns.local_parts.push(user.local_part.as_str().to_owned());
            columns.display_names.push(user.display_name.clone());
            columns.statuses.push(user.status.number());
            columns.functions.push(functions::to_column(user.functions));
            columns.quotas.push(user.quota);
            columns.storage_nodes.push(user.storage_node.as_ref().map(|(id, _)| id.uuid()));
            columns.revisions.push(user.revision);
            columns.created.push(user.created_at);
            columns.updated.push(user.updated_at);
            columns.plans.push(user.plan_id.uuid());
            let profile = user.profile.clone();
            let profile = [
                profile.given_name,
                profile.family_name,
                profile.employee_number,
                profile.title,
                profile.phone,
                profile.locale,
                profile.time_zone,
                profile.external_id,
            ];
            for (column, text) in columns.profiles.iter_mut().zip(profile) {
                column.push(text);
            }
            for (column, limit) in columns.sending.iter_mut().zip(user.sending.0) {
                column.push(limit);
            }
        }
        columns
    }
}

/// Adds many users.
pub async fn insert_all(db: impl PgExecutor<'_>, users: &[User]) -> Result<()> {
    let of = Columns::of(users.iter());
    let [given, family, number, title, phone, locale, time_zone, external_id] = &of.profiles;
    let [size, messages_hour, messages_day, recipients_hour, recipients_day] = &of.sending;
    sqlx::query!(
        "INSERT INTO account (id, domain_id, department_id, local_part, display_name, status,
                              functions, quota_bytes, storage_node_id, revision, created_at,
                              updated_at, plan_id, given_name, family_name, employee_number,
                              title, phone, locale, time_zone, external_id, message_size_bytes,
                              messages_per_hour, messages_per_day, recipients_per_hour,
                              recipients_per_day)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
             $6::smallint[], $7::bigint[], $8::bigint[], $9::uuid[], $10::bigint[],
             $11::timestamptz[], $12::timestamptz[], $13::uuid[], $14::text[], $15::text[],
             $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[],
             $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[])",
        &of.ids,
        &of.domains,
        &of.departments as &[Option<Uuid>],
        &of.local_parts,
        &of.display_names,
        &of.statuses,
        &of.functions,
        &of.quotas as &[Option<i64>],
        &of.storage_nodes as &[Option<Uuid>],
        &of.revisions,
        &of.created,
        &of.updated,
        &of.plans,
        given,
        family,
        number,
        title,
        phone,
        locale,
        time_zone,
        external_id,
        size as &[Option<i64>],
        messages_hour as &[Option<i64>],
        messages_day as &[Option<i64>],
        recipients_hour as &[Option<i64>],
        recipients_day as &[Option<i64>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes many users back; names of accounts and where mailboxes are stay what they are.
pub async fn update_all<'a>(
    db: impl PgExecutor<'_>,
    users: impl Iterator<Item = &'a User>,
) -> Result<()> {
    let of = Columns::of(users);
    let [given, family, number, title, phone, locale, time_zone, external_id] = &of.profiles;
    let [size, messages_hour, messages_day, recipients_hour, recipients_day] = &of.sending;
    sqlx::query!(
        "UPDATE account
            SET department_id = new.department_id, display_name = new.display_name,
                status = new.status, functions = new.functions, quota_bytes = new.quota_bytes,
                revision = new.revision, updated_at = new.updated_at, plan_id = new.plan_id,
                given_name = new.given_name, family_name = new.family_name,
                employee_number = new.employee_number, title = new.title, phone = new.phone,
                locale = new.locale, time_zone = new.time_zone, external_id = new.external_id,
                message_size_bytes = new.message_size_bytes,
                messages_per_hour = new.messages_per_hour,
                messages_per_day = new.messages_per_day,
                recipients_per_hour = new.recipients_per_hour,
                recipients_per_day = new.recipients_per_day
           FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::bigint[],
                $6::bigint[], $7::bigint[], $8::timestamptz[], $9::uuid[], $10::text[],
                $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
                $17::text[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[],
                $22::bigint[])
                AS new (id, department_id, display_name, status, functions, quota_bytes, revision,
                        updated_at, plan_id, given_name, family_name, employee_number, title,
                        phone, locale, time_zone, external_id, message_size_bytes,
                        messages_per_hour, messages_per_day, recipients_per_hour,
                        recipients_per_day)
          WHERE account.id = new.id",
        &of.ids,
        &of.departments as &[Option<Uuid>],
        &of.display_names,
        &of.statuses,
        &of.functions,
        &of.quotas as &[Option<i64>],
        &of.revisions,
        &of.updated,
        &of.plans,
        given,
        family,
        number,
        title,
        phone,
        locale,
        time_zone,
        external_id,
        size as &[Option<i64>],
        messages_hour as &[Option<i64>],
        messages_day as &[Option<i64>],
        recipients_hour as &[Option<i64>],
        recipients_day as &[Option<i64>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Adds a user.
pub async fn insert(db: impl PgExecutor<'_>, user: &User) -> Result<()> {
    insert_all(db, slice::from_ref(user))
        .await
        .on_constraint("account_external_id_key", || known_twice(user))
        .on_constraint("account_department_id_fkey", no_department)
}

/// Writes a user back, unless it is no longer as it was seen; says whether. Where the mailbox is
/// belongs to moves, which do not always count a revision.
pub async fn update(db: impl PgExecutor<'_>, seen: &User, user: &User) -> Result<bool> {
    let [size, messages_hour, messages_day, recipients_hour, recipients_day] = user.sending.0;
    let done = sqlx::query!(
        "UPDATE account
            SET department_id = $2, display_name = $3, status = $4, functions = $5,
                quota_bytes = $6, revision = $7, updated_at = $8, plan_id = $9, given_name = $10,
                family_name = $11, employee_number = $12, title = $13, phone = $14, locale = $15,
                time_zone = $16, external_id = $17, local_part = $18, message_size_bytes = $19,
                messages_per_hour = $20, messages_per_day = $21, recipients_per_hour = $22,
                recipients_per_day = $23
          WHERE id = $1 AND revision = $24 AND moving = $25
            AND companion_node_id IS NOT DISTINCT FROM $26",
        user.id.uuid(),
        user.department_id.map(DepartmentId::uuid),
        user.display_name,
        user.status.number(),
        functions::to_column(user.functions),
        user.quota,
        user.revision,
        user.updated_at,
        user.plan_id.uuid(),
        user.profile.given_name,
        user.profile.family_name,
        user.profile.employee_number,
        user.profile.title,
        user.profile.phone,
        user.profile.locale,
        user.profile.time_zone,
        user.profile.external_id,
        user.local_part.as_str(),
        size,
        messages_hour,
        messages_day,
        recipients_hour,
        recipients_day,
        seen.revision,
        seen.moving,
        seen.companion_node_id.map(NodeId::uuid),
    )
    .execute(db)
    .await
    .on_constraint("account_external_id_key", || known_twice(user))
    .on_constraint("account_department_id_fkey", no_department)?;
    Ok(done.rows_affected() > 0)
}

/// Writes whether and when a user was deleted; the status stays what it was.
pub async fn update_deletion(db: impl PgExecutor<'_>, user: &User) -> Result<()> {
    sqlx::query!(
        "UPDATE account SET deleted_at = $2, purge_at = $3, revision = $4, updated_at = $5
          WHERE id = $1",
        user.id.uuid(),
        user.deletion.map(|one| one.deleted_at),
        user.deletion.map(|one| one.purge_at),
        user.revision,
        user.updated_at,
    )
    .execute(db)
    .await
    .on_constraint("account_external_id_key", || known_twice(user))?;
    Ok(())
}

/// Counts a change of a user that is none of the row: who has seen the row before sees it again.
pub async fn touch(db: impl PgExecutor<'_>, id: UserId, now: OffsetDateTime) -> Result<()> {
    sqlx::query!(
        "UPDATE account SET revision = revision + 1, updated_at = $2 WHERE id = $1",
        id.uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes users that were deleted out of a department that goes.
pub async fn leave_deleted(db: impl PgExecutor<'_>, department: DepartmentId) -> Result<()> {
    sqlx::query!(
        "UPDATE account SET department_id = NULL
          WHERE department_id = $1 AND deleted_at IS NOT NULL",
        department.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

fn known_twice(user: &User) -> Error {
    Error::AlreadyExists { kind: "external_id", name: user.profile.external_id.clone() }
}

/// Removes a user with credentials, sessions and roles; aliases are removed before.
pub async fn delete(db: impl PgExecutor<'_>, id: UserId) -> Result<()> {
    sqlx::query!("DELETE FROM account WHERE id = $1", id.uuid()).execute(db).await?;
    Ok(())
}

/// The domain of a user who may sign in, and its status. The user is active, and so is the domain,
/// or the user administers something in it.
pub async fn find_sign_in_domain(
    db: impl PgExecutor<'_>,
    id: UserId,
) -> Result<Option<(DomainId, Status)>> {
    let row = sqlx::query!(
        "SELECT account.domain_id, domain.status
           FROM account JOIN domain ON domain.id = account.domain_id
          WHERE account.id = $1 AND account.status = 1 AND account.deleted_at IS NULL
            AND domain.deleted_at IS NULL
            AND (domain.status = 1 OR EXISTS (
                     SELECT FROM role_assignment
                      WHERE account_id = account.id
                        AND role_assignment.domain_id = account.domain_id))",
        id.uuid(),
    );
    let Some(row) = row.fetch_optional(db).await? else { return Ok(None) };
    let status = Status::from_number(row.status);
    let status = status.ok_or_else(|| Error::corrupt("domain", row.domain_id, "status"))?;
    Ok(Some((row.domain_id, status)))
}

/// The functions that a user has on every level; nothing if there is no such user.
pub async fn find_functions(db: impl PgExecutor<'_>, id: UserId) -> Result<Option<Functions>> {
    let bits = sqlx::query_scalar!(
        r#"SELECT account.functions & domain.functions & plan.functions
                  & coalesce((SELECT bit_and(department.functions)
                                FROM department_above AS above
                                JOIN department ON department.id = above.above_id
                               WHERE above.department_id = account.department_id), -1)
                  AS "functions!"
             FROM account
             JOIN domain ON domain.id = account.domain_id
             JOIN plan ON plan.id = account.plan_id
            WHERE account.id = $1"#,
        id.uuid(),
    );
    Ok(bits.fetch_optional(db).await?.map(functions::from_column))
}

/// The user of this address who may sign in, with the hash of the password.
pub async fn find_password(
    db: impl PgExecutor<'_>,
    local_part: &str,
    domain: &str,
) -> Result<Option<(UserId, String)>> {
    let row = sqlx::query!(
        "SELECT account.id, credential.hash
           FROM address
           JOIN domain ON domain.id = address.domain_id
           JOIN account ON account.id = address.owner_id AND account.local_part = $1
           JOIN credential ON credential.account_id = account.id AND credential.kind = 1
          WHERE address.local_part = $1 AND domain.name = $2
            AND account.status = 1 AND account.deleted_at IS NULL AND domain.deleted_at IS NULL
            AND (domain.status = 1 OR EXISTS (
                     SELECT FROM role_assignment
                      WHERE account_id = account.id
                        AND role_assignment.domain_id = account.domain_id))",
        local_part,
        domain,
    );
    Ok(row.fetch_optional(db).await?.map(|row| (row.id, row.hash)))
}

/// The user whose address this is, an alias not being one.
pub async fn find_id(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    local_part: &str,
) -> Result<Option<UserId>> {
    let row = sqlx::query_scalar!(
        "SELECT account.id FROM address JOIN account ON account.id = address.owner_id
          WHERE address.domain_id = $1 AND address.local_part = $2
            AND account.deleted_at IS NULL",
        domain.uuid(),
        local_part,
    );
    Ok(row.fetch_optional(db).await?)
}

/// Keeps a user from being locked or removed until the transaction ends; nothing happens if there is
/// none.
pub async fn hold(db: impl PgExecutor<'_>, id: UserId) -> Result<()> {
    sqlx::query!(r#"SELECT 1 AS "one!" FROM account WHERE id = $1 FOR KEY SHARE"#, id.uuid())
        .fetch_optional(db)
        .await?;
    Ok(())
}
