//! Transactions whose requests are given up while they begin: a stream of an agent that is gone, a
//! client that has hung up.

use std::{
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

use sqlx::{PgPool, Postgres, Row, postgres::PgPoolOptions};
use umail_api::{error::Result, transaction};
use umail_tests::database;

/// Whether the only connection of the pool is in a transaction that nobody knows of.
async fn is_left_open(pool: &PgPool) -> bool {
    // Inside of a transaction the time stands still; a simple query is one of its own otherwise.
    let sql = "SELECT now() <> statement_timestamp()";
    sqlx::raw_sql(sql).fetch_one(pool).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_given_up_while_it_begins_is_none() {
    let options = database::create().await.connect_options();
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect_with((*options).clone()).await.unwrap();
    for turn in 0..200 {
        give_up(transaction::begin(&pool), turn % 20).await;
        assert!(!is_left_open(&pool).await, "turn {turn}");
        give_up(transaction::begin_snapshot(&pool), turn % 20).await;
        assert!(!is_left_open(&pool).await, "turn {turn}, of a snapshot");
    }
}

/// Gives a beginning up after so many tens of microseconds.
async fn give_up(
    begin: impl Future<Output = Result<sqlx::Transaction<'static, Postgres>>>,
    turn: u64,
) {
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
