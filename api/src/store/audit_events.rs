//! Audit events: written once, never changed.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use umail_proto::ids::{ApiKeyId, AuditEventId, DepartmentId, DomainId, UserId};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    model::audit::{AuditEvent, Kind, Scope},
};

/// An event as the queries of this file and of the seals read it.
pub(super) struct Row {
    pub(super) id: AuditEventId,
    pub(super) at: OffsetDateTime,
    pub(super) kind: String,
    pub(super) actor_kind: String,
    pub(super) actor_id: Option<Uuid>,
    pub(super) api_key_id: Option<ApiKeyId>,
    pub(super) client_address: Option<String>,
    pub(super) action: String,
    pub(super) resource: String,
    pub(super) resource_id: Option<Uuid>,
    pub(super) domain_id: Option<DomainId>,
    pub(super) department_id: Option<DepartmentId>,
    pub(super) user_id: Option<UserId>,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    pub(super) request_id: String,
}

impl TryFrom<Row> for AuditEvent {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let kind = Kind::from_name(&row.kind);
        let kind = kind.ok_or_else(|| Error::corrupt("audit_event", row.id, &row.kind))?;
        Ok(Self {
            id: row.id,
            at: row.at,
            kind,
            actor_kind: row.actor_kind.into(),
            actor_id: row.actor_id,
            api_key_id: row.api_key_id,
            client_address: row.client_address,
            action: row.action.into(),
            resource: row.resource.into(),
            resource_id: row.resource_id,
            domain_id: row.domain_id,
            department_id: row.department_id,
            user_id: row.user_id,
            before: row.before,
            after: row.after,
            request_id: row.request_id,
        })
    }
}

/// Writes an event, which then waits for its seal.
pub async fn insert(db: impl PgExecutor<'_>, event: &AuditEvent) -> Result<()> {
    sqlx::query!(
        "WITH event AS (
             INSERT INTO audit_event (id, at, kind, actor_kind, actor_id, api_key_id, client_address,
                                      action, resource, resource_id, domain_id, department_id,
                                      user_id, before, after, request_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text::jsonb,
                     $15::text::jsonb, $16))
         INSERT INTO audit_unsealed (event_id) VALUES ($1)",
        event.id.uuid(),
        event.at,
        event.kind.name(),
        &event.actor_kind,
        event.actor_id,
        event.api_key_id.map(ApiKeyId::uuid),
        event.client_address,
        &event.action,
        &event.resource,
        event.resource_id,
        event.domain_id.map(DomainId::uuid),
        event.department_id.map(DepartmentId::uuid),
        event.user_id.map(UserId::uuid),
        event.before,
        event.after,
        event.request_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes many events of one request, which differ in what was done to which thing.
pub async fn insert_all(db: impl PgExecutor<'_>, events: &[AuditEvent]) -> Result<()> {
    let Some(common) = events.first() else { return Ok(()) };
    let ids: Vec<_> = events.iter().map(|one| one.id.uuid()).collect();
    let actions: Vec<_> = events.iter().map(|one| one.action.to_string()).collect();
    let resources: Vec<_> = events.iter().map(|one| one.resource_id).collect();
    let domains: Vec<_> = events.iter().map(|one| one.domain_id.map(DomainId::uuid)).collect();
    let departments: Vec<_> =
        events.iter().map(|one| one.department_id.map(DepartmentId::uuid)).collect();
    let users: Vec<_> = events.iter().map(|one| one.user_id.map(UserId::uuid)).collect();
    let befores: Vec<_> = events.iter().map(|one| one.before.clone()).collect();
    let afters: Vec<_> = events.iter().map(|one| one.after.clone()).collect();
    sqlx::query!(
        "WITH event AS (
             INSERT INTO audit_event (id, at, kind, actor_kind, actor_id, api_key_id, client_address,
                                      action, resource, resource_id, domain_id, department_id,
                                      user_id, before, after, request_id)
             SELECT id, $9, $10, $11, $12, $13, $14, action, $15, resource_id, domain_id,
                    department_id, user_id, before::jsonb, after::jsonb, $16
               FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[],
                           $7::text[], $8::text[])
                    AS new (id, action, resource_id, domain_id, department_id, user_id, before,
                            after))
         INSERT INTO audit_unsealed (event_id) SELECT unnest($1::uuid[])",
        &ids,
        &actions,
        &resources as &[Option<Uuid>],
        &domains as &[Option<Uuid>],
        &departments as &[Option<Uuid>],
        &users as &[Option<Uuid>],
        &befores as &[Option<String>],
        &afters as &[Option<String>],
        common.at,
        common.kind.name(),
        &common.actor_kind,
        common.actor_id,
        common.api_key_id.map(ApiKeyId::uuid),
        common.client_address,
        &common.resource,
        common.request_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Which events are wanted: those for which all of this holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What this one did.
    pub actor_id: Option<Uuid>,
    /// What is about this user.
    pub user_id: Option<Uuid>,
    /// What was done to things of this kind.
    pub resource: Option<String>,
    /// What was done to this thing.
    pub resource_id: Option<Uuid>,
    /// What belongs to this domain.
    pub domain_id: Option<Uuid>,
    /// What was done.
    pub action: Option<String>,
    /// Changes, or what is about security.
    pub kind: Option<Kind>,
    /// Not before this time.
    pub from: Option<OffsetDateTime>,
    /// Before this time.
    pub to: Option<OffsetDateTime>,
    /// Ids from this on.
    pub first: Uuid,
    /// Ids below this.
    pub end: Uuid,
    /// So many events at most.
    pub limit: i64,
}

