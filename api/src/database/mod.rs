//! The way to the database: embedded or configured, migrated, and as the role that the server plays.

pub mod embedded;
pub mod gathered;
pub mod pool;

use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, Connection, PgConnection, migrate::Migrator, postgres::PgConnectOptions,
};
use time::OffsetDateTime;

use self::{
    embedded::{Cluster, Running},
    pool::Pool,
};
use crate::{
    config::Config,
    error::{Error, Result},
};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// A database that can be connected to, and the private cluster it may live in.
#[derive(Debug)]
pub struct Database {
    owner: PgConnectOptions,
    cluster: Option<Box<Cluster>>,
}

impl Database {
    /// The configured database; else the private one, which is started unless it runs already.
    pub async fn open(config: &Config) -> Result<Self> {
        if let Some(url) = &config.database.url {
            let owner = url.expose_secret().parse::<PgConnectOptions>();
            let owner = owner.map_err(|cause| Error::internal(format!("database.url: {cause}")))?;
            return Ok(Self { owner: quiet(owner), cluster: None });
        }
        // For itself and for users, and some for people who look.
        let connections = config.database.max_connections.saturating_mul(2).saturating_add(20);
        let running = Cluster::start(&config.data_dir, connections).await?;
        let owner = quiet(embedded::options(&config.data_dir));
        match running {
            Running::Ours(cluster) => Ok(Self { owner, cluster: Some(cluster) }),
            Running::Elsewhere => Ok(Self { owner, cluster: None }),
        }
    }

    /// Brings the schema up to date, as the owner. Several servers may do so at once.
    pub async fn migrate(&self) -> Result<()> {
        let mut owner = self.connect().await?;
        MIGRATIONS
            .run(&mut owner)
            .await
            .map_err(|cause| Error::internal(format!("migration: {cause}")))?;
        // Rights are given to all tables that there are, and this one is among them.
        sqlx::raw_sql("REVOKE ALL ON _sqlx_migrations FROM umail_app").execute(&mut owner).await?;
        owner.close().await?;
        Ok(())
    }

    /// Begins a new life of the control plane: every node takes a snapshot, and generations
    /// start anew. For a database that was restored from a dump.
    pub async fn begin_epoch(&self) -> Result<uuid::Uuid> {
        let mut owner = self.connect().await?;
        let epoch = crate::store::control_plane::begin_epoch(&mut owner).await?;
        owner.close().await?;
        Ok(epoch)
    }

    /// Removes the audit events of all months before the one of a time, as the owner. Returns up to
    /// which sequence number, and how many.
    pub async fn prune_audit(&self, before: OffsetDateTime) -> Result<(i64, i64)> {
        let mut owner = self.connect().await?;
        let done = crate::store::audit_seals::prune(&mut owner, before).await?;
        owner.close().await?;
        Ok(done)
    }

    /// Connections as the role that the server plays. They are made when they are needed.
    #[must_use]
    pub fn pool(&self, max_connections: u32) -> Pool {
        let settings = [
            ("role", "umail_app"),
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "30s"),
            // Statements are short: compiling one takes longer than all it reads.
            ("jit", "off"),
        ];
        Pool::new(self.owner.clone().options(settings), max_connections)
    }

    /// The private cluster, for whoever looks after it from now on.
    #[must_use]
    pub fn into_cluster(self) -> Option<Box<Cluster>> {
        self.cluster
    }

    /// Stops the private cluster if this process started it.
    pub async fn close(self) {
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }

    async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.owner).await?)
    }
}

/// Statements are logged by whoever runs them, not by the driver.
fn quiet(options: PgConnectOptions) -> PgConnectOptions {
    options.disable_statement_logging().application_name("umail-api")
}
