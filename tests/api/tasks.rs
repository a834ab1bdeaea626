//! What the guides say is what works: their commands, one after the other.

use std::process::Stdio;

use tokio::process::Command;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_api::tasks;
use umail_tests::api::{Api, PASSWORD};

const GUIDE: &str = include_str!("../../docs/tasks.md");

const IMPORTS: &str = include_str!("../../docs/import.md");

/// The commands, without what stands between them.
fn commands(guide: &str) -> String {
    let mut commands = String::from("set -euo pipefail\n");
    for block in guide.split("```sh\n").skip(1) {
        commands += block.split("```").next().unwrap();
    }
    commands
}

#[tokio::test]
async fn every_command_of_the_guide_does_what_it_says() {
    let api = Api::start().await;
    let commands = commands(GUIDE);
    assert_eq!(commands.matches("\n# 10. ").count(), 5, "ten tasks of each role");
    let mut shell = Command::new("bash");
    shell.args(["-c", &commands]).env("API", &api.url).env("ROOT_PASSWORD", PASSWORD);
    run(shell).await;
}

async fn run(mut shell: Command) {
    let done = shell.stdin(Stdio::null()).output().await.unwrap();
    let [out, err] = [&done.stdout, &done.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(done.status.success(), "{}: {out}\n{err}", done.status);
}

#[tokio::test]
async fn every_command_of_the_guide_to_imports_does_what_it_says() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    tasks::start(&api.state, &tracker, &stop);
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-c", &commands(IMPORTS)]).env("API", &api.url).env("TOKEN", admin);
    shell.current_dir(folder.path());
    run(shell).await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    for address in ["ada@example.com", "ben@example.com"] {
        api.sign_in(address).await;
    }
}
