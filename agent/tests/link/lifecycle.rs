//! Starting, stopping, and living alone.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use umail_agent::agent::{Agent, StartError};
use umail_proto::agent::{DesiredState, ListenerKind};

use crate::{
    node::{EPOCH, Node, config, delta, desired, snapshot, until},
    server::Server,
};

const SMTP: &[ListenerKind] = &[ListenerKind::Smtp];

#[tokio::test]
async fn a_node_goes_on_for_days_without_a_server_and_catches_up() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, SMTP)));
    node.script.open_with(snapshot(EPOCH, 10, &["one.example"]));
    let agent = node.start(&server).await;
    until("generation 1", || node.script.status().applied_generation == 1).await;
    until("version 10", || node.script.status().directory_version == 10).await;
    let address = server.stop();

    node.clock.advance(time::Duration::days(6));
    // A service that dies meanwhile is started again, and so is the agent.
    node.service.0.lock().unwrap().is_running = false;
    until("a running service", || node.service.0.lock().unwrap().is_running).await;
    assert!(agent.stop().await);
    let agent = node.start_with(&[address]).await;
    node.service.0.lock().unwrap().is_running = false;
    until("a running service", || node.service.0.lock().unwrap().is_running).await;

    // By the node's clock its certificate has expired: it renews, and connects once more.
    for _ in 0..2 {
        node.script.open_with(vec![delta(10, 11, &["two.example"])]);
    }
    node.script.desired.send_replace(Some(desired(2, &[])));
    let server = Server::start_on(&node.script, address);
    until("generation 2", || node.script.status().applied_generation == 2).await;
    until("version 11", || node.script.status().directory_version == 11).await;
    until("a renewal", || node.script.heard(|heard| heard.renewals) == 1).await;
    assert!(agent.stop().await);
    drop(server);
}

#[tokio::test]
async fn two_agents_do_not_share_a_data_directory() {
    let node = Node::new();
    let server = Server::start(&node.script);
    let agent = node.start(&server).await;
    let config = config(&node.folder, &[server.address]);
    let second = Agent::open(config, node.clock.clone(), node.pace).await;
    assert!(matches!(second, Err(StartError::Locked)));
    assert!(agent.stop().await);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_is_put_aside_with_an_alarm() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(3, SMTP)));
    std::fs::write(node.folder.path().join("agent/ledger"), b"\xff\xff\xff not a ledger").unwrap();
    let agent = node.start(&server).await;
    until("generation 3", || node.script.status().applied_generation == 3).await;
    assert!(node.script.status().alarms.iter().any(|alarm| alarm.kind == "ledger_damaged"));
    assert!(node.folder.path().join("agent/ledger.damaged").exists());
    assert!(agent.stop().await);
}

/// The real program. Killed when the test ends.
struct Process(Child);

fn program(node: &Node, server: &Server, words: &[&str]) -> Command {
    let path = node.folder.path().join("agent.toml");
    let text = format!(
        "data_dir = '{}'\nservers = ['https://{}']\naddress = '127.0.0.1'\n\
         metrics_port = 0\npeer_port = 0\nsupervisor = 'direct'\n",
        node.folder.path().display(),
        server.address
    );
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_umail-agent"));
    command.arg("--config").arg(path).args(words).stdin(Stdio::null());
    command
}

/// What a subcommand says, and whether it succeeds.
fn say(node: &Node, server: &Server, words: &[&str]) -> (bool, String) {
    let output = program(node, server, words).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

impl Process {
    fn start(node: &Node, server: &Server) -> Self {
        let child = program(node, server, &["run"]).stdout(Stdio::null()).spawn().unwrap();
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A state in which no service runs: the program must not touch real ones here.
fn nothing_runs() -> DesiredState {
    let mut state = desired(1, &[]);
    state.services.clear();
    state
}

#[tokio::test]
async fn sigterm_ends_the_program_within_five_seconds() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(nothing_runs()));
    let mut process = Process::start(&node, &server);
    until("generation 1", || node.script.status().accepted_generation == 1).await;
    let start = Instant::now();
    process.signal(Signal::SIGTERM);
    let status = process.0.wait().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(status.success());
}

#[tokio::test]
async fn sigkill_at_any_moment_leaves_files_that_the_next_start_goes_on_with() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(nothing_runs()));
    *node.script.whole.lock().unwrap() = snapshot(EPOCH, 10, &["one.example"]);
    for round in 0..8_u64 {
        let process = Process::start(&node, &server);
        let heard = || node.script.heard(|heard| heard.heartbeats.len());
        let before = heard();
        until("a heartbeat", || heard() > before).await;
        let mut state = nothing_runs();
        state.generation = round + 2;
        node.script.desired.send_replace(Some(state));
        tokio::time::sleep(Duration::from_millis(7 * round)).await;
        process.signal(Signal::SIGKILL);
        drop(process);
    }
    let process = Process::start(&node, &server);
    until("the last generation", || node.script.status().accepted_generation == 9).await;
    until("version 10", || node.script.status().directory_version == 10).await;
    assert!(node.script.status().alarms.is_empty(), "{:?}", node.script.status().alarms);
    drop(process);
}

#[tokio::test]
async fn status_check_and_render_need_neither_server_nor_agent() {
    let node = Node::new();
    let server = Server::start(&node.script);
    let (is_good, text) = say(&node, &server, &["status"]);
    assert!(!is_good && text.contains("has the agent run?"), "{text}");
    let (is_good, text) = say(&node, &server, &["render"]);
    assert!(!is_good && text.contains("no desired state yet"), "{text}");

    node.script.desired.send_replace(Some(nothing_runs()));
    node.script.open_with(snapshot(EPOCH, 10, &["one.example"]));
    let process = Process::start(&node, &server);
    until("generation 1", || node.script.status().applied_generation == 1).await;
    until("version 10", || node.script.status().directory_version == 10).await;
    until("a state file", || say(&node, &server, &["status"]).1.contains("version 10")).await;
    let (is_good, text) = say(&node, &server, &["status"]);
    assert!(is_good && text.contains("generation 1 accepted, 1 applied"), "{text}");
    drop(process);
    server.stop();

    let server = Server::start(&node.script);
    let (is_good, text) = say(&node, &server, &["check"]);
    assert!(is_good && text.contains("replica: version 10"), "{text}");
    std::fs::write(node.folder.path().join("agent/ledger"), b"\xff\xff").unwrap();
    let (is_good, text) = say(&node, &server, &["check"]);
    assert!(!is_good && text.contains("FAULT ledger"), "{text}");
    std::fs::remove_file(node.folder.path().join("agent/node.pem")).unwrap();
    let (is_good, text) = say(&node, &server, &["check"]);
    assert!(!is_good && text.contains("umail-agent join"), "{text}");
}
