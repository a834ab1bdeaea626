//! A server with its private database, started for one measurement and ended with it.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::Failure;

/// How long the server may take until it is ready.
const START_LIMIT: Duration = Duration::from_mins(1);
const PASSWORD: &str = "correct horse battery staple";

/// A running server and a signed-in system administrator.
pub(crate) struct Server {
    // Before the folder: its files are in use until the server has ended.
    process: Process,
    folder: tempfile::TempDir,
    client: reqwest::Client,
    /// Where REST is, without a slash at the end.
    pub(crate) url: String,
    /// Port of the agents' gRPC.
    pub(crate) grpc_port: u16,
    /// The access token.
    pub(crate) token: String,
}

impl Server {
    /// Starts the release build beside this program.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("umail-bench.").tempdir()?;
        // PostgreSQL runs as another user below this folder.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let (http_port, grpc_port) = (free_port()?, free_port()?);
        let config = folder.path().join("api.toml");
        fs::write(
            &config,
            format!(
                "data_dir = \"{}\"\n[http]\nlisten = \"127.0.0.1:{http_port}\"\n\
                 requests_per_minute = \"unlimited\"\n\
                 [grpc]\nlisten = \"127.0.0.1:{grpc_port}\"\n\
                 [authn]\noperators_need_totp = false\n[log]\nlevel = \"warn\"\n",
                folder.path().join("data").display()
            ),
        )?;
        let mut command = Command::new(program("umail-api")?);
        command.arg("--config").arg(&config).arg("serve");
        let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
        let client = reqwest::Client::new();
        let url = format!("http://127.0.0.1:{http_port}");
        let mut server = Self { process, folder, client, url, grpc_port, token: String::new() };
        server.wait_until_ready().await?;
        server.sign_in(&config).await?;
        Ok(server)
    }

    /// A folder that goes with the server.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the private database's socket.
    pub(crate) fn socket(&self) -> Result<PathBuf, Failure> {
        find(&self.folder.path().join("data"), ".s.PGSQL.5432")
            .ok_or_else(|| "the private database has no socket".into())
    }

    /// Sends a request and returns the body of its answer, which has to be a success.
    pub(crate) async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            return Err(format!("{path}: {status}: {text}").into());
        }
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    /// Sends a body that is not JSON, and returns the answer, which has to be a success.
    pub(crate) async fn put(
        &self,
        path: &str,
        media: &str,
        body: String,
    ) -> Result<Value, Failure> {
        let request = self.client.put(format!("{}{path}", self.url)).bearer_auth(&self.token);
        let answer = request.header("content-type", media).body(body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            return Err(format!("{path}: {status}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Reads a path to its end by another token; the answer has to be a success.
    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Result<(), Failure> {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(token);
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if status.is_success() { Ok(()) } else { Err(format!("{path}: {status}: {text}").into()) }
    }

    /// Changes a resource: reads its `ETag`, then sends the merge-patch. Returns when
    /// that was sent.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Result<Instant, Failure> {
        let url = format!("{}{path}", self.url);
        let answer = self.client.get(&url).bearer_auth(&self.token).send().await?;
        let etag = answer.headers().get("etag").cloned().ok_or("no ETag")?;
        let request = self.client.patch(&url).bearer_auth(&self.token).header("if-match", etag);
        let request = request.header("content-type", "application/merge-patch+json");
        let sent = Instant::now();
        let answer = request.body(body.to_string()).send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(sent);
        }
        Err(format!("{path}: {status}: {}", answer.text().await?).into())
    }

    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if let Some(status) = self.process.0.try_wait()? {
                return Err(format!("umail-api ended: {status}").into());
            }
            let answer = self.client.get(format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("umail-api does not become ready".into())
    }

    async fn sign_in(&mut self, config: &Path) -> Result<(), Failure> {
        let password = self.folder.path().join("password");
        fs::write(&password, PASSWORD)?;
        let status = Command::new(program("umail-api")?)
            .arg("--config")
            .arg(config)
            .args(["operator", "create", "bench", "--role", "system_admin", "--password-stdin"])
            .stdin(fs::File::open(&password)?)
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err("umail-api operator create failed".into());
        }
        let body = json!({ "name": "bench", "password": PASSWORD });
        let answer = self.send(reqwest::Method::POST, "/v1/sessions", Some(body)).await?;
        let token = answer.get("access_token").and_then(Value::as_str);
        token.ok_or("no access token")?.clone_into(&mut self.token);
        Ok(())
    }
}

/// A process that ends with SIGTERM when this is dropped, so that it stops its own ones too.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGTERM).ok();
        }
        self.0.wait().ok();
    }
}

/// A program of this workspace, built like this one.
pub(crate) fn program(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(format!("{} is not built", path.display()).into()) }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        if entry.file_name() == name {
            return Some(folder.to_owned());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(found) = find(&entry.path(), name)
        {
            return Some(found);
        }
    }
    None
}
