//! Connections to the database that are kept open, and transactions on them.
//!
//! The driver's own pool asks a connection whether it lives each time it is given back, which costs
//! as much as most queries do. Here only those are asked that have rested, or whose last use did
//! not end well (decision 0022).

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use backon::{ConstantBuilder, Retryable as _};
use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult};
use futures_util::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Connection as _, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::error::{Result, is_away};

/// A caller waits no longer for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that has rested for so long may have been cut off meanwhile.
const REST: Duration = Duration::from_secs(1);
/// A connection is replaced at this age: its process in the database has collected things by then.
const LIFETIME: Duration = Duration::from_mins(30);
/// Statements that a connection keeps prepared: more than the server has.
const STATEMENTS: usize = 1_000;
/// Between attempts to connect to a database that is starting.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections as one role with the same settings; cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    links: managed::Pool<Connector>,
    /// Places for transactions: fewer than connections, since whoever is in one may need a second
    /// connection, and if all were in that place nobody would get one.
    places: Arc<Semaphore>,
    /// For whom they work; nothing: for the server itself, which sees all rows.
    reach: Option<Arc<Reach>>,
}

/// What row-level security lets a signed-in user see: each field is a setting of the connection,
/// lists as PostgreSQL writes arrays (decision 0024).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The user.
    pub user: String,
    /// Domains that the user administers.
    pub domains: String,
    /// Departments that the user administers; all below are meant as well.
    pub departments: String,
    /// The user's own domain, and all in which the user administers anything.
    pub homes: String,
}

impl Pool {
    /// Connections are made when they are needed, at most so many.
    #[must_use]
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "only time limits can fail")]
    pub fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let connector = Connector(Arc::new(options.statement_cache_capacity(STATEMENTS)));
        let size = usize::try_from(max_connections).unwrap_or(usize::MAX);
        let links = managed::Pool::builder(connector).max_size(size).build();
        let links = links.expect("a pool without time limits is built");
        let places = Arc::new(Semaphore::new(size.saturating_sub(1.max(size / 4)).max(1)));
        Self { links, places, reach: None }
    }

    /// As many connections again, as the role that sees only what is in somebody's reach: nothing,
    /// until it is said whose ([`Self::within`]).
    #[must_use]
    pub fn of_tenants(&self) -> Self {
        let options = self.connect_options().clone().options([("role", "umail_tenant")]);
        let size = u32::try_from(self.links.status().max_size).unwrap_or(u32::MAX);
        Self { reach: Some(Arc::default()), ..Self::new(options, size) }
    }

    /// The same connections, for somebody.
    #[must_use]
    pub fn within(&self, reach: Reach) -> Self {
        Self { reach: Some(Arc::new(reach)), ..self.clone() }
    }

    /// Whether it shows only what is in somebody's reach.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        self.reach.is_some()
    }

    /// How connections are made.
    #[must_use]
    pub fn connect_options(&self) -> &PgConnectOptions {
        &self.links.manager().0
    }

    /// Takes a connection out of the pool; it goes back when it is dropped.
    pub async fn acquire(&self) -> sqlx::Result<Connection> {
        let mut link = self.take().await?;
        link.doubtful = true;
        Ok(Connection(link))
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Transaction> {
        self.begin_with("BEGIN").await
    }

    /// Begins a transaction that reads one snapshot.
    pub async fn begin_snapshot(&self) -> Result<Transaction> {
        self.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    async fn begin_with(&self, statement: &'static str) -> Result<Transaction> {
        let place = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_elapsed| sqlx::Error::PoolTimedOut)?;
        let place = place.map_err(|_closed| sqlx::Error::PoolClosed)?;
        let link = Some(self.take().await?);
        let mut transaction = Transaction { link, place: Some(place), ends: false };
        // Before it is sent: whoever wants it may be gone before the answer comes.
        transaction.link_mut().open = true;
        sqlx::raw_sql(statement).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Closes all connections; those in use, once they are given back.
    pub fn close(&self) {
        self.links.close();
    }

    async fn take(&self) -> sqlx::Result<Object<Connector>> {
        let link = timeout(PATIENCE, self.links.get()).await;
        let link = link.map_err(|_elapsed| sqlx::Error::PoolTimedOut)?;
        let mut link = link.map_err(|cause| match cause {
            PoolError::Backend(cause) => cause,
            PoolError::Closed => sqlx::Error::PoolClosed,
            other => sqlx::Error::Protocol(other.to_string()),
        })?;
        if let Some(reach) = &self.reach {
            link.narrow(reach).await?;
        }
        Ok(link)
    }
}

/// Whether both show the same rows.
impl PartialEq for Pool {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.links.manager().0, &other.links.manager().0) && self.reach == other.reach
    }
}

