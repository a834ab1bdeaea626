//! The binary: it starts, stops, is killed, and comes back with what it had.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs::{self, File, Permissions},
    io::Write,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::time::sleep;

const PASSWORD: &str = "correct horse battery";

/// A data directory, ports and an environment: what a server is started with.
struct Setup {
    dir: tempfile::TempDir,
    http: u16,
    grpc: u16,
    database: Option<String>,
    user: Option<&'static str>,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("umail-serve.").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        let ports = [free_port(), free_port()];
        Self { dir, http: ports[0], grpc: ports[1], database: None, user: None }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_umail-api");
        let mut command = match self.user {
            Some(user) => {
                let mut command = Command::new("/usr/bin/setpriv");
                let user = [format!("--reuid={user}"), format!("--regid={user}")];
                command.args(user).args(["--clear-groups", program]);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).env_clear();
        command.env("UMAIL_API__DATA_DIR", self.data_dir());
        command.env("UMAIL_API__HTTP__LISTEN", format!("127.0.0.1:{}", self.http));
        command.env("UMAIL_API__GRPC__LISTEN", format!("127.0.0.1:{}", self.grpc));
        command.env("UMAIL_API__AUTHN__OPERATORS_NEED_TOTP", "false");
        command.env("UMAIL_API__LOG__FORMAT", "json");
        if let Some(url) = &self.database {
            command.env("UMAIL_API__DATABASE__URL", url);
        }
        command
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn postmaster(&self) -> Option<Pid> {
        let file = self.data_dir().join("postgres/data/postmaster.pid");
        let pid: i32 = fs::read_to_string(file).ok()?.lines().next()?.parse().ok()?;
        is_alive(pid).then(|| Pid::from_raw(pid))
    }

    async fn serve(&self) -> Server<'_> {
        let path = self.dir.path().join("log");
        let log = File::options().create(true).append(true).open(&path).unwrap();
        let child = self.command(&["serve"]).stderr(log).spawn().unwrap();
        let mut server = Server { setup: self, child, client: reqwest::Client::new() };
        let ready = within(30, async || {
            assert!(server.child.try_wait().unwrap().is_none(), "{}", read(&path));
            server.ready().await == Some(200)
        });
        assert!(ready.await, "not ready: {}", read(&path));
        server
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

/// A running server, killed when it is dropped.
struct Server<'a> {
    setup: &'a Setup,
    child: Child,
    client: reqwest::Client,
}

impl Server<'_> {
    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.setup.http)
    }

    async fn ready(&self) -> Option<u16> {
        let answer = self.client.get(self.url("/readyz")).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    async fn sign_in(&self) -> String {
        self.sign_in_as("root").await
    }

    async fn sign_in_as(&self, name: &str) -> String {
        let body = json!({"name": name, "password": PASSWORD});
        let answer = self.client.post(self.url("/v1/sessions")).json(&body).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn fingerprint(&self) -> String {
        let body = json!({"node_name": "mx-1", "roles": ["smtp"]});
        let request = self.client.post(self.url("/v1/join_tokens")).json(&body);
        let answer = request.bearer_auth(self.sign_in().await).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        body["ca_fingerprint"].as_str().unwrap().to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Asks it to stop, and says how long that took.
    fn stop(mut self) -> Duration {
        let start = Instant::now();
        self.signal(Signal::SIGTERM);
        assert!(self.child.wait().unwrap().success());
        start.elapsed()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // It has ended, in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on, another one in every process of the tests, below those that the
/// system gives to clients.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 2_000 + u16::try_from(std::process::id() % 250).unwrap() * 8;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn is_alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

async fn within(seconds: u64, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        if holds().await {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_server_stops_in_time_whatever_its_clients_do() {
    let setup = Setup::new();
    let made = setup.run(&["operator", "create", "root", "--password-stdin"], PASSWORD);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = setup.serve().await;
    server.sign_in().await;
    // One client that never ends its request.
    let mut slow = TcpStream::connect(("127.0.0.1", setup.http)).unwrap();
    slow.write_all(b"POST /v1/sessions HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{").unwrap();
    sleep(Duration::from_millis(200)).await;
    let took = server.stop();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(setup.postmaster().is_none());
    drop(slow);
    for line in read(&setup.dir.path().join("log")).lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

#[tokio::test]
async fn a_killed_server_takes_its_database_along_and_comes_back_the_same() {
    let setup = Setup::new();
    let server = setup.serve().await;
    // Beside the running server.
    let made = setup.run(&["operator", "create", "root", "--password-stdin"], PASSWORD);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let fingerprint = server.fingerprint().await;
    server.signal(Signal::SIGKILL);
    assert!(within(5, async || setup.postmaster().is_none()).await, "the database lives on");
    drop(server);
    let server = setup.serve().await;
    assert_eq!(server.fingerprint().await, fingerprint);
    server.stop();
}

#[tokio::test]
async fn an_operator_without_the_second_factor_gets_back_in() {
    let setup = Setup::new();
    let server = setup.serve().await;
    let made = setup.run(&["operator", "create", "root", "--password-stdin"], PASSWORD);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = server.sign_in().await;
    let post = async |path: &str, token: &str, body: Value| {
        let ask = server.client.post(server.url(path)).bearer_auth(token).json(&body);
        let answer = ask.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (_, secret) = post("/v1/me/totp", &token, json!({"current_password": PASSWORD})).await;
    let totp = totp_rs::Totp::from_url(secret["uri"].as_str().unwrap()).unwrap();
    let now = time::UtcDateTime::now().unix_timestamp().try_into().unwrap();
    let code = json!({"code": totp.generate(now).to_string()});
    let (status, answer) = post("/v1/me/totp/confirm", &token, code).await;
    assert_eq!(status, 200, "{answer}");
    let password = json!({"name": "root", "password": PASSWORD});
    let (status, problem) = post("/v1/sessions", "", password.clone()).await;
    assert_eq!((status, &problem["type"]), (401, &json!("urn:umail:problem:totp-required")));

    let nobody = setup.run(&["operator", "reset-totp", "nobody"], "");
    assert!(!nobody.status.success());
    let text = String::from_utf8_lossy(&nobody.stderr);
    assert!(text.contains("operator nobody"), "{text}");
    let reset = setup.run(&["operator", "reset-totp", "root"], "");
    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
    assert_eq!(String::from_utf8_lossy(&reset.stdout), "operator: root\n");
    let (status, session) = post("/v1/sessions", "", password).await;
    assert_eq!(status, 201, "{session}");
    // There is none left to remove, and that is fine.
    assert!(setup.run(&["operator", "reset-totp", "root"], "").status.success());
    server.stop();
}

#[tokio::test]
async fn a_server_says_that_its_database_is_away_and_brings_it_back() {
    let setup = Setup::new();
    let server = setup.serve().await;
    let before = setup.postmaster().unwrap();
    kill(before, Signal::SIGKILL).unwrap();
    let back = within(10, async || {
        setup.postmaster().is_some_and(|pid| pid != before) && server.ready().await == Some(200)
    });
    assert!(back.await, "{}", read(&setup.dir.path().join("log")));
    server.stop();
}

#[tokio::test]
async fn a_server_may_have_a_user_of_its_own_and_commands_run_as_root() {
    let mut setup = Setup { user: Some("daemon"), ..Setup::new() };
    let owner = nix::unistd::User::from_name("daemon").unwrap().unwrap().uid;
    std::os::unix::fs::chown(setup.dir.path(), Some(owner.as_raw()), None).unwrap();
    setup.serve().await.stop();
    setup.user = None;
    let made = setup.run(&["operator", "create", "root", "--password-stdin"], PASSWORD);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    setup.user = Some("daemon");
    let server = setup.serve().await;
    server.sign_in().await;
    server.stop();
}

#[tokio::test]
async fn servers_of_one_database_and_one_key_share_their_authority() {
    let url = std::env::var("DATABASE_URL").unwrap();
    let (admin, parameters) = url.split_once('?').unwrap();
    let name = format!("serve_{}", std::process::id());
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(statement).execute(&pool).await.unwrap();
    let base = admin.rsplit_once('/').unwrap().0;
    let database = Some(format!("{base}/{name}?{parameters}"));

    let first = Setup { database: database.clone(), ..Setup::new() };
    let second = Setup { database: database.clone(), ..Setup::new() };
    fs::create_dir_all(first.data_dir()).unwrap();
    fs::create_dir_all(second.data_dir()).unwrap();
    fs::write(first.data_dir().join("key"), [9; 32]).unwrap();
    fs::set_permissions(first.data_dir().join("key"), Permissions::from_mode(0o600)).unwrap();
    fs::copy(first.data_dir().join("key"), second.data_dir().join("key")).unwrap();
    let (one, two) = tokio::join!(first.serve(), second.serve());
    let made = first.run(&["operator", "create", "root", "--password-stdin"], PASSWORD);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(one.fingerprint().await, two.fingerprint().await);
    assert!(!first.data_dir().join("postgres").exists());
    one.stop();
    two.stop();

    // A server with another key can do nothing with it, and says so.
    let third = Setup { database, ..Setup::new() };
    let output = third.run(&["serve"], "");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("secret"), "{text}");
    let statement = sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
    sqlx::raw_sql(statement).execute(&pool).await.unwrap();
}

#[tokio::test]
async fn audit_events_are_sealed_within_a_second_and_whoever_touches_them_is_found_out() {
    let url = std::env::var("DATABASE_URL").unwrap();
    let (admin, parameters) = url.split_once('?').unwrap();
    let name = format!("audit_{}", std::process::id());
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let run = async |pool: &sqlx::PgPool, sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await.unwrap();
    };
    run(&pool, format!("CREATE DATABASE {name}")).await;
    let url = format!("{}/{name}?{parameters}", admin.rsplit_once('/').unwrap().0);
    let setup = Setup { database: Some(url.clone()), ..Setup::new() };
    let server = setup.serve().await;
    let made = setup.run(&["operator", "create", "root", "--password-stdin"], PASSWORD);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    server.sign_in().await;
    let owner = sqlx::PgPool::connect(&url).await.unwrap();
    let waiting = async || -> i64 {
        let sql = "SELECT count(*) FROM audit_unsealed";
        sqlx::query_scalar(sql).fetch_one(&owner).await.unwrap()
    };
    assert!(within(1, async || waiting().await == 0).await, "not sealed within a second");

    let verify = |more: &[&str]| {
        let done = setup.run(&[&["audit", "verify"], more].concat(), "");
        let text = [done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (done.status.success(), text)
    };
    let (is_whole, text) = verify(&[]);
    assert!(is_whole && text.starts_with("intact: 2 events are sealed, 0 wait"), "{text}");
    let head = text.trim().rsplit_once("head: ").unwrap().1.to_owned();
    assert!(verify(&["--head", &head]).0);
    assert!(!verify(&["--head", "2:00"]).0);
    let done = setup.run(&["audit", "prune", "--keep", "400d"], "");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "nothing is old enough\n");
    assert!(!setup.run(&["audit", "prune", "--keep", "1d"], "").status.success());

    run(&owner, "CREATE TABLE kept AS TABLE audit_event".to_owned()).await;
    run(&owner, "UPDATE audit_event SET action = 'x' WHERE resource = 'session'".to_owned()).await;
    let (is_whole, text) = verify(&[]);
    assert!(!is_whole && text.contains("broken at sequence 2: "), "{text}");
    run(&owner, "TRUNCATE audit_event; INSERT INTO audit_event TABLE kept".to_owned()).await;
    assert!(verify(&["--head", &head]).0);
    server.stop();
    run(&owner, "DELETE FROM audit_event WHERE resource = 'session'".to_owned()).await;
    run(&owner, "DELETE FROM audit_seal WHERE sequence = 2".to_owned()).await;
    assert!(verify(&[]).0, "a chain that is shorter is whole");
    let (is_whole, text) = verify(&["--head", &head]);
    assert!(!is_whole && text.contains("broken at sequence 2: "), "{text}");
    owner.close().await;
    run(&pool, format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

#[tokio::test]
async fn who_asks_for_what_is_out_of_scope_is_in_the_audit_soon() {
    let setup = Setup::new();
    let server = setup.serve().await;
    let made = setup.run(&["operator", "create", "root", "--password-stdin"], PASSWORD);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let root = server.sign_in().await;
    let post = async |path: &str, body: Value| {
        let ask = server.client.post(server.url(path)).bearer_auth(&root).json(&body);
        assert_eq!(ask.send().await.unwrap().status(), 201, "{path} {body}");
    };
    for domain in ["example.com", "example.org"] {
        post("/v1/domains", json!({"name": domain})).await;
        let anna = json!({"local_part": "anna", "password": PASSWORD});
        post(&format!("/v1/domains/{domain}/users"), anna).await;
    }
    let anna = server.sign_in_as("anna@example.com").await;
    let get = async |token: &str, path: &str| {
        let ask = server.client.get(server.url(path)).bearer_auth(token).send().await.unwrap();
        (ask.status().as_u16(), ask.json::<Value>().await.unwrap())
    };
    assert_eq!(get(&anna, "/v1/users/nobody@example.org").await.0, 404);
    assert_eq!(get(&anna, "/v1/users/anna@example.org").await.0, 404);
    let hidden = async |token: &str| get(token, "/v1/audit_events?action=hide").await.1;
    let is_there = async || !hidden(&root).await["items"].as_array().unwrap().is_empty();
    assert!(within(3, is_there).await, "not written");
    let found = hidden(&root).await;
    let event = &found["items"][0];
    assert_eq!(event["after"]["path"], "/v1/users/anna@example.org");
    assert_eq!(
        (&event["actor"], found["items"].as_array().unwrap().len()),
        (&json!("anna@example.com"), 1)
    );
    assert_eq!(hidden(&anna).await["items"], json!([]));
    server.stop();
}

#[test]
fn a_port_that_is_taken_is_named_with_its_key() {
    let setup = Setup::new();
    let _taken = TcpListener::bind(("127.0.0.1", setup.http)).unwrap();
    let output = setup.run(&["serve"], "");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with("umail-api: http.listen: 127.0.0.1:"), "{text}");
    assert!(!setup.data_dir().exists(), "nothing was made");
}

#[test]
fn the_document_needs_neither_configuration_nor_database() {
    let setup = Setup::new();
    let output = setup.run(&["openapi"], "");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["paths"]["/v1/nodes/{node}/services/{kind}"]["patch"].is_object());
    let output = setup.run(&["--config", "/nonexistent/a.toml", "check-config"], "");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with("umail-api: /nonexistent/a.toml: "), "{text}");
}
