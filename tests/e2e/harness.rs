//! The harness itself: what it makes is gone afterwards, whatever happened.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use umail_tests::harness::{
    fleet::{FOUR_NODES, Fleet},
    leftovers,
    network::Network,
    process::{self, inside},
};

/// Tells the child of the test below to be the run that is killed.
const VICTIM: &str = "UMAIL_HARNESS_VICTIM";

#[test]
fn a_node_reaches_the_host_and_nothing_else_and_is_gone_afterwards() {
    let fleet = Fleet::create(FOUR_NODES).unwrap();
    let number = fleet.number();
    assert!(!leftovers::remains(number).is_empty());
    let node = &fleet.nodes[3];
    let (host, _port) = fleet.server.grpc().split_once(':').unwrap();
    let listener = TcpListener::bind((host, 0)).unwrap();
    let connects = |address: &str| {
        let mut command = inside(node.namespace(), Path::new("bash"));
        command.args(["-c", &format!("exec 3<>/dev/tcp/{address}")]).stderr(Stdio::null());
        command.status().unwrap().success()
    };
    assert!(connects(&format!("{host}/{}", listener.local_addr().unwrap().port())));
    assert!(!connects("198.51.100.1/80"), "a node has a way out of the bridge");
    // A daemon that nobody waits for, as Postfix and Dovecot leave them.
    let mut daemon = inside(node.namespace(), Path::new("setsid"));
    daemon.args(["--fork", "sleep", "600"]).status().unwrap();
    drop(fleet);
    assert_eq!(leftovers::remains(number), Vec::<String>::new());
}

#[test]
fn two_fleets_have_different_networks() {
    let (one, two) = (Network::create().unwrap(), Network::create().unwrap());
    assert_ne!(one.number(), two.number());
    for network in [one, two] {
        let number = network.number();
        drop(network);
        assert_eq!(leftovers::remains(number), Vec::<String>::new());
    }
}

#[test]
fn what_a_killed_run_leaves_is_cleared_by_the_next() {
    if std::env::var_os(VICTIM).is_some() {
        return be_killed();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "harness::what_a_killed_run_leaves_is_cleared_by_the_next"])
        .arg("--nocapture")
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let number = lines.find_map(|line| line.strip_prefix("network ")?.parse::<u8>().ok()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // Whoever comes next clears it: this test, or another one that started in the meantime.
    leftovers::clear_abandoned();
    let remains = leftovers::remains(number);
    let taken_again = Network::create().is_ok_and(|network| network.number() != number);
    assert!(remains.is_empty() || taken_again, "{remains:?}");
}

/// Builds a fleet with a daemon in it, says so, and waits for its end.
fn be_killed() {
    let fleet = Fleet::create(FOUR_NODES).unwrap();
    let mut daemon = inside(fleet.nodes[0].namespace(), Path::new("setsid"));
    daemon.args(["--fork", "sleep", "600"]).stdout(Stdio::null()).status().unwrap();
    let line = format!("\nnetwork {}\n", fleet.number());
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_failing_command_says_why() {
    let mut command = Command::new("ls");
    command.arg("/does-not-exist");
    let error = process::finish(command).await.unwrap_err().to_string();
    assert!(error.contains("/does-not-exist"), "{error}");
}
