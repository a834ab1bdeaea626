//! `umail-api migrate-from` as people run it: what it prints, writes and returns, and the commands of
//! the guide.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::sleep;

const PASSWORD: &str = "correct horse battery";
const MAILCOW: &str = include_str!("../../tests/api/migration/mailcow.sql");
const GUIDE: &str = include_str!("../../docs/migration.md");
const TASKS: &str = include_str!("../../docs/tasks.md");

/// A database of its own, and a directory to work in.
struct Setup {
    name: String,
    url: String,
    dir: tempfile::TempDir,
    port: u16,
}

impl Setup {
    async fn new(name: &str) -> Self {
        let url = std::env::var("DATABASE_URL").unwrap();
        let (admin, parameters) = url.split_once('?').unwrap();
        let name = format!("{name}_{}", std::process::id());
        sql(format!("CREATE DATABASE {name}")).await;
        let url = format!("{}/{name}?{parameters}", admin.rsplit_once('/').unwrap().0);
        let dir = tempfile::Builder::new().prefix("umail-migrate.").tempdir_in("/tmp").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let setup = Self { name, url, dir, port };
        let made = setup.run(&["operator", "create", "root", "--password-stdin"], PASSWORD);
        assert!(made.status.success(), "{}", text(&made.stderr));
        setup
    }

