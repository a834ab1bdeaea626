//! `propagate`: a PATCH until the node's lookups answer the new value, against an etcd put until
//! its watchers see the event.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Failure,
    outcome::{Gate, Outcome, median, percentile},
    server::{Server, free_port, program},
};

const CHANGES: usize = 40;
const WATCHERS: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(20);

/// Measures both sides in turn.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let server = Server::start().await?;
    let node = Node::start(&server).await?;
    let alias = alias(&server).await?;
    let mut etcd = Etcd::start(server.folder()).await?;
    let (mut ratios, mut ours_all, mut theirs_all) = (vec![], vec![], vec![]);
    for round in 0..rounds {
        let ours = patches(&server, &node, &alias, round).await?;
        let theirs = etcd.puts().await?;
        ratios.push(median(&ours) / median(&theirs));
        ours_all.extend(ours);
        theirs_all.extend(theirs);
    }
    node.confirm(&format!("v{}x{}@elsewhere.example", rounds - 1, CHANGES - 1))?;
    Ok(Outcome {
        name: "propagate",
        ratio: median(&ratios),
        gate: Gate::AtMost(10.0),
        goal: Gate::AtMost(3.0),
        details: format!(
            "ours_p50={:.1}ms p99={:.1}ms etcd_p50={:.1}ms p99={:.1}ms watchers={WATCHERS}",
            median(&ours_all) * 1e3,
            percentile(&ours_all, 0.99) * 1e3,
            median(&theirs_all) * 1e3,
            percentile(&theirs_all, 0.99) * 1e3
        ),
    })
}

/// A domain with one alias; its id.
async fn alias(server: &Server) -> Result<String, Failure> {
    let domain = json!({ "name": "bench.example" });
    server.send(Method::POST, "/v1/domains", Some(domain)).await?;
    let body = json!({ "local_part": "news", "targets": ["nobody@elsewhere.example"] });
    let path = "/v1/domains/bench.example/aliases";
    let alias = server.send(Method::POST, path, Some(body)).await?;
    Ok(alias.get("id").and_then(Value::as_str).ok_or("the alias has no id")?.to_owned())
}

