//! Versions follow the order of commits, whatever the order of ids.

use std::collections::BTreeSet;

use tokio::task::JoinSet;
use umail_api::{database::pool::Pool, store::changes};
use umail_proto::agent::RowKind;
use umail_tests::database;
use uuid::Uuid;

use crate::fixture::{changed, now, run, sequence};

async fn keys_after(pool: &Pool, version: i64) -> Vec<(i64, Uuid)> {
    let list = changes::list(pool, version, 100_000).await.unwrap();
    list.into_iter().map(|one| (one.version, one.key)).collect()
}

#[tokio::test]
async fn a_change_that_commits_late_gets_a_later_version() {
    let pool = database::create().await;
    let (early, late) = (Uuid::new_v4(), Uuid::new_v4());
    let mut slow = pool.begin().await.unwrap();
    changes::insert(&mut *slow, RowKind::User, early, None).await.unwrap();
    changed(&pool, RowKind::User, late, None).await;
    assert_eq!(sequence(&pool).await, 1);
    assert_eq!(keys_after(&pool, 0).await, [(1, late)]);
    slow.commit().await.unwrap();
    assert!(changes::watermark(&pool).await.unwrap().is_pending);
    assert_eq!(sequence(&pool).await, 1);
    assert_eq!(keys_after(&pool, 1).await, [(2, early)]);
    assert!(!changes::watermark(&pool).await.unwrap().is_pending);
}

#[tokio::test]
async fn a_change_that_is_rolled_back_leaves_no_gap() {
    let pool = database::create().await;
    let mut failed = pool.begin().await.unwrap();
    changes::insert(&mut *failed, RowKind::User, Uuid::new_v4(), None).await.unwrap();
    changed(&pool, RowKind::User, Uuid::new_v4(), None).await;
    drop(failed);
    changed(&pool, RowKind::User, Uuid::new_v4(), None).await;
    sequence(&pool).await;
    let versions: Vec<_> = keys_after(&pool, 0).await.iter().map(|one| one.0).collect();
    assert_eq!(versions, [1, 2]);
}

/// Writers that hold their transactions open for random times, and three sequencers at once. A
/// reader that goes on from the version it has reached must see every change once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_misses_nothing_under_load() {
    const WRITERS: u64 = 6;
    const EACH: u64 = 40;
    let pool = database::create().await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let pool = pool.clone();
        writers.spawn(async move {
            let mut written = Vec::new();
            for turn in 0..EACH {
                let mut tx = pool.begin().await.unwrap();
                let key = Uuid::new_v4();
                changes::insert(&mut *tx, RowKind::User, key, None).await.unwrap();
                let pause = (writer * 7 + turn * 13) % 11;
                tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
                tx.commit().await.unwrap();
                written.push(key);
            }
            written
        });
    }
    let mut sequencers = JoinSet::new();
    for _ in 0..3 {
        let pool = pool.clone();
        sequencers.spawn(async move {
            let mut count = 0;
            for _ in 0..60 {
                count += sequence(&pool).await;
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
            count
        });
    }
    let mut seen: Vec<(i64, Uuid)> = Vec::new();
    while !writers.is_empty() {
        seen.extend(keys_after(&pool, seen.last().map_or(0, |last| last.0)).await);
        if writers.try_join_next().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
    let numbered: u64 = sequencers.join_all().await.iter().sum::<u64>() + sequence(&pool).await;
    seen.extend(keys_after(&pool, seen.last().map_or(0, |last| last.0)).await);
    assert_eq!(numbered, WRITERS * EACH);
    let versions: Vec<_> = seen.iter().map(|one| one.0).collect();
    let expected: Vec<_> = (1..=i64::try_from(WRITERS * EACH).unwrap()).collect();
    assert_eq!(versions, expected);
    assert_eq!(seen.iter().map(|one| one.1).collect::<BTreeSet<_>>().len(), expected.len());
}

#[tokio::test]
async fn trimming_keeps_the_newest_and_says_how_far_it_went() {
    let pool = database::create().await;
    for _ in 0..10 {
        changed(&pool, RowKind::User, Uuid::new_v4(), None).await;
    }
    sequence(&pool).await;
    let trim = async |before, keep| {
        let mut tx = pool.begin().await.unwrap();
        let count = changes::trim(&mut tx, before, keep).await.unwrap();
        tx.commit().await.unwrap();
        count
    };
    assert_eq!(trim(now(), 100).await, 0);
    assert_eq!(trim(now(), 4).await, 6);
    assert_eq!(changes::watermark(&pool).await.unwrap().trimmed, 6);
    assert_eq!(keys_after(&pool, 0).await.first().unwrap().0, 7);
    run(&pool, "UPDATE change SET created_at = '2000-01-01' WHERE version <= 8").await;
    assert_eq!(trim(now(), 100).await, 2);
    assert_eq!(changes::watermark(&pool).await.unwrap().trimmed, 8);
}
