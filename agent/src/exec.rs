//! The only module that starts processes: constant programs, typed arguments, time-outs.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read as _, Seek as _},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

/// The programs that the agent may start. There is no shell among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Starts, stops and reloads Postfix.
    Postfix,
    /// Shows Postfix's configuration.
    Postconf,
    /// Asks Postfix's maps.
    Postmap,
    /// Shows and flushes Postfix's queue.
    Postqueue,
    /// Holds, releases and deletes queued mail.
    Postsuper,
    /// Dovecot's master.
    Dovecot,
    /// Shows Dovecot's configuration.
    Doveconf,
    /// Dovecot's administration.
    Doveadm,
}

impl Program {
    /// Where the packages of Debian put it.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Postfix => "/usr/sbin/postfix",
            Self::Postconf => "/usr/sbin/postconf",
            Self::Postmap => "/usr/sbin/postmap",
            Self::Postqueue => "/usr/sbin/postqueue",
            Self::Postsuper => "/usr/sbin/postsuper",
            Self::Dovecot => "/usr/sbin/dovecot",
            Self::Doveconf => "/usr/bin/doveconf",
            Self::Doveadm => "/usr/bin/doveadm",
        }
    }
}

/// What a finished process left.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit status; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, broken characters replaced.
    pub stdout: String,
    /// Standard error, broken characters replaced.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// What it complained about, on one line and of bounded length.
    #[must_use]
    pub fn complaint(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = lines.take(8).collect::<Vec<_>>().join("; ");
        line.chars().take(600).collect()
    }
}

/// Why a process could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It could not be started, or its output could not be read.
    #[error("{program}: {source}")]
    Io {
        /// The program.
        program: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// It took too long and was killed.
    #[error("{program}: no end within {limit:?}")]
    TimedOut {
        /// The program.
        program: &'static str,
        /// How long it was given.
        limit: Duration,
    },
}

/// Runs a program to its end and collects its output.
pub async fn run<A: AsRef<OsStr>>(
    program: Program,
    arguments: &[A],
    limit: Duration,
) -> Result<Output, ExecError> {
    run_with_input(program, arguments, "", limit).await
}

/// Runs a program to its end, with this text on its standard input.
pub async fn run_with_input<A: AsRef<OsStr>>(
    program: Program,
    arguments: &[A],
    input: &str,
    limit: Duration,
) -> Result<Output, ExecError> {
    let failed = |source| ExecError::Io { program: program.path(), source };
    let mut child = spawn(program, arguments)?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading its input breaks the pipe: its status tells why.
            stdin.write_all(input.as_bytes()).await.ok();
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(limit, work)
        .await
        .map_err(|_elapsed| ExecError::TimedOut { program: program.path(), limit })?
        .map_err(failed)?;
    Ok(Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a program that leaves a daemon behind, to its own end. What the daemon inherits is no pipe
/// of ours: reading it would take as long as the daemon lives.
pub async fn run_starter<A: AsRef<OsStr>>(
    program: Program,
    arguments: &[A],
    limit: Duration,
) -> Result<Output, ExecError> {
    let failed = |source| ExecError::Io { program: program.path(), source };
    let (mut stdout, mut stderr) =
        (tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?);
    let mut child = command(program, arguments)
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().map_err(failed)?)
        .stderr(stderr.try_clone().map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let status = tokio::time::timeout(limit, child.wait())
        .await
        .map_err(|_elapsed| ExecError::TimedOut { program: program.path(), limit })?
        .map_err(failed)?;
    Ok(Output {
        code: status.code(),
        stdout: read_back(&mut stdout).map_err(failed)?,
        stderr: read_back(&mut stderr).map_err(failed)?,
    })
}

/// The first 64 KiB of what a process wrote into this file.
fn read_back(file: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(64 << 10).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Starts a program with pipes on all three standard streams; dropping the child kills it.
pub fn spawn<A: AsRef<OsStr>>(program: Program, arguments: &[A]) -> Result<Child, ExecError> {
    command(program, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| ExecError::Io { program: program.path(), source })
}

fn command<A: AsRef<OsStr>>(program: Program, arguments: &[A]) -> Command {
    let mut command = Command::new(program.path());
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        // Its own group: Ctrl-C at the agent's terminal must not reach the mail daemons.
        .process_group(0)
        .kill_on_drop(true);
    command
}
