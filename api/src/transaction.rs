//! A transaction of the app: one of its own, or a part of the one that an idempotent request holds.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use sqlx::PgConnection;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{
    database::pool::{self, Pool},
    error::{Error, Result},
};

/// The transaction of a request with an `Idempotency-Key`: the answer is stored in it.
#[derive(Clone, Debug)]
pub struct Enclosing(Arc<Mutex<Slot>>);

#[derive(Debug)]
struct Slot {
    transaction: Option<pool::Transaction>,
    /// A part was given up: the whole must be, too.
    failed: bool,
}

impl Enclosing {
    /// Encloses all transactions of a request in this one.
    #[must_use]
    pub fn new(transaction: pool::Transaction) -> Self {
        Self(Arc::new(Mutex::new(Slot { transaction: Some(transaction), failed: false })))
    }

    /// Takes the transaction back; nothing if a part of it failed.
    pub async fn finish(self) -> Option<pool::Transaction> {
        let mut slot = self.0.lock().await;
        if slot.failed { None } else { slot.transaction.take() }
    }
}

/// Rolls back unless it is committed.
#[derive(Debug)]
pub struct Transaction(Inner);

#[derive(Debug)]
enum Inner {
    Own(pool::Transaction),
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
    pub(crate) async fn begin(pool: &Pool, enclosing: Option<&Enclosing>) -> Result<Self> {
        let Some(enclosing) = enclosing else {
            return Ok(Self(Inner::Own(pool.begin().await?)));
        };
        let slot = Arc::clone(&enclosing.0).lock_owned().await;
        if slot.transaction.is_none() || slot.failed {
            return Err(Error::internal("the transaction of the request has ended"));
        }
        Ok(Self(Inner::Part(Part { slot, committed: false })))
    }

    /// From here on rows beyond the caller's reach are seen and changed, until
    /// [`Self::reach_within`]: only where it has been authorized what is done with them. A
    /// transaction that is given up in between is rolled back, and this with it.
    pub(crate) async fn reach_beyond(&mut self) -> Result<()> {
        self.act_as("SET LOCAL ROLE umail_app").await
    }

    /// From here on only rows within the caller's reach are seen and changed, as from the start.
    pub(crate) async fn reach_within(&mut self) -> Result<()> {
        self.act_as("SET LOCAL ROLE umail_tenant").await
    }

    /// Takes a role, if there is a reach that it makes wide or narrow.
    async fn act_as(&mut self, statement: &'static str) -> Result<()> {
        let is_narrowed = match &self.0 {
            Inner::Own(transaction) => transaction.is_narrowed(),
            Inner::Part(part) => {
                part.slot.transaction.as_ref().is_some_and(pool::Transaction::is_narrowed)
            }
        };
        if is_narrowed {
            sqlx::raw_sql(statement).execute(&mut **self).await?;
        }
        Ok(())
    }

    /// Makes the changes durable; of an idempotent request, together with its answer.
    pub async fn commit(self) -> Result<()> {
        match self.0 {
            Inner::Own(transaction) => transaction.commit().await,
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
