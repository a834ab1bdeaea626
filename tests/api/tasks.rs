//! What the guides say is what works: their commands, one after the other.

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_api::tasks;
use umail_tests::api::{Api, PASSWORD};

const TASKS: &str = include_str!("../../docs/tasks.md");
const KEYS: &str = include_str!("../../docs/api-keys.md");
const SINGLE_SIGN_ON: &str = include_str!("../../docs/single-sign-on.md");
const AUDIT: &str = include_str!("../../docs/audit.md");
const IMPORTS: &str = include_str!("../../docs/import.md");
const BULK_CHANGES: &str = include_str!("../../docs/bulk-changes.md");

/// The commands of a guide, without what stands between them.
fn commands(guide: &str) -> Vec<&str> {
    let blocks = guide.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

/// Runs commands against a new server, in an empty directory; returns what they print.
async fn run(commands: &[&str]) -> String {
    let api = Api::start().await;
    let mut shell = shell(&api, commands);
    finish(shell.env("ROOT_PASSWORD", PASSWORD)).await
}

fn shell(api: &Api, commands: &[&str]) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("set -euo pipefail\n{}", commands.concat())]).env("API", &api.url);
    shell
}

async fn finish(shell: &mut Command) -> String {
    let directory = tempfile::tempdir().unwrap();
    let done = shell.current_dir(directory.path()).stdin(Stdio::null()).output().await.unwrap();
    let [out, err] = [&done.stdout, &done.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(done.status.success(), "{}: {out}\n{err}", done.status);
    out.into_owned()
}

#[tokio::test]
async fn every_command_of_the_guide_does_what_it_says() {
    let commands = commands(TASKS);
    let tasks = commands.concat().matches("\n# 10. ").count();
    assert_eq!(tasks, 5, "ten tasks of each role");
    run(&commands).await;
}

#[tokio::test]
async fn every_command_of_the_guide_of_the_audit_does_what_it_says() {
    let before = "TOKEN=$(sign_in root \"$ROOT_PASSWORD\")
        ask POST /v1/domains '{\"name\":\"example.com\"}'
        for who in ada ben; do
            BEN=$(ask POST /v1/domains/example.com/users \\
                '{\"local_part\":\"'$who'\",\"password\":\"many small blue whales\"}' | jq -r .id)
        done\n";
    let after = "\n[ $(wc -l < audit.ndjson) -ge 3 ] && head -1 audit.csv | grep -q ^id,at,kind\n";
    let guide = commands(AUDIT);
    assert!(guide.len() > 1);
    let functions = commands(TASKS);
    let all = [&functions[..1], &[before], &guide, &[after]].concat();
    let out = run(&all).await;
    assert!(out.contains("ben@example.com"), "{out}");
}

#[tokio::test]
async fn every_command_of_the_guide_of_the_api_keys_does_what_it_says() {
    let before = "TOKEN=$(sign_in root \"$ROOT_PASSWORD\")
        DOMAIN=$(ask POST /v1/domains '{\"name\":\"example.com\"}' | jq -r .id)
        IN_HALF_A_YEAR=$(date -u -d '+180 days' +%Y-%m-%dT%H:%M:%SZ)\n";
    let guide = commands(KEYS);
    assert_eq!(guide.len(), 1);
    let functions = commands(TASKS);
    let out = run(&[&functions[..1], &[before], &guide].concat()).await;
    assert!(out.contains("HR system") && out.contains("domain_admin"), "{out}");
}

#[tokio::test]
async fn every_command_of_the_guide_to_single_sign_on_does_what_it_says() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    let domain = api.get("/v1/domains/example.com").await.id();
    for name in ["ada", "ben"] {
        api.user(&format!("{name}@example.com")).await;
    }
    let plan = json!({"name": "small", "quota_bytes": 1_000_000_000});
    let plan = api.post("/v1/plans", plan).await.id();
    let small = api.patch("/v1/users/ben@example.com", json!({"plan_id": plan})).await;
    assert!(small.status.is_success());
    let root = api.sign_in("root").await;
    let (functions, guide) = (commands(TASKS), commands(SINGLE_SIGN_ON));
    let mut shell = shell(&api, &[&functions[..1], &guide].concat());
    let shell = shell.env("TOKEN", admin).env("ROOT", root).env("DOMAIN", domain);
    let out = finish(shell).await;
    assert!(out.contains("ada@example.com\n401\n"), "{out}");
    assert!(out.contains("login_link\t") && out.contains("\"allowed\": false"), "{out}");
}

#[tokio::test]
async fn every_command_of_the_guide_to_imports_does_what_it_says() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    with_tasks(&api, shell(&api, &commands(IMPORTS)).env("TOKEN", admin)).await;
    for address in ["ada@example.com", "ben@example.com", "carl@example.com"] {
        api.sign_in(address).await;
    }
}

/// Runs commands while the tasks of the server run.
async fn with_tasks(api: &Api, shell: &mut Command) {
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    tasks::start(&api.state, &tracker, &stop);
    finish(shell).await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn every_command_of_the_guide_to_bulk_changes_does_what_it_says() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    let path = "/v1/domains/example.com/departments";
    let sales = api.post(path, json!({"name": "Sales"})).await.id();
    let emea = api.post(path, json!({"name": "EMEA", "parent_id": sales})).await.id();
    for (name, department) in [("ada", &sales), ("ben", &emea)] {
        api.user(&format!("{name}@example.com")).await;
        let inside = json!({"department_id": department});
        let path = format!("/v1/users/{name}@example.com");
        assert!(api.patch(path, inside).await.status.is_success());
    }
    with_tasks(&api, shell(&api, &commands(BULK_CHANGES)).env("TOKEN", admin)).await;
    assert_eq!(api.get("/v1/users/ben@example.com").await.body["status"], "locked");
    assert_eq!(api.get("/v1/users/admin@example.com").await.body["status"], "active");
}
