//! Reads of single rows that are wanted at the same moment, by one statement.
//!
//! Starting a statement costs the database more than another row does. Whoever wants a row joins
//! those who wait already, so the busier the server, the less each read costs; alone, a read goes at
//! once (decision 0031).

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{Semaphore, oneshot},
    task,
};

use crate::{database::pool::Pool, error::Result};

/// Rows of one statement at most.
const ROWS: usize = 100;

/// Reads the rows of these keys; the rows of keys that there are not are left out.
pub type List<K, V> = fn(Pool, Vec<K>) -> BoxFuture<'static, Result<Vec<(K, V)>>>;

/// Reads rows by key.
pub struct Gathered<K, V> {
    list: List<K, V>,
    waiting: Arc<Mutex<Vec<Batch<K, V>>>>,
    /// Statements that see all rows at the same time: meanwhile, others gather.
    statements: Arc<Semaphore>,
}

/// What the next statement reads, for those who see the same rows.
struct Batch<K, V> {
    pool: Pool,
    wanted: Wanted<K, V>,
}

type Wanted<K, V> = HashMap<K, Vec<oneshot::Sender<Option<V>>>>;

impl<K, V> Gathered<K, V>
where
    K: Copy + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Reads by this statement.
    #[must_use]
    pub fn new(list: List<K, V>) -> Self {
        let at_once = thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        Self { list, waiting: Arc::default(), statements: Arc::new(Semaphore::new(at_once)) }
    }

    /// The row of this key as it is now or a little later, if it is in reach of the pool.
    pub async fn find(&self, pool: &Pool, key: K) -> Result<Option<V>> {
        match self.join(pool, key).await {
            Ok(found) => Ok(found),
            // The statement for all has failed; what ails this one it has to hear itself.
            Err(_dropped) => {
                let rows = (self.list)(pool.clone(), vec![key]).await?;
                Ok(rows.into_iter().next().map(|(_, row)| row))
            }
        }
    }

    fn join(&self, pool: &Pool, key: K) -> oneshot::Receiver<Option<V>> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        let open = waiting.iter_mut().find(|one| one.wanted.len() < ROWS && one.pool == *pool);
        if let Some(batch) = open {
            batch.wanted.entry(key).or_default().push(answer);
        } else {
            let wanted = HashMap::from([(key, vec![answer])]);
            waiting.push(Batch { pool: pool.clone(), wanted });
            self.start(pool.clone());
        }
        answered
    }

    /// Reads one batch of those that wait for rows of this pool. A task of its own: whoever began the
    /// batch may be gone before it is read.
    #[expect(clippy::disallowed_methods, reason = "ends by itself, after one statement")]
    fn start(&self, pool: Pool) {
        let (list, waiting) = (self.list, Arc::clone(&self.waiting));
        let statements = Arc::clone(&self.statements);
        tokio::spawn(async move {
            // All requests that have arrived already come first, and join.
            task::yield_now().await;
            // Signed-in users hardly ever want the same together, and must not wait for each other.
            let _permit = if pool.is_narrowed() { None } else { statements.acquire().await.ok() };
            let Some(mut wanted) = take(&waiting, &pool) else { return };
            let keys = wanted.keys().copied().collect();
            // Otherwise all answers are dropped, which says so.
            let Ok(rows) = list(pool, keys).await else { return };
            for (key, row) in rows {
                answer(wanted.remove(&key).unwrap_or_default(), row);
            }
            for nobody in wanted.into_values().flatten() {
                nobody.send(None).ok();
            }
        });
    }
}

/// The batch of this pool that has waited longest.
fn take<K, V>(waiting: &Mutex<Vec<Batch<K, V>>>, pool: &Pool) -> Option<Wanted<K, V>> {
    let mut waiting = lock(waiting);
    let at = waiting.iter().position(|one| one.pool == *pool)?;
    Some(waiting.remove(at).wanted)
}

/// Whoever is gone meanwhile needs no answer.
fn answer<V: Clone>(mut all: Vec<oneshot::Sender<Option<V>>>, row: V) {
    let last = all.pop();
    for one in all {
        one.send(Some(row.clone())).ok();
    }
    if let Some(last) = last {
        last.send(Some(row)).ok();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> fmt::Debug for Gathered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::join_all};
    use sqlx::postgres::PgConnectOptions;

    use super::*;
    use crate::{database::pool::Reach, error::Error};

    /// Never connects, since nothing asks it.
    fn pool() -> Pool {
        Pool::new(PgConnectOptions::new(), 1)
    }

    /// With each even key, how many keys the statement has; 999 makes it fail.
    fn list(_: Pool, keys: Vec<u32>) -> BoxFuture<'static, Result<Vec<(u32, usize)>>> {
        let rows = async move {
            if keys.contains(&999) {
                return Err(Error::internal("999"));
            }
            let even = keys.iter().filter(|key| *key % 2 == 0);
            Ok(even.map(|key| (*key, keys.len())).collect())
        };
        rows.boxed()
    }

    #[tokio::test]
    async fn rows_wanted_together_are_read_together() {
        let (gathered, pool) = (Gathered::new(list), pool());
        let wanted = (0..240).map(|key| gathered.find(&pool, key));
        let found = join_all(wanted).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(found[..100], [Some(100), None].repeat(50));
        assert_eq!(found[200..], [Some(40), None].repeat(20));
        let twice = join_all([gathered.find(&pool, 2), gathered.find(&pool, 2)]).await;
        assert!(twice.into_iter().all(|one| one.unwrap() == Some(1)), "read once");
        assert_eq!(gathered.find(&pool, 4).await.unwrap(), Some(1), "alone, at once");
    }

    #[tokio::test]
    async fn others_do_not_see_rows_of_another_reach() {
        let (gathered, whole) = (Gathered::new(list), pool());
        let of = |user: &str| whole.within(Reach { user: user.to_owned(), ..Reach::default() });
        let (anna, ben, anna_too) = (of("anna"), of("ben"), of("anna"));
        let found = tokio::join!(
            gathered.find(&anna, 2),
            gathered.find(&whole, 2),
            gathered.find(&ben, 2),
            gathered.find(&anna_too, 4),
        );
        let found = [found.0, found.1, found.2, found.3].map(Result::unwrap);
        assert_eq!(found, [Some(2), Some(1), Some(1), Some(2)]);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_whom_it_concerns() {
        let (gathered, pool) = (Gathered::new(list), pool());
        let (good, bad) = tokio::join!(gathered.find(&pool, 2), gathered.find(&pool, 999));
        assert_eq!(good.unwrap(), Some(1));
        assert!(bad.is_err());
    }

    #[tokio::test]
    async fn whoever_began_may_be_gone() {
        let (gathered, pool) = (Gathered::new(list), pool());
        assert!(gathered.find(&pool, 2).now_or_never().is_none());
        assert_eq!(gathered.find(&pool, 4).await.unwrap(), Some(2));
    }
}
