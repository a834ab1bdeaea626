//! One `umail-api` process with its embedded database.

use std::{
    fs,
    io::Write,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Because, Result, process, process::Process, rest::Rest, until};
use crate::ensure;

/// How long the server may take until it is ready, the first database included.
const START: Duration = Duration::from_secs(40);
/// Name of the operator that the harness signs in as.
pub const OPERATOR: &str = "root";

/// The API server of a fleet.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    http_port: u16,
    grpc: String,
    password: String,
    process: Option<Process>,
}

impl Server {
    /// A server below this folder, reachable by agents on this address. Not started.
    pub fn new(folder: &Path, address: IpAddr) -> Result<Self> {
        let folder = folder.join("api");
        fs::create_dir_all(&folder)?;
        let http_port = process::free_port(Ipv4Addr::LOCALHOST.into())?;
        let grpc = format!("{address}:7443");
        let config = format!(
            "data_dir = \"{0}/data\"\n\n[http]\nlisten = \"127.0.0.1:{http_port}\"\n\n\
             [grpc]\nlisten = \"{grpc}\"\n\n\
             [authn]\noperators_need_totp = false\n\n[log]\nformat = \"human\"\nlevel = \"info\"\n",
            folder.display(),
        );
        fs::write(folder.join("umail-api.toml"), config)?;
        let password = format!("demo-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        Ok(Self { folder, http_port, grpc, password, process: None })
    }

    /// A subcommand of `umail-api` with this server's configuration.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(process::program("umail-api")?);
        command.arg("--config").arg(self.folder.join("umail-api.toml")).args(words);
        // The working folder marks the process as the fleet's.
        command.current_dir(&self.folder);
        Ok(command)
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(&mut self) -> Result {
        ensure!(self.process.is_none(), "the server runs already");
        let log = self.folder.join("umail-api.log");
        self.process = Some(Process::start(self.command(&["serve"])?, &log)?);
        let address = format!("{}/readyz", self.base());
        let started = until(START, async || {
            self.process.as_mut().map(Process::check).transpose()?;
            let answer = reqwest::get(&address).await?;
            Ok(if answer.status().is_success() { Ok(()) } else { Err(answer.text().await?) })
        });
        started.await.because("umail-api")
    }

    /// Creates the operator; the server must run.
    pub async fn create_operator(&self) -> Result {
        let words = ["operator", "create", OPERATOR, "--role", "system_admin", "--password-stdin"];
        let mut command = self.command(&words)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let password = self.password.clone();
        let output = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                writeln!(stdin, "{password}")?;
            }
            child.wait_with_output()
        });
        let output = output.await??;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "umail-api operator create: {}", complaint.trim());
        Ok(())
    }

    /// Signs in as the operator.
    pub async fn sign_in(&self) -> Result<Rest> {
        Rest::sign_in(&self.base(), OPERATOR, &self.password).await
    }

    /// Kills the server and its database at once, as a crash of the machine would.
    pub async fn kill(&mut self) -> Result {
        let database = self.database_pid()?;
        self.kill_alone().await?;
        // It follows its server, and may have ended by itself.
        match kill(Pid::from_raw(database), Signal::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(cause) => return Err(cause).because("kill the database"),
        }
        until(Duration::from_secs(10), async || {
            let gone = !Path::new(&format!("/proc/{database}")).exists();
            Ok(if gone { Ok(()) } else { Err("the database does not end".to_owned()) })
        })
        .await
    }

    /// Kills the server at once; its database is left alone.
    pub async fn kill_alone(&mut self) -> Result {
        let mut process = self.process.take().ok_or("the server does not run")?;
        process.kill().await
    }

    /// Stops the server by SIGTERM and waits for its end.
    pub async fn stop(&mut self) -> Result<Duration> {
        let mut process = self.process.take().ok_or("the server does not run")?;
        let started = std::time::Instant::now();
        process.signal(Signal::SIGTERM)?;
        let status = process.ended(Duration::from_secs(15)).await.because("umail-api")?;
        ensure!(status.success(), "umail-api ended with {status}:\n{}", process.tail(15));
        Ok(started.elapsed())
    }

    /// Process id of the embedded database's master.
    pub fn database_pid(&self) -> Result<i32> {
        let path = find_below(&self.folder.join("data"), "postmaster.pid", 4)
            .ok_or("the server has no postmaster.pid")?;
        let text = fs::read_to_string(path)?;
        text.lines().next().unwrap_or_default().trim().parse().because("postmaster.pid")
    }

    /// Base address of the REST API on the host's loopback.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// Address of the gRPC listener for the agents.
    #[must_use]
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Password of the operator.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Process id of the server.
    #[must_use]
    pub fn id(&self) -> Option<i32> {
        self.process.as_ref().map(Process::id)
    }

    /// Folder with configuration, log and data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends the server softly without waiting for long; used when the fleet goes.
    pub(super) fn end(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::SIGTERM).ok();
            let end = std::time::Instant::now() + Duration::from_secs(5);
            let path = PathBuf::from(format!("/proc/{}/cwd", process.id()));
            while fs::read_link(&path).is_ok() && std::time::Instant::now() < end {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    }
}

fn find_below(folder: &Path, name: &str, depth: u8) -> Option<PathBuf> {
    let path = folder.join(name);
    if path.is_file() {
        return Some(path);
    }
    let entries = fs::read_dir(folder).ok().filter(|_entries| depth > 0)?;
    let folders = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.into_iter().find_map(|path| find_below(&path, name, depth - 1))
}
