//! The direct supervisor: the daemons' own commands, for containers, namespaces and tests.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use umail_proto::agent::ServiceKind;

use super::Supervisor;
use crate::{
    drivers::Refusal,
    exec::{self, Program},
    layout::Layout,
};

/// How long a daemon's own start, stop or reload command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// How long a daemon may take to be there after its start command, or gone after its stop command.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);

/// Runs the daemons by their own commands; they daemonise themselves.
#[derive(Clone, Debug)]
pub struct Direct {
    layout: Layout,
}

impl Direct {
    /// A supervisor of the daemons of this layout.
    #[must_use]
    pub const fn new(layout: Layout) -> Self {
        Self { layout }
    }

    fn postfix(&self, verb: &str) -> (Program, Vec<OsString>) {
        let folder = self.layout.etc("postfix").into_os_string();
        (Program::Postfix, vec!["-c".into(), folder, verb.into()])
    }

    fn doveadm(&self, verb: &str) -> (Program, Vec<OsString>) {
        (Program::Doveadm, vec!["-c".into(), self.dovecot_conf().into(), verb.into()])
    }

    fn dovecot_conf(&self) -> PathBuf {
        self.layout.etc("dovecot").join("dovecot.conf")
    }

    fn is_running(&self, service: ServiceKind) -> Result<bool, Refusal> {
        match service {
            // `postfix status` would write a line to the log each time.
            ServiceKind::Postfix => {
                Ok(is_alive("master", &self.layout.queue().join("pid").join("master.pid")))
            }
            ServiceKind::Dovecot => {
                Ok(is_alive("dovecot", &self.layout.run("dovecot").join("master.pid")))
            }
            ServiceKind::Unspecified => Err(Refusal("no such service".to_owned())),
        }
    }

    async fn wait_for(&self, service: ServiceKind, running: bool) -> Result<(), Refusal> {
        let done = async {
            while self.is_running(service)? != running {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        };
        let verb = if running { "start" } else { "end" };
        let late = || Refusal(format!("{} does not {verb}", service.as_str_name()));
        tokio::time::timeout(SETTLE_LIMIT, done).await.map_err(|_elapsed| late())?
    }
}

impl Supervisor for Direct {
    fn start(&self, service: ServiceKind) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            if self.is_running(service)? {
                return Ok(());
            }
            match service {
                ServiceKind::Postfix => command(self.postfix("start")).await,
                ServiceKind::Dovecot => {
                    let arguments = vec!["-c".into(), self.dovecot_conf().into()];
                    command((Program::Dovecot, arguments)).await?;
                    // It goes into the background before it has written its pid.
                    self.wait_for(service, true).await
                }
                ServiceKind::Unspecified => Err(Refusal("no such service".to_owned())),
            }
        }
        .boxed()
    }

    fn stop(&self, service: ServiceKind) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            if !self.is_running(service)? {
                return Ok(());
            }
            match service {
                ServiceKind::Postfix => command(self.postfix("stop")).await?,
                ServiceKind::Dovecot => command(self.doveadm("stop")).await?,
                ServiceKind::Unspecified => return Err(Refusal("no such service".to_owned())),
            }
            self.wait_for(service, false).await
        }
        .boxed()
    }

    fn reload(&self, service: ServiceKind) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            match service {
                ServiceKind::Postfix => command(self.postfix("reload")).await,
                ServiceKind::Dovecot => command(self.doveadm("reload")).await,
                ServiceKind::Unspecified => Err(Refusal("no such service".to_owned())),
            }
        }
        .boxed()
    }

    fn running(&self, service: ServiceKind) -> BoxFuture<'_, Result<bool, Refusal>> {
        async move { self.is_running(service) }.boxed()
    }
}

async fn command((program, arguments): (Program, Vec<OsString>)) -> Result<(), Refusal> {
    let output = exec::run_starter(program, &arguments, COMMAND_LIMIT)
        .await
        .map_err(|error| Refusal(error.to_string()))?;
    if output.success() { Ok(()) } else { Err(Refusal(output.complaint())) }
}

/// Whether the process of this pid file has this name: pids are used again.
fn is_alive(name: &str, pid_file: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(pid_file) else { return false };
    let Ok(pid) = text.trim().parse::<u32>() else { return false };
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}
