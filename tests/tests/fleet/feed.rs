//! What each kind of node is sent: a snapshot, deltas, and nothing that is not its business.

use umail_api::{
    database::pool::Pool,
    fleet::feed::{self, Cursor, Next, Position},
    model::plan,
    store::changes,
};
use umail_proto::{
    agent::{Delta, DirectoryRow, RowKind},
    ids::NodeId,
};
use umail_tests::database;
use uuid::Uuid;

use crate::fixture::{
    changed, domain, domain_alias, group, keys, node, removed, run, sequence, user,
};

async fn position(pool: &Pool) -> Position {
    sequence(pool).await;
    let mark = changes::watermark(pool).await.unwrap();
    Position { epoch: mark.epoch, version: mark.version }
}

async fn snapshot(pool: &Pool, node: NodeId) -> Vec<DirectoryRow> {
    let (mut all, mut cursor) = (Vec::new(), Cursor::START);
    loop {
        let (rows, next) = feed::rows(pool, node, cursor, 2).await.unwrap();
        if rows.is_empty() {
            return all;
        }
        assert!(rows.len() <= 2);
        all.extend(rows);
        cursor = next;
    }
}

async fn delta(pool: &Pool, node: NodeId, from: Position) -> Delta {
    sequence(pool).await;
    match feed::next(pool, node, Some(from)).await.unwrap() {
        Next::Delta(delta) => delta,
        other => panic!("a delta was expected, not {other:?}"),
    }
}

struct World {
    pool: Pool,
    smtp: NodeId,
    pop: NodeId,
    first: NodeId,
    second: NodeId,
    domain: Uuid,
}

async fn world() -> World {
    let pool = database::create().await;
    World {
        smtp: node(&pool, "smtp-1", "smtp").await,
        pop: node(&pool, "pop-1", "pop").await,
        first: node(&pool, "storage-1", "storage").await,
        second: node(&pool, "storage-2", "storage").await,
        domain: domain(&pool, "example.com").await,
        pool,
    }
}

fn row(kind: RowKind, id: impl Into<Uuid>) -> (RowKind, String) {
    (kind, id.into().to_string())
}

fn sorted(mut rows: Vec<(RowKind, String)>) -> Vec<(RowKind, String)> {
    rows.sort();
    rows
}

#[tokio::test]
async fn every_role_sees_its_own_part() {
    let w = world().await;
    let (alice, alices) = user(&w.pool, w.domain, "alice", w.first).await;
    let (bob, bobs) = user(&w.pool, w.domain, "bob", w.second).await;
    let shared = [
        row(RowKind::Domain, w.domain),
        row(RowKind::StorageNode, w.first),
        row(RowKind::StorageNode, w.second),
        row(RowKind::Plan, plan::standard()),
    ];
    let with = |more: &[(RowKind, String)]| sorted([&shared, more].concat());
    let users = [row(RowKind::User, alice), row(RowKind::User, bob)];
    let passwords = [row(RowKind::Credential, alices), row(RowKind::Credential, bobs)];
    assert_eq!(keys(&snapshot(&w.pool, w.smtp).await), with(&users));
    assert_eq!(keys(&snapshot(&w.pool, w.pop).await), with(&[users, passwords].concat()));
    let own = [row(RowKind::User, alice), row(RowKind::Credential, alices)];
    assert_eq!(keys(&snapshot(&w.pool, w.first).await), with(&own));
    run(
        &w.pool,
        format!(
            "INSERT INTO service (node_id, kind, listeners)
             VALUES ('{}', 'postfix', '{{smtp,submission}}')",
            w.smtp
        ),
    )
    .await;
    assert_eq!(keys(&snapshot(&w.pool, w.smtp).await).len(), 8);
}