/// Reads events by a statement that goes on behind its columns.
macro_rules! reading {
    ($db:expr, $scope:expr, $filter:expr, $($rest:tt)+) => {
        sqlx::query_as!(
            Row,
            "SELECT id, at, kind, actor_kind, actor_id, api_key_id, client_address, action, resource,
                    resource_id, domain_id, department_id, user_id, before::text AS before,
                    after::text AS after, request_id
               FROM audit_event " + $($rest)+,
            $filter.end,
            $filter.first,
            $filter.limit,
            $filter.from,
            $filter.to,
            $filter.kind.map(Kind::name),
            $filter.resource_id,
            $filter.user_id,
            $filter.actor_id,
            $filter.domain_id,
            $filter.resource,
            $filter.action,
            *$scope == Scope::All,
            matches!($scope, Scope::Domains { .. }),
            $scope.domains(),
            $scope.departments(),
            $scope.own(),
        )
        .fetch_all($db)
        .await?
    };
}

/// Reads the newest of the events that one condition finds by its index. The statement names it, so
/// that the plan is good whatever the other filters are.
macro_rules! found {
    ($found:tt, $passing:tt, $db:expr, $scope:expr, $filter:expr) => {
        reading!(
            $db,
            $scope,
            $filter,
            "WHERE " + $found + " AND " + $passing + " ORDER BY id DESC LIMIT $3"
        )
    };
}

/// Reads the newest events of each place, and of those the newest: no index has all places in order.
macro_rules! in_places {
    ($passing:tt, $db:expr, $scope:expr, $filter:expr) => {
        reading!(
            $db,
            $scope,
            $filter,
            "WHERE id = ANY (ARRAY(
                 SELECT newest.id FROM unnest($15::uuid[]) AS place CROSS JOIN LATERAL
                     (SELECT id FROM audit_event WHERE domain_id = place AND "
                + $passing
                + "
                       ORDER BY id DESC LIMIT $3) AS newest
                 UNION ALL
                 SELECT newest.id FROM unnest($16::uuid[]) AS place CROSS JOIN LATERAL
                     (SELECT id FROM audit_event WHERE department_id = place AND "
                + $passing
                + "
                       ORDER BY id DESC LIMIT $3) AS newest
                 UNION ALL
                 (SELECT id FROM audit_event WHERE actor_id = $17 AND "
                + $passing
                + "
                   ORDER BY id DESC LIMIT $3)
                 UNION ALL
                 (SELECT id FROM audit_event WHERE user_id = $17 AND "
                + $passing
                + "
                   ORDER BY id DESC LIMIT $3)))
              ORDER BY id DESC LIMIT $3"
        )
    };
}

/// Gives another macro the condition for what all filters let pass, and is in the scope.
macro_rules! passing {
    ($read:ident!($($condition:tt)?), $($given:expr),+) => {
        $read!(
            $($condition,)?
            "id < $1 AND id >= $2 AND ($4::timestamptz IS NULL OR at >= $4)
                AND ($5::timestamptz IS NULL OR at < $5) AND ($6::text IS NULL OR kind = $6)
                AND ($7::uuid IS NULL OR resource_id = $7) AND ($8::uuid IS NULL OR user_id = $8)
                AND ($9::uuid IS NULL OR actor_id = $9) AND ($10::uuid IS NULL OR domain_id = $10)
                AND ($11::text IS NULL OR resource = $11) AND ($12::text IS NULL OR action = $12)
                AND ($13 OR ($14 AND domain_id IS NOT NULL) OR domain_id = ANY ($15)
                     OR department_id = ANY ($16)
                     OR (actor_id = $17 OR user_id = $17) AND action <> 'hide')",
            $($given),+
        )
    };
}

/// The newest events in a scope.
pub async fn list(
    db: impl PgExecutor<'_>,
    scope: &Scope,
    filter: &Filter,
) -> Result<Vec<AuditEvent>> {
    let rows = match (scope, filter) {
        (_, Filter { resource_id: Some(_), .. }) => {
            passing!(found!("resource_id = $7"), db, scope, filter)
        }
        (_, Filter { user_id: Some(_), .. }) => {
            passing!(found!("user_id = $8"), db, scope, filter)
        }
        (_, Filter { actor_id: Some(_), .. }) => {
            passing!(found!("actor_id = $9"), db, scope, filter)
        }
        (Scope::Places { .. }, _) => passing!(in_places!(), db, scope, filter),
        (_, Filter { domain_id: Some(_), .. }) => {
            passing!(found!("domain_id = $10"), db, scope, filter)
        }
        (_, Filter { resource: Some(_), .. }) => {
            passing!(found!("resource = $11"), db, scope, filter)
        }
        (_, Filter { action: Some(action), .. }) if !is_change(action) => {
            passing!(found!("kind = 'security' AND action = $12"), db, scope, filter)
        }
        _ => passing!(found!("true"), db, scope, filter),
    };
    rows.into_iter().map(AuditEvent::try_from).collect()
}

/// What users and nodes of these ids are called now.
pub async fn list_names(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<(Uuid, String)>> {
    let rows = sqlx::query!(
        r#"SELECT account.id AS "id!", local_part || '@' || domain.name AS "name!"
             FROM account JOIN domain ON domain.id = domain_id WHERE account.id = ANY ($1)
            UNION ALL SELECT id, name FROM node WHERE id = ANY ($1)"#,
        ids,
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id, row.name)).collect())
}

/// What is done all the time is found soon without an index.
fn is_change(action: &str) -> bool {
    ["create", "update", "delete", "operate"].contains(&action)
}
