//! What the guide of tasks says is what works: its commands, one after the other.

use std::process::Stdio;

use tokio::process::Command;
use umail_tests::api::{Api, PASSWORD};

const GUIDE: &str = include_str!("../../docs/tasks.md");

/// The commands, without what stands between them.
fn commands() -> String {
    let mut commands = String::from("set -euo pipefail\n");
    for block in GUIDE.split("```sh\n").skip(1) {
        commands += block.split("```").next().unwrap();
    }
    commands
}

#[tokio::test]
async fn every_command_of_the_guide_does_what_it_says() {
    let api = Api::start().await;
    let commands = commands();
    assert_eq!(commands.matches("\n# 10. ").count(), 5, "ten tasks of each role");
    let shell = Command::new("bash")
        .args(["-c", &commands])
        .env("API", &api.url)
        .env("ROOT_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .output();
    let done = shell.await.unwrap();
    let [out, err] = [&done.stdout, &done.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(done.status.success(), "{}: {out}\n{err}", done.status);
}