#[tokio::test]
async fn every_node_learns_the_other_names_of_domains() {
    let w = world().await;
    let here = position(&w.pool).await;
    let also = domain_alias(&w.pool, w.domain, "example.net").await;
    let own = row(RowKind::DomainAlias, also);
    for node in [w.smtp, w.pop, w.first] {
        assert_eq!(keys(&delta(&w.pool, node, here).await.upserts), std::slice::from_ref(&own));
        assert!(keys(&snapshot(&w.pool, node).await).contains(&own));
    }
    let there = position(&w.pool).await;
    run(&w.pool, format!("DELETE FROM domain_alias WHERE id = '{also}'")).await;
    changed(&w.pool, RowKind::DomainAlias, also, None).await;
    for node in [w.smtp, w.pop, w.first] {
        assert_eq!(removed(&delta(&w.pool, node, there).await), std::slice::from_ref(&own));
    }
}

#[tokio::test]
async fn groups_are_for_who_takes_mail_in_and_not_for_storage() {
    let w = world().await;
    let here = position(&w.pool).await;
    let (team, member) = group(&w.pool, w.domain, "team").await;
    let both = sorted(vec![row(RowKind::Group, team), row(RowKind::GroupMember, member)]);
    let there = position(&w.pool).await;
    for node in [w.smtp, w.pop] {
        assert_eq!(keys(&delta(&w.pool, node, here).await.upserts), both);
        let all = keys(&snapshot(&w.pool, node).await);
        assert!(both.iter().all(|one| all.contains(one)), "{all:?}");
    }
    let all = keys(&snapshot(&w.pool, w.first).await);
    assert!(both.iter().all(|one| !all.contains(one)), "{all:?}");
    assert!(keys(&delta(&w.pool, w.first, here).await.upserts).is_empty());

    // One that goes takes its members along, by its own row.
    run(&w.pool, format!("DELETE FROM mail_group WHERE id = '{team}'")).await;
    changed(&w.pool, RowKind::Group, team, Some(&[])).await;
    assert_eq!(removed(&delta(&w.pool, w.smtp, there).await), [row(RowKind::Group, team)]);
}

#[tokio::test]
async fn a_replica_that_cannot_resume_gets_a_snapshot() {
    let w = world().await;
    let here = position(&w.pool).await;
    let next = async |have| feed::next(&w.pool, w.pop, have).await.unwrap();
    assert_eq!(next(None).await, Next::Snapshot);
    assert_eq!(next(Some(here)).await, Next::Nothing);
    assert_eq!(next(Some(Position { epoch: Uuid::new_v4(), ..here })).await, Next::Snapshot);
    assert_eq!(next(Some(Position { version: here.version + 1, ..here })).await, Next::Snapshot);
    let mut tx = w.pool.begin().await.unwrap();
    changes::trim(&mut tx, crate::fixture::now(), 2).await.unwrap();
    tx.commit().await.unwrap();
    let trimmed = changes::watermark(&w.pool).await.unwrap().trimmed;
    assert!(trimmed > 0);
    assert_eq!(next(Some(Position { version: trimmed - 1, ..here })).await, Next::Snapshot);
    assert!(matches!(next(Some(Position { version: trimmed, ..here })).await, Next::Delta(_)));
}

#[tokio::test]
async fn another_view_calls_for_a_snapshot_of_this_node_only() {
    let w = world().await;
    let here = position(&w.pool).await;
    changed(&w.pool, RowKind::Unspecified, w.smtp.uuid(), Some(&[w.smtp])).await;
    sequence(&w.pool).await;
    assert_eq!(feed::next(&w.pool, w.smtp, Some(here)).await.unwrap(), Next::Snapshot);
    let others = delta(&w.pool, w.pop, here).await;
    assert!(others.upserts.is_empty() && others.removals.is_empty());
    assert_eq!(others.to_version, here.version.cast_unsigned() + 1);
}

#[tokio::test]
async fn a_storage_node_learns_nothing_of_foreign_users() {
    let w = world().await;
    let here = position(&w.pool).await;
    user(&w.pool, w.domain, "alice", w.first).await;
    let other = delta(&w.pool, w.second, here).await;
    assert!(other.upserts.is_empty() && other.removals.is_empty());
    assert_eq!(other.to_version, here.version.cast_unsigned() + 2);
    assert_eq!(delta(&w.pool, w.first, here).await.upserts.len(), 2);
}