    async fn end(self) {
        sql(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn environment(&self, command: &mut Command) {
        command.env_clear().current_dir(self.dir.path());
        command.env("UMAIL_API__DATABASE__URL", &self.url);
        command.env("UMAIL_API__DATA_DIR", self.path("data"));
        command.env("UMAIL_API__HTTP__LISTEN", format!("127.0.0.1:{}", self.port));
        command.env("UMAIL_API__GRPC__LISTEN", "127.0.0.1:0");
        command.env("UMAIL_API__AUTHN__OPERATORS_NEED_TOTP", "false");
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_umail-api"));
        self.environment(&mut command);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs the command on a dump; returns its exit status, what it printed, and what it told.
    fn migrate(&self, dump: &str, arguments: &[&str]) -> (i32, String, String) {
        let all = [&["migrate-from", "mailcow", "-"], arguments].concat();
        let done = self.run(&all, dump);
        (done.status.code().unwrap(), text(&done.stdout), text(&done.stderr))
    }
}

/// A server, killed when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn sql(statement: String) {
    let url = std::env::var("DATABASE_URL").unwrap();
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    pool.close().await;
}

/// A dump of one domain, one mailbox with this name, and its alias.
fn dump(name: &str) -> String {
    format!(
        "INSERT INTO domain (domain) VALUES ('example.com');\n\
         INSERT INTO mailbox (username, password, name, quota, attributes) VALUES ('ada@example.com',\
         '{{PBKDF2}}$1$Z7tbTjOAYukDjdG2$5000$090d46cc16a0dd73569ee692acc6eb2031e816ac','{name}',\
         1000,'{{}}');\n\
         INSERT INTO alias (address, goto) VALUES ('ada@example.com','ada@example.com');\n"
    )
}

#[tokio::test]
async fn the_exit_status_says_whether_all_is_taken_over() {
    let setup = Setup::new("migrate").await;
    let good = dump("Ada");
    let (status, out, told) = setup.migrate(&good, &[]);
    assert_eq!(status, 0, "{out}{told}");
    assert!(
        out.contains("\nusers                    1          0          0          0\n"),
        "{out}"
    );
    assert!(out.ends_with("nothing has been changed: --apply does it\n"), "{out}");

    assert_eq!(setup.migrate(&good, &["--apply"]).0, 2, "nobody to do it");
    let (status, _, told) = setup.migrate(&good, &["--apply", "--operator", "nobody"]);
    assert_eq!((status, told.contains("operator nobody does not exist")), (1, true), "{told}");
    let (status, out, told) = setup.migrate(&good, &["--apply", "--operator", "root"]);
    assert_eq!((status, told.contains("users: 1 of 1")), (0, true), "{out}{told}");
    let (status, out, _) = setup.migrate(&good, &["--apply", "--operator", "root", "-o", "json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (status, &document["complete"], &document["applied"]),
        (0, &true.into(), &true.into())
    );
    assert_eq!(
        document["counts"]["user"],
        serde_json::json!({
            "new": 0, "changed": 0, "there": 1, "refused": 0,
        })
    );

    let file = setup.path("refused.csv");
    let other = dump("=1+1").replace("ada@", "=ada@");
    let (status, ..) = setup.migrate(&other, &["--refused", file.to_str().unwrap()]);
    let refused = fs::read_to_string(&file).unwrap();
    assert_eq!(status, 0, "an odd name is one: {refused}");
    let other = dump("Ada").replace("PBKDF2", "MD5").replace("ada@", "=eve@");
    let (status, ..) = setup.migrate(&other, &["--refused", file.to_str().unwrap()]);
    let refused = fs::read_to_string(&file).unwrap();
    let line = "refused,2,mailbox,'=eve@example.com,password,\"{MD5} is weak: ";
    assert!(status == 3 && refused.contains(line), "{refused}");

    for (bad, arguments, reason) in [
        (&good[..good.len() - 9], &[][..], "line 3: the dump ends in the middle"),
        ("", &[], "there is no table domain"),
        (good.as_str(), &["--plan", "none"], "must be a plan that there is"),
        (good.as_str(), &["--refused", "/nonexistent/file"], "/nonexistent/file: "),
        (good.as_str(), &["--table-prefix", "x_"], "there is no table domain"),
    ] {
        let (status, out, told) = setup.migrate(bad, arguments);
        assert!(status == 1 && out.is_empty() && told.contains(reason), "{reason}: {told}");
    }
    setup.end().await;
}

#[tokio::test]
async fn limits_and_administrators_are_told_before_they_are_made() {
    let setup = Setup::new("migrate_limits").await;
    let domain = "INSERT INTO domain (domain, aliases, mailboxes, maxquota, quota) VALUES \
                  ('example.com',5,1,4,1);\n";
    let admins = "INSERT INTO domain_admins (username, domain, active) VALUES \
                  ('ada@example.com','example.com',1),('chief','example.com',1);\n";
    let one = dump("Ada");
    let dump = format!("{domain}{}{admins}", one.split_once('\n').unwrap().1);
    let (status, out, _) = setup.migrate(&dump, &[]);
    assert_eq!(status, 0, "{out}");
    for line in [
        "limits                   1          0          0          0",
        "1 limits of single mailboxes are left out: plans limit those here",
        "left out: 2",
        "  line 4: domain_admins ada@example.com example.com: administers the domain: \
         --administrators appoints whose mailbox it is",
    ] {
        assert!(out.lines().any(|one| one == line), "{line}: {out}");
    }
    let (status, out, _) = setup.migrate(&dump, &["--administrators"]);
    let listed = "to be appointed: 1\n  ada@example.com administers example.com\nleft out: 1\n";
    assert!(status == 0 && out.contains(listed), "{out}");
    let below = dump.replace(",5,1,4,1)", ",5,0,4,1)");
    let file = setup.path("refused.csv");
    let (status, out, _) = setup.migrate(&below, &["--refused", file.to_str().unwrap()]);
    let refused = fs::read_to_string(&file).unwrap();
    let line =
        "refused,1,domain,example.com,mailboxes,\"is a limit of 0 users, and there will be 1: ";
    assert!(status == 3 && refused.contains(line), "{out}{refused}");
    let all =
        ["--below-allocated", "--administrators", "--apply", "--operator", "root", "-o", "json"];
    let (status, out, told) = setup.migrate(&below, &all);
    assert_eq!(status, 0, "{out}{told}");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["limits_below_allocated"], 1);
    assert_eq!(document["counts"]["administrator"]["new"], 1);
    setup.end().await;
}

#[tokio::test]
async fn every_command_of_the_guide_does_what_it_says() {
    let setup = Setup::new("migrate_guide").await;
    fs::write(setup.path("mailcow.sql"), MAILCOW).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_umail-api"));
    setup.environment(&mut command);
    let log = fs::File::create(setup.path("log")).unwrap();
    let server = Server(command.arg("serve").stderr(log).spawn().unwrap());
    let url = format!("http://127.0.0.1:{}", setup.port);
    let deadline = Instant::now() + Duration::from_secs(30);
    let is_ready = async || {
        let answer = reqwest::get(format!("{url}/readyz")).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    while !is_ready().await {
        assert!(Instant::now() < deadline, "{}", fs::read_to_string(setup.path("log")).unwrap());
        sleep(Duration::from_millis(50)).await;
    }
    let commands = |guide: &'static str| {
        let blocks = guide.split("```sh\n").skip(1);
        blocks.map(|block| block.split("```").next().unwrap()).collect::<Vec<_>>()
    };
    let guide = commands(GUIDE);
    assert_eq!(guide.len(), 3);
    let sign_in = "TOKEN=$(sign_in root \"$ROOT_PASSWORD\")\n";
    // The users of the dump, one with the password that was set.
    let after = "sign_in alice@example.com \"$ROOT_PASSWORD\" > /dev/null
        sign_in carol@example.com 'many small blue whales' > /dev/null\n";
    let script = [commands(TASKS)[0], sign_in, &guide.concat(), after].concat();
    let mut shell = Command::new("bash");
    setup.environment(&mut shell);
    let program = Path::new(env!("CARGO_BIN_EXE_umail-api")).parent().unwrap().display();
    shell.env("PATH", format!("{program}:/usr/bin:/bin"));
    shell.env("API", &url).env("ROOT_PASSWORD", PASSWORD);
    let script = format!("set -euo pipefail\n{script}");
    let done = tokio::task::spawn_blocking(move || shell.args(["-c", &script]).output().unwrap());
    let done = done.await.unwrap();
    assert!(done.status.success(), "{}\n{}", text(&done.stdout), text(&done.stderr));
    drop(server);
    setup.end().await;
}
