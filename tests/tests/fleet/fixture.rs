//! Rows for the tests of the fleet, written as the server writes them: with their changes.

use sqlx::AssertSqlSafe;
use time::{Duration, OffsetDateTime};
use umail_api::{database::pool::Pool, store::changes};
use umail_proto::{
    agent::{Delta, DirectoryRow, RowKind},
    ids::NodeId,
};
use umail_tests::agents::key;
use uuid::Uuid;

pub(crate) const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

pub(crate) fn now() -> OffsetDateTime {
    NOW + Duration::days(20_000)
}

/// Runs statements that belong to no function of the server.
pub(crate) async fn run(pool: &Pool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}

pub(crate) async fn node(pool: &Pool, name: &str, roles: &str) -> NodeId {
    let id = NodeId::generate(now());
    run(
        pool,
        format!(
            "INSERT INTO node (id, name, address, roles, created_at, updated_at)
             VALUES ('{id}', '{name}', '10.0.0.1', '{{{roles}}}', now(), now())"
        ),
    )
    .await;
    changed(pool, RowKind::StorageNode, id.uuid(), None).await;
    id
}

pub(crate) async fn domain(pool: &Pool, name: &str) -> Uuid {
    let id = Uuid::new_v4();
    run(
        pool,
        format!(
            "INSERT INTO domain_name (name, owner_id) VALUES ('{name}', '{id}');
             INSERT INTO domain (id, name, functions, created_at, updated_at)
             VALUES ('{id}', '{name}', 127, now(), now())"
        ),
    )
    .await;
    changed(pool, RowKind::Domain, id, None).await;
    id
}

/// Another name of a domain.
pub(crate) async fn domain_alias(pool: &Pool, domain: Uuid, name: &str) -> Uuid {
    let id = Uuid::new_v4();
    run(
        pool,
        format!(
            "INSERT INTO domain_name (name, owner_id) VALUES ('{name}', '{id}');
             INSERT INTO domain_alias (id, domain_id, name, created_at)
             VALUES ('{id}', '{domain}', '{name}', now())"
        ),
    )
    .await;
    changed(pool, RowKind::DomainAlias, id, None).await;
    id
}

/// A group with one member, an address.
pub(crate) async fn group(pool: &Pool, domain: Uuid, local_part: &str) -> (Uuid, Uuid) {
    let (id, member) = (Uuid::new_v4(), Uuid::new_v4());
    run(
        pool,
        format!(
            "INSERT INTO mail_group (id, domain_id, local_part, display_name, posting, created_at,
                                     updated_at)
             VALUES ('{id}', '{domain}', '{local_part}', '', 1, now(), now());
             INSERT INTO group_member (id, group_id, address, created_at)
             VALUES ('{member}', '{id}', 'x@elsewhere.example', now())"
        ),
    )
    .await;
    for (kind, key) in [(RowKind::Group, id), (RowKind::GroupMember, member)] {
        changed(pool, kind, key, Some(&[])).await;
    }
    (id, member)
}

/// A user with one password, on a storage node.
pub(crate) async fn user(
    pool: &Pool,
    domain: Uuid,
    local_part: &str,
    storage: NodeId,
) -> (Uuid, Uuid) {
    let (id, credential) = (Uuid::new_v4(), Uuid::new_v4());
    run(
        pool,
        format!(
            "INSERT INTO account (id, domain_id, local_part, functions, storage_node_id,
                                  plan_id, created_at, updated_at)
             VALUES ('{id}', '{domain}', '{local_part}', 127, '{storage}',
                     '00000000-0000-7000-8000-000000000001', now(), now());
             INSERT INTO address (domain_id, local_part, owner_id)
             VALUES ('{domain}', '{local_part}', '{id}');
             INSERT INTO credential (id, account_id, kind, hash, functions, created_at)
             VALUES ('{credential}', '{id}', 1, '{{ARGON2ID}}x', 63, now())"
        ),
    )
    .await;
    changed(pool, RowKind::User, id, Some(&[storage])).await;
    changed(pool, RowKind::Credential, credential, Some(&[storage])).await;
    (id, credential)
}

pub(crate) async fn changed(pool: &Pool, kind: RowKind, key: Uuid, nodes: Option<&[NodeId]>) {
    changes::insert(pool, kind, key, nodes).await.unwrap();
}

/// Gives every visible change its version.
pub(crate) async fn sequence(pool: &Pool) -> u64 {
    let mut tx = pool.begin().await.unwrap();
    let count = changes::sequence(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    count
}

/// Kind and id of each row, sorted.
pub(crate) fn keys(rows: &[DirectoryRow]) -> Vec<(RowKind, String)> {
    let mut keys: Vec<_> = rows.iter().map(key).collect();
    keys.sort();
    keys
}

pub(crate) fn removed(delta: &Delta) -> Vec<(RowKind, String)> {
    let mut keys: Vec<_> = delta.removals.iter().map(|key| (key.kind(), key.id.clone())).collect();
    keys.sort();
    keys
}