#[tokio::test]
async fn a_user_enters_and_leaves_a_view_with_what_hangs_on_it() {
    let w = world().await;
    let (alice, alices) = user(&w.pool, w.domain, "alice", w.first).await;
    let reply = "INSERT INTO autoreply (account_id, is_enabled, subject, text, updated_at)";
    run(&w.pool, format!("{reply} VALUES ('{alice}', true, '', 'Away.', now())")).await;
    let all = sorted(vec![
        row(RowKind::User, alice),
        row(RowKind::Credential, alices),
        row(RowKind::Autoreply, alice),
    ]);
    let placed = position(&w.pool).await;
    let update = async |set: &str| {
        run(&w.pool, format!("UPDATE account SET {set} WHERE id = '{alice}'")).await;
        changed(&w.pool, RowKind::User, alice, Some(&[w.first, w.second])).await;
    };
    update(&format!("companion_node_id = '{}'", w.second)).await;
    let entered = delta(&w.pool, w.second, placed).await;
    assert_eq!(keys(&entered.upserts), all);
    assert!(keys(&snapshot(&w.pool, w.second).await).contains(&row(RowKind::Autoreply, alice)));
    let shared = position(&w.pool).await;
    update("companion_node_id = NULL").await;
    let left = delta(&w.pool, w.second, shared).await;
    assert_eq!((keys(&left.upserts), removed(&left)), (vec![], all));
    assert!(!keys(&snapshot(&w.pool, w.second).await).contains(&row(RowKind::Autoreply, alice)));
    assert_eq!(removed(&delta(&w.pool, w.first, shared).await), []);
}

#[tokio::test]
async fn many_changes_come_in_deltas_that_follow_each_other() {
    let w = world().await;
    let mut have = position(&w.pool).await;
    let from = have.version;
    run(
        &w.pool,
        "INSERT INTO change (entity, key) SELECT 2, gen_random_uuid() FROM generate_series(1, 2500)",
    )
    .await;
    let mut removals = Vec::new();
    for _ in 0..3 {
        let delta = delta(&w.pool, w.pop, have).await;
        assert_eq!(delta.from_version, have.version.cast_unsigned());
        have.version = delta.to_version.cast_signed();
        removals.push(delta.removals.len());
    }
    assert_eq!((removals, have.version), (vec![1000, 1000, 500], from + 2500));
    assert_eq!(feed::next(&w.pool, w.pop, Some(have)).await.unwrap(), Next::Nothing);
}

#[tokio::test]
async fn a_deleted_user_is_told_by_its_status() {
    let w = world().await;
    let (alice, _) = user(&w.pool, w.domain, "alice", w.first).await;
    let here = position(&w.pool).await;
    run(
        &w.pool,
        format!("UPDATE account SET deleted_at = now(), purge_at = now() WHERE id = '{alice}'"),
    )
    .await;
    changed(&w.pool, RowKind::User, alice, None).await;
    let delta = delta(&w.pool, w.smtp, here).await;
    let told = match delta.upserts.first().unwrap().row.as_ref().unwrap() {
        umail_proto::agent::directory_row::Row::User(user) => user.status(),
        other => panic!("a user was expected, not {other:?}"),
    };
    assert_eq!(told, umail_proto::agent::AccountStatus::Deleted);
}

#[tokio::test]
async fn a_revoked_node_has_no_view() {
    let w = world().await;
    run(&w.pool, format!("UPDATE node SET revoked_at = now() WHERE id = '{}'", w.first)).await;
    assert!(feed::next(&w.pool, w.first, None).await.is_err());
    assert_eq!(
        keys(&snapshot(&w.pool, w.second).await),
        sorted(vec![
            row(RowKind::Domain, w.domain),
            row(RowKind::StorageNode, w.second),
            row(RowKind::Plan, plan::standard()),
        ])
    );
}
