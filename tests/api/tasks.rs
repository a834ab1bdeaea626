//! What the guide of tasks says is what works: its commands, one after the other.

use std::process::Stdio;

use tokio::process::Command;
use umail_tests::api::{Api, PASSWORD};

const TASKS: &str = include_str!("../../docs/tasks.md");
const KEYS: &str = include_str!("../../docs/api-keys.md");
const AUDIT: &str = include_str!("../../docs/audit.md");

/// The commands of a guide, without what stands between them.
fn commands(guide: &str) -> Vec<&str> {
    let blocks = guide.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

/// Runs commands against a new server, in an empty directory; returns what they print.
async fn run(commands: &[&str]) -> String {
    let api = Api::start().await;
    let directory = tempfile::tempdir().unwrap();
    let shell = Command::new("bash")
        .args(["-c", &format!("set -euo pipefail\n{}", commands.concat())])
        .current_dir(directory.path())
        .env("API", &api.url)
        .env("ROOT_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .output();
    let done = shell.await.unwrap();
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
