//! `umail-api migrate`: the schema, and a new epoch for a restored database.

use clap::Args;

use crate::{commands::print, config::Config, database::Database, error::Result, telemetry};

/// Bring the database's schema up to date
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Begin a new life of the control plane: needed once after a database was restored from a
    /// dump, while no server runs. Every node takes a whole copy of the directory then.
    #[arg(long)]
    new_epoch: bool,
}

impl Migrate {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        telemetry::start_logging(&config.log)?;
        let database = Database::open(config).await?;
        let done = self.migrate(&database).await;
        database.close().await;
        done
    }

    async fn migrate(self, database: &Database) -> Result<()> {
        database.migrate().await?;
        if self.new_epoch {
            let epoch = database.begin_epoch().await?;
            print(&format!("new epoch {epoch}"))?;
        }
        Ok(())
    }
}
