//! What the binary can be asked to do.

mod audit;
mod migrate;
mod migrate_from;
mod operator;
mod serve;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use umail_proto::clock::Clock;

use crate::{
    config::Config,
    context::{Context, State},
    database::Database,
    error::{Error, Result},
    sealer::Sealer,
    telemetry,
};

/// The U-Mail control plane.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// The configuration file; /etc/umail/api.toml if that is there
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve people and agents until SIGTERM
    Serve,
    /// Bring the database's schema up to date
    Migrate(migrate::Migrate),
    MigrateFrom(migrate_from::MigrateFrom),
    /// Print the OpenAPI document
    Openapi,
    /// Look after operators
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Look after audit events
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Read the configuration, and print what it comes to
    CheckConfig,
}

impl Arguments {
    /// Does what was asked.
    pub fn run(self) -> Result<ExitCode> {
        // Two libraries ask for the process's default. Fails when it is set, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if matches!(self.command, Command::Openapi) {
            print(&crate::http::document().to_pretty_json().map_err(Error::internal)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let config = Config::load(self.config.as_deref(), std::env::vars());
        let config = config.map_err(Error::internal)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.worker_threads)
            .enable_all()
            .build()
            .map_err(Error::internal)?;
        runtime.block_on(async {
            match self.command {
                Command::MigrateFrom(migrate) => return migrate.run(&config).await,
                Command::Serve => serve::run(&config).await,
                Command::Migrate(migrate) => migrate.run(&config).await,
                Command::Operator(operator) => operator.run(&config).await,
                Command::Audit(audit) => audit.run(&config).await,
                Command::CheckConfig => print(&describe(&config)),
                Command::Openapi => Ok(()),
            }
            .map(|()| ExitCode::SUCCESS)
        })
    }
}

fn describe(config: &Config) -> String {
    let lines = config.describe().into_iter().map(|(key, value)| format!("{key} = {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Does something as the server itself, beside the server if that is running.
async fn with_system<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Context) -> Result<T>,
) -> Result<T> {
    with_connections(config, 2, work).await
}

/// The same, with so many connections to the database.
async fn with_connections<T>(
    config: &Config,
    connections: u32,
    work: impl AsyncFnOnce(&Context) -> Result<T>,
) -> Result<T> {
    telemetry::start_logging(&config.log)?;
    let database = Database::open(config).await?;
    let done = async {
        database.migrate().await?;
        let sealer = Sealer::open_or_create(&config.key_file)?;
        let pool = database.pool(connections);
        let state = State::new(pool.clone(), Clock::system(), sealer).await?;
        let done = work(&Context::system(state)).await;
        pool.close();
        done
    };
    let done = done.await;
    database.close().await;
    done
}

fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Error::internal)
}
