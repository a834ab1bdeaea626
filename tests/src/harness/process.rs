//! A program of this repository, run in a namespace, with its output in a file.

use std::{
    fs::{self, File},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Because, Result};

/// One running program. Dropping it does not end it: the fleet does.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command; its output is appended to the log.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().because(command.get_program().display().to_string())?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result {
        kill(Pid::from_raw(self.id()), signal).because(format!("signal to process {}", self.id()))
    }

    /// Waits for the end of the program.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            crate::ensure!(Instant::now() < end, "process {} does not end", self.id());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the program at once and waits for its end.
    pub async fn kill(&mut self) -> Result {
        self.signal(Signal::SIGKILL)?;
        self.ended(Duration::from_secs(5)).await.map(|_status| ())
    }

    /// Fails, with the last lines of the log, if the program has ended.
    pub fn check(&mut self) -> Result {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("ended ({status}):\n{}", self.tail(15)).into()),
        }
    }

    /// The last lines of the log.
    #[must_use]
    pub fn tail(&self, lines: usize) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(lines).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// A command inside a network namespace. The process keeps the host's file system.
#[must_use]
pub fn inside(namespace: &str, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program);
    command
}

/// Runs a command to its end off the async threads; its failure is an error with what it said.
pub async fn finish(mut command: Command) -> Result<Output> {
    let name = format!("{:?}", command.get_args().collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&said);
    crate::ensure!(output.status.success(), "{name}: {}: {}", output.status, text.trim());
    Ok(output)
}

/// A program of this repository, built beside the running one.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    // A test lies in `deps`, the demo beside the programs.
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("{name} is not built; run cargo build --workspace --bins").into())
}

/// A free TCP port of the host's address.
pub fn free_port(address: IpAddr) -> Result<u16> {
    Ok(std::net::TcpListener::bind((address, 0))?.local_addr()?.port())
}
