//! A transaction of the app: one of its own, or a part of the one that an idempotent request holds.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::{Error, Result};

/// Begins a transaction of its own, for whoever has no request.
pub async fn begin(pool: &PgPool) -> Result<sqlx::Transaction<'static, Postgres>> {
    begin_with(pool, "BEGIN").await
}

/// Begins a transaction that reads one snapshot.
pub async fn begin_snapshot(pool: &PgPool) -> Result<sqlx::Transaction<'static, Postgres>> {
    begin_with(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
}

/// Begins a transaction to the end, even if whoever wants it is gone by then: it is rolled back.
/// The driver forgets a transaction that is given up after its BEGIN was sent and before it was
/// answered. The next user of the connection would work in it: read-only, or never committed.
#[expect(clippy::disallowed_methods, reason = "ends by itself, within the time for a connection")]
async fn begin_with(
    pool: &PgPool,
    statement: &'static str,
) -> Result<sqlx::Transaction<'static, Postgres>> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    Ok(begun.await.map_err(Error::internal)??)
}

/// The transaction of a request with an `Idempotency-Key`: the answer is stored in it.
#[derive(Clone, Debug)]
pub struct Enclosing(Arc<Mutex<Slot>>);

#[derive(Debug)]
struct Slot {
    transaction: Option<sqlx::Transaction<'static, Postgres>>,
    /// A part was given up: the whole must be, too.
    failed: bool,
}

impl Enclosing {
    /// Encloses all transactions of a request in this one.
    #[must_use]
    pub fn new(transaction: sqlx::Transaction<'static, Postgres>) -> Self {
        Self(Arc::new(Mutex::new(Slot { transaction: Some(transaction), failed: false })))
    }

    /// Takes the transaction back; nothing if a part of it failed.
    pub async fn finish(self) -> Option<sqlx::Transaction<'static, Postgres>> {
        let mut slot = self.0.lock().await;
        if slot.failed { None } else { slot.transaction.take() }
    }
}

/// Rolls back unless it is committed.
#[derive(Debug)]
pub struct Transaction(Inner);

#[derive(Debug)]
enum Inner {
    Own(sqlx::Transaction<'static, Postgres>),
    Part(Part),
}

/// Marks the whole as failed when it is dropped before the commit.
#[derive(Debug)]
struct Part {
    slot: OwnedMutexGuard<Slot>,
    committed: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.slot.failed |= !self.committed;
    }
}

impl Transaction {
    pub(crate) async fn begin(pool: &PgPool, enclosing: Option<&Enclosing>) -> Result<Self> {
        let Some(enclosing) = enclosing else {
            return Ok(Self(Inner::Own(begin(pool).await?)));
        };
        let slot = Arc::clone(&enclosing.0).lock_owned().await;
        if slot.transaction.is_none() || slot.failed {
            return Err(Error::internal("the transaction of the request has ended"));
        }
        Ok(Self(Inner::Part(Part { slot, committed: false })))
    }

    /// Makes the changes durable; of an idempotent request, together with its answer.
    pub async fn commit(self) -> Result<()> {
        match self.0 {
            Inner::Own(transaction) => Ok(transaction.commit().await?),
            Inner::Part(mut part) => {
                part.committed = true;
                Ok(())
            }
        }
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.0 {
            Inner::Own(transaction) => transaction,
            Inner::Part(part) => part.connection(),
        }
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.0 {
            Inner::Own(transaction) => transaction,
            Inner::Part(part) => part.connection_mut(),
        }
    }
}

impl Part {
    #[expect(clippy::expect_used, reason = "`begin` refuses an empty slot, and the part locks it")]
    fn connection(&self) -> &PgConnection {
        self.slot.transaction.as_ref().expect("a part holds an open transaction")
    }

    #[expect(clippy::expect_used, reason = "`begin` refuses an empty slot, and the part locks it")]
    fn connection_mut(&mut self) -> &mut PgConnection {
        self.slot.transaction.as_mut().expect("a part holds an open transaction")
    }
}