/// Makes connections and says which are good for another use.
struct Connector(Arc<PgConnectOptions>);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// A connection and what is known of it.
#[derive(Debug)]
struct Link {
    connection: PgConnection,
    /// Its last use did not end well, or nobody knows how it ended.
    doubtful: bool,
    /// It is in a transaction.
    open: bool,
    /// For whom it works, if that is said.
    reach: Option<Arc<Reach>>,
}

impl managed::Manager for Connector {
    type Type = Link;
    type Error = sqlx::Error;

    /// A database that starts or restarts is waited for.
    async fn create(&self) -> sqlx::Result<Link> {
        let connect = || PgConnection::connect_with(&self.0);
        let pauses = ConstantBuilder::default().with_delay(PAUSE).without_max_times();
        let connection = connect.retry(pauses).when(is_away).await?;
        Ok(Link { connection, doubtful: false, open: false, reach: None })
    }

    async fn recycle(&self, link: &mut Link, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if link.open || metrics.age() > LIFETIME {
            return Err(RecycleError::message("not good for another use"));
        }
        if link.doubtful || metrics.last_used() > REST {
            link.connection.ping().await?;
            link.doubtful = false;
        }
        Ok(())
    }
}

/// One connection, for several statements.
#[derive(Debug)]
pub struct Connection(Object<Connector>);

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0.connection
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0.connection
    }
}

/// Rolls back unless it is committed.
#[derive(Debug)]
pub struct Transaction {
    /// Only `drop` takes it out.
    link: Option<Object<Connector>>,
    /// Given back with the connection.
    place: Option<OwnedSemaphorePermit>,
    /// The commit is on its way.
    ends: bool,
}

impl Transaction {
    /// Makes the changes durable.
    pub async fn commit(mut self) -> Result<()> {
        self.ends = true;
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        self.link_mut().open = false;
        Ok(())
    }

    /// Whether it shows only what is in somebody's reach.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.reach.is_some())
    }

    #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
    fn link_mut(&mut self) -> &mut Link {
        self.link.as_mut().expect("a transaction has a connection")
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
    fn deref(&self) -> &PgConnection {
        &self.link.as_ref().expect("a transaction has a connection").connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.link_mut().connection
    }
}

impl Drop for Transaction {
    /// Gives locks back at once; without a runtime, by closing the connection.
    #[expect(clippy::disallowed_methods, reason = "ends by itself, within the time for it")]
    fn drop(&mut self) {
        let (place, ends) = (self.place.take(), self.ends);
        let Some(mut link) = self.link.take() else { return };
        if !link.open || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        tokio::spawn(async move {
            let end = async {
                // A commit that nobody waits for is still one.
                if ends {
                    return link.connection.ping().await;
                }
                sqlx::raw_sql("ROLLBACK").execute(&mut link.connection).await.map(|_done| ())
            };
            link.open = !matches!(timeout(PATIENCE, end).await, Ok(Ok(())));
            drop((link, place));
        });
    }
}

impl Link {
    /// Says for whom the connection works, unless that is who it worked for last.
    async fn narrow(&mut self, reach: &Arc<Reach>) -> sqlx::Result<()> {
        if self.reach.as_ref() == Some(reach) {
            return Ok(());
        }
        self.reach = None;
        let set = sqlx::query!(
            "SELECT set_config('umail.user', $1, false) AS one,
                    set_config('umail.domains', $2, false) AS two,
                    set_config('umail.departments', $3, false) AS three,
                    set_config('umail.homes', $4, false) AS four",
            reach.user,
            reach.domains,
            reach.departments,
            reach.homes,
        );
        self.attempt(async |one| one.fetch_one(set).await).await?;
        self.reach = Some(Arc::clone(reach));
        Ok(())
    }

    /// Uses the connection, which is in doubt until the use has ended well.
    async fn attempt<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        self.doubtful = true;
        let done = work(&mut self.connection).await;
        self.doubtful = done.is_err();
        done
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        // Together: whoever reads slowly must not keep the connection.
        let all = async move {
            let mut link = self.take().await?;
            let all = link.attempt(async |one| one.fetch_many(query).try_collect::<Vec<_>>().await);
            Ok::<_, sqlx::Error>(stream::iter(all.await?).map(Ok))
        };
        stream::once(all).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let row = async move {
            let mut link = self.take().await?;
            link.attempt(async |one| one.fetch_optional(query).await).await
        };
        row.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        let statement = async move {
            let mut link = self.take().await?;
            link.attempt(async |one| one.prepare_with(sql, parameters).await).await
        };
        statement.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        let description = async move {
            let mut link = self.take().await?;
            link.attempt(async |one| one.describe(sql).await).await
        };
        description.boxed()
    }
}