/// Seconds from each request until the node answers its value.
async fn patches(
    server: &Server,
    node: &Node,
    alias: &str,
    round: usize,
) -> Result<Vec<f64>, Failure> {
    let mut reader = node.reader().await?;
    let mut seconds = Vec::with_capacity(CHANGES);
    for change in 0..CHANGES {
        let target = format!("v{round}x{change}@elsewhere.example");
        let body = json!({ "targets": [target] });
        let started = server.patch(&format!("/v1/aliases/{alias}"), body).await?;
        while answer(&mut reader).await? != target {
            if started.elapsed() > LIMIT {
                return Err(format!("{target} does not arrive on the node").into());
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        seconds.push(started.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

#[expect(clippy::disallowed_methods, reason = "the macro checks against the server's database")]
async fn answer(reader: &mut SqliteConnection) -> Result<String, Failure> {
    let query = "SELECT target FROM route WHERE local_part = 'news' AND domain = 'bench.example'";
    let row = sqlx::query(query).fetch_optional(reader).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

/// A node of the role smtp with a real agent and Postfix.
struct Node {
    child: Child,
    data: PathBuf,
}

impl Node {
    async fn start(server: &Server) -> Result<Self, Failure> {
        let data = server.folder().join("node");
        fs::create_dir_all(&data)?;
        let config = server.folder().join("agent.toml");
        fs::write(&config, Self::config(server, &data)?)?;
        let body = json!({ "node_name": "bench-smtp", "roles": ["smtp"] });
        let token = server.send(Method::POST, "/v1/join_tokens", Some(body)).await?;
        let field = |name: &str| token.get(name).and_then(Value::as_str).unwrap_or_default();
        let joined = Command::new(program("umail-agent")?)
            .arg("--config")
            .arg(&config)
            .args(["join", "--name", "bench-smtp", "--token", field("token")])
            .args(["--ca-fingerprint", field("ca_fingerprint")])
            .stdout(Stdio::null())
            .status()?;
        if !joined.success() {
            return Err("umail-agent join failed".into());
        }
        let child = Command::new(program("umail-agent")?)
            .arg("--config")
            .arg(&config)
            .arg("run")
            .stdout(Stdio::null())
            .spawn()?;
        let node = Self { child, data };
        server.send(Method::GET, "/v1/directory?wait_seconds=30", None).await?;
        Ok(node)
    }

    fn config(server: &Server, data: &Path) -> Result<String, Failure> {
        let mut config = format!(
            "data_dir = \"{}\"\nservers = [\"https://127.0.0.1:{}\"]\naddress = \"127.0.0.1\"\n\
             supervisor = \"direct\"\npeer_port = {}\nmetrics_port = 0\n[ports]\n",
            data.display(),
            server.grpc_port,
            free_port()?
        );
        for name in ["smtp", "submission", "pop3", "pop3s", "imap", "imaps", "lmtp"] {
            writeln!(config, "{name} = {}", free_port()?)?;
        }
        Ok(config)
    }

    /// A connection that reads as Postfix does.
    async fn reader(&self) -> Result<SqliteConnection, Failure> {
        let path = self.data.join("db").join("directory.sqlite");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
        Ok(options.connect().await?)
    }

    /// Asks Postfix itself, through the maps that the agent configured.
    fn confirm(&self, target: &str) -> Result<(), Failure> {
        let etc = self.data.join("etc").join("postfix");
        let output = Command::new("/usr/sbin/postconf")
            .args(["-c".as_ref(), etc.as_os_str(), "-h".as_ref(), "virtual_alias_maps".as_ref()])
            .output()?;
        let maps = String::from_utf8_lossy(&output.stdout).replace(',', " ");
        for map in maps.split_whitespace() {
            let output = Command::new("/usr/sbin/postmap")
                .args(["-c".as_ref(), etc.as_os_str()])
                .args(["-q", "news@bench.example", map])
                .output()?;
            if String::from_utf8_lossy(&output.stdout).trim() == target {
                return Ok(());
            }
        }
        Err(format!("no map of {maps:?} answers {target}").into())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        terminate(&mut self.child);
        // The daemons outlive the agent on purpose.
        Command::new("/usr/sbin/postfix")
            .args(["-c".as_ref(), self.data.join("etc").join("postfix").as_os_str()])
            .arg("stop")
            .stderr(Stdio::null())
            .status()
            .ok();
        let conf = self.data.join("etc").join("dovecot").join("dovecot.conf");
        if conf.exists() {
            Command::new("/usr/bin/doveadm").arg("-c").arg(conf).arg("stop").status().ok();
        }
    }
}

fn terminate(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGTERM).ok();
    }
    child.wait().ok();
}

/// etcd with its watchers, each a stream of its HTTP gateway.
struct Etcd {
    child: Child,
    client: reqwest::Client,
    url: String,
    seen: mpsc::UnboundedReceiver<Instant>,
    watchers: JoinSet<()>,
}

impl Etcd {
    async fn start(folder: &Path) -> Result<Self, Failure> {
        let url = format!("http://127.0.0.1:{}", free_port()?);
        let peer = format!("http://127.0.0.1:{}", free_port()?);
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(folder.join("etcd"))
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let client = reqwest::Client::new();
        let (sender, seen) = mpsc::unbounded_channel();
        let mut etcd = Self { child, client, url, seen, watchers: JoinSet::new() };
        let started = Instant::now();
        while etcd.put("before").await.is_err() {
            if started.elapsed() > LIMIT {
                return Err("etcd does not start".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (ready_sender, mut ready) = mpsc::unbounded_channel();
        for _watcher in 0..WATCHERS {
            let request = etcd.client.post(format!("{}/v3/watch", etcd.url));
            // "bench" in base64.
            let request = request.json(&json!({ "create_request": { "key": "YmVuY2g=" } }));
            etcd.watchers.spawn(watch(request, ready_sender.clone(), sender.clone()));
        }
        for _watcher in 0..WATCHERS {
            tokio::time::timeout(LIMIT, ready.recv()).await?;
        }
        Ok(etcd)
    }

    async fn put(&self, value: &str) -> Result<(), Failure> {
        let body = json!({ "key": "YmVuY2g=", "value": value });
        let request = self.client.post(format!("{}/v3/kv/put", self.url)).json(&body);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// Seconds from each put until half of the watchers have seen it.
    async fn puts(&mut self) -> Result<Vec<f64>, Failure> {
        let mut seconds = Vec::with_capacity(CHANGES);
        for change in 0..CHANGES {
            let started = Instant::now();
            self.put(&format!("{change:04}")).await?;
            let mut seen = Vec::with_capacity(WATCHERS);
            while seen.len() < WATCHERS {
                let at = tokio::time::timeout(LIMIT, self.seen.recv()).await?;
                seen.push(at.ok_or("the watchers are gone")?.duration_since(started).as_secs_f64());
            }
            seconds.push(median(&seen));
        }
        Ok(seconds)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// Reports once when the watch stands, then each event.
async fn watch(
    request: reqwest::RequestBuilder,
    ready: mpsc::UnboundedSender<()>,
    seen: mpsc::UnboundedSender<Instant>,
) {
    let Ok(mut answer) = request.send().await else { return };
    let mut created = false;
    while let Ok(Some(chunk)) = answer.chunk().await {
        let events = chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        let events = if created { events } else { events.saturating_sub(1) };
        if !created {
            created = true;
            ready.send(()).ok();
        }
        for _event in 0..events {
            seen.send(Instant::now()).ok();
        }
    }
}
