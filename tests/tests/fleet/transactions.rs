//! Connections and transactions whose users are gone: a stream of an agent that has ended, a client
//! that has hung up, a database that was restarted.

use std::{
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Row};
use umail_api::{
    database::pool::{Pool, Transaction},
    error::Result,
};
use umail_tests::database;

/// A pool of one connection, to a database of its own.
async fn pool_of_one() -> Pool {
    Pool::new(database::create().await.connect_options().clone(), 1)
}

async fn number(pool: &Pool, sql: &'static str) -> sqlx::Result<i32> {
    sqlx::raw_sql(sql).fetch_one(pool).await.map(|row| row.get(0))
}

/// Whether the only connection of the pool is in a transaction that nobody knows of.
async fn is_left_open(pool: &Pool) -> bool {
    // Inside of a transaction the time stands still; a simple query is one of its own otherwise.
    let sql = "SELECT now() <> statement_timestamp()";
    sqlx::raw_sql(sql).fetch_one(pool).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_given_up_while_it_begins_is_none() {
    let pool = pool_of_one().await;
    for turn in 0..200 {
        give_up(pool.begin(), turn % 20).await;
        assert!(!is_left_open(&pool).await, "turn {turn}");
        give_up(pool.begin_snapshot(), turn % 20).await;
        assert!(!is_left_open(&pool).await, "turn {turn}, of a snapshot");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_waits_for_goes_to_nobody_else() {
    let pool = pool_of_one().await;
    for turn in 0..200 {
        give_up(async { number(&pool, "SELECT 1").await.map_err(Into::into) }, turn % 20).await;
        assert_eq!(number(&pool, "SELECT 2").await.unwrap(), 2, "turn {turn}");
    }
}

#[tokio::test]
async fn a_transaction_that_is_given_up_gives_its_locks_back() {
    let pool = database::create().await;
    let lock = "SELECT 1 FROM control_plane FOR UPDATE";
    let mut lost: Transaction = pool.begin().await.unwrap();
    sqlx::raw_sql(lock).execute(&mut *lost).await.unwrap();
    drop(lost);
    let mut next = pool.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL lock_timeout = '5s'").execute(&mut *next).await.unwrap();
    sqlx::raw_sql(lock).execute(&mut *next).await.unwrap();
    next.commit().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_the_database_has_cut_is_replaced() {
    let pool = pool_of_one().await;
    let process = number(&pool, "SELECT pg_backend_pid()").await.unwrap();
    let other = Pool::new(pool.connect_options().clone(), 1);
    let cut = format!("SET ROLE NONE; SELECT pg_terminate_backend({process}, 10000)");
    sqlx::raw_sql(AssertSqlSafe(cut)).execute(&other).await.unwrap();
    // It was used just now, so that nobody asks it first: one of its users learns of it.
    let answers = [number(&pool, "SELECT 1").await, number(&pool, "SELECT 2").await];
    assert!(answers[0].is_err(), "{answers:?}");
    assert_eq!(answers[1].as_ref().ok(), Some(&2), "{answers:?}");
}

#[tokio::test]
async fn whoever_finds_no_connection_waits_for_one() {
    let pool = pool_of_one().await;
    let all = (0..50).map(|_| number(&pool, "SELECT 1"));
    assert!(futures_util::future::join_all(all).await.into_iter().all(|one| one.is_ok()));
}

/// Gives something up after so many tens of microseconds.
async fn give_up<T>(begin: impl Future<Output = Result<T>>, turn: u64) {
    let patience = Duration::from_micros(10 * turn);
    let start = Instant::now();
    let mut begin = pin!(begin);
    while start.elapsed() <= patience {
        if poll_once(begin.as_mut()).await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

/// Whoever is in a transaction finds a second connection, however many want to begin one.
#[tokio::test]
async fn transactions_leave_connections_for_what_they_ask_apart() {
    let pool = Pool::new(database::create().await.connect_options().clone(), 4);
    let all = (0..20).map(async |_turn| {
        let mut tx = pool.begin().await.unwrap();
        sqlx::raw_sql("SELECT 1").execute(&mut *tx).await.unwrap();
        // All who could begin have: now each wants another one.
        tokio::task::yield_now().await;
        let apart = number(&pool, "SELECT 1").await;
        tx.commit().await.unwrap();
        apart
    });
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}
