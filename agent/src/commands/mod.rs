//! The command line of `umail-agent`.

mod check;
mod join;
mod render;
mod run;
mod send_reply;
mod status;

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand};

use crate::{
    config::{Config, SupervisorKind},
    drivers::{Driver, dovecot::Dovecot, postfix::Postfix},
    layout::Layout,
    moves,
    supervisors::{Supervisor, direct::Direct, systemd::Systemd},
    telemetry,
};

/// What any command may fail with: the text is for the person at the terminal.
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// The agent of U-Mail: steers the mail services of this node.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// The agent's configuration file.
    #[arg(long, env = "UMAIL_AGENT_CONFIG", default_value = "/etc/umail/agent.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Gets this node its certificate, once.
    Join(join::Arguments),
    /// Runs until SIGTERM or Ctrl-C. The mail services go on without the agent.
    Run,
    /// Shows what the running agent knows; needs no server.
    Status(status::Arguments),
    /// Prints the configuration that the agent would install for the desired state it has.
    Render(render::Arguments),
    /// Checks the configuration, the identity, the replica and the ledger; needs no server.
    Check,
    /// Carries a mailbox between Dovecot and the running agent. Started by Dovecot only.
    #[command(hide = true)]
    DsyncPipe {
        /// The agent's socket for this copy.
        socket: PathBuf,
        /// doveadm adds the name of what it believes to start.
        added: Option<String>,
    },
    /// Hands an automatic reply in at an smtp node. Started by Dovecot only, as sendmail would be.
    #[command(hide = true)]
    SendReply(send_reply::Arguments),
}

impl Cli {
    /// Runs the command and says on standard error what went wrong.
    #[must_use]
    pub fn run(self) -> ExitCode {
        if let Command::SendReply(arguments) = &self.command {
            return send_reply::send(arguments);
        }
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return complain(&error),
        };
        let outcome = runtime.block_on(self.execute());
        // Whatever did not stop in its time is given up.
        runtime.shutdown_timeout(Duration::from_millis(500));
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(error.as_ref()),
        }
    }

    async fn execute(self) -> Outcome {
        if let Command::DsyncPipe { socket, added: _ } = &self.command {
            return Ok(moves::pipe(socket).await?);
        }
        let config = Config::load(&self.config)?;
        telemetry::start(config.log_format);
        match self.command {
            Command::Join(arguments) => join::join(&config, arguments).await,
            Command::Run => run::run(config).await,
            Command::Status(arguments) => status::status(&config, &arguments),
            Command::Render(arguments) => render::render(&config, &arguments),
            Command::Check => check::check(&config).await,
            Command::DsyncPipe { .. } | Command::SendReply(_) => Ok(()),
        }
    }
}

fn complain(error: &dyn Error) -> ExitCode {
    // Nothing can be done when standard error is closed.
    writeln!(io::stderr(), "umail-agent: {error}").ok();
    ExitCode::FAILURE
}

/// Prints one line for a person.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// The drivers of this node's services.
fn drivers(
    layout: &Layout,
    config: &Config,
    supervisor: &Arc<dyn Supervisor>,
) -> Vec<Arc<dyn Driver>> {
    vec![
        Arc::new(Dovecot::new(layout.clone(), config, Arc::clone(supervisor))),
        Arc::new(Postfix::new(layout.clone(), config, Arc::clone(supervisor))),
    ]
}

/// Who starts and stops the mail daemons of this node.
fn supervisor(layout: &Layout, config: &Config) -> Arc<dyn Supervisor> {
    match config.supervisor {
        SupervisorKind::Direct => Arc::new(Direct::new(layout.clone())),
        SupervisorKind::Systemd => Arc::new(Systemd::on_system_bus()),
    }
}
