//! A full disk: what comes is refused and comes again, what is there goes on.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use nix::mount::{MsFlags, mount};
use umail_agent::spool::Interval;
use umail_proto::agent::{TrafficCount, TrafficKind};

use crate::{
    node::{EPOCH, Node, a_while, delta, desired, snapshot, until, version},
    server::Server,
};

/// Tells the process of the test below where its small file system shall be.
const SMALL: &str = "UMAIL_TEST_SMALL_DISK";

/// Takes all the room there is.
fn fill(path: &Path) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    loop {
        if let Err(error) = file.write_all(&[0; 1024]) {
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            return;
        }
    }
}

/// A map of Postfix over the replica: asks for the name of a domain.
struct Map(PathBuf);

impl Map {
    fn new(node: &Node, database: &Path) -> Self {
        let folder = node.folder.path().join("postfix");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("main.cf"), "compatibility_level = 3.6\n").unwrap();
        let query = "SELECT name FROM domain WHERE name = '%s'";
        let map = format!("dbpath = file:{}?mode=ro\nquery = {query}\n", database.display());
        fs::write(folder.join("domains.cf"), map).unwrap();
        Self(folder)
    }

    fn knows(&self, name: &str) -> bool {
        let map = format!("sqlite:{}/domains.cf", self.0.display());
        let output = Command::new("/usr/sbin/postmap")
            .arg("-c")
            .arg(&self.0)
            .args(["-q", name, &map])
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        output.status.success() && output.stdout == format!("{name}\n").as_bytes()
    }
}

/// Whether this alarm and no other one is raised.
fn only_alarm(node: &Node, kind: &str) -> bool {
    let alarms = node.script.status().alarms;
    alarms.len() == 1 && alarms.iter().all(|alarm| alarm.kind == kind)
}

fn counted() -> Interval {
    let kind = TrafficKind::Received.into();
    Interval { counts: vec![TrafficCount { kind, messages: 1, bytes: 1 }], ..Interval::default() }
}

#[tokio::test]
async fn a_full_disk_refuses_what_comes_and_keeps_what_is_there() {
    let Some(small) = std::env::var_os(SMALL) else {
        // A file system that only this process sees: it is gone when the process is.
        let folder = tempfile::tempdir().unwrap();
        let mut own = Command::new("unshare");
        own.arg("--mount").arg(std::env::current_exe().unwrap()).arg("--nocapture");
        own.args(["--exact", "disk::a_full_disk_refuses_what_comes_and_keeps_what_is_there"]);
        own.env(SMALL, folder.path()).env("TMPDIR", folder.path());
        assert!(own.status().unwrap().success());
        return;
    };
    let options = Some("size=32m,mode=755");
    mount(Some("tmpfs"), Path::new(&small), Some("tmpfs"), MsFlags::empty(), options).unwrap();
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, &[])));
    node.script.open_with(snapshot(EPOCH, 10, &["one.example"]));
    let agent = node.start(&server).await;
    until("version 10", || node.script.status().directory_version == 10).await;
    until("generation 1", || node.script.status().applied_generation == 1).await;
    let map = Map::new(&node, &agent.state().layout.directory_db());

    let ballast = node.folder.path().join("ballast");
    // Again and again: a file that was just being replaced gives its room back.
    until("no room is left", || {
        fill(&ballast);
        only_alarm(&node, "disk_full")
    })
    .await;
    // More than what is left in the log's file.
    let names: Vec<String> = (0..40_000).map(|number| format!("d{number}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..100 {
        node.script.open_with(vec![delta(10, 11, &names)]);
    }
    node.script.directory.send(delta(10, 11, &names)).unwrap();
    node.script.desired.send_replace(Some(desired(2, &[])));
    until("all that is refused", || {
        let detail = node.script.status().alarms.first().map(|alarm| alarm.detail.clone());
        ["replica", "ledger", "state file"]
            .iter()
            .all(|part| detail.as_ref().is_some_and(|detail| detail.contains(part)))
    })
    .await;
    agent.state().spool.append(counted(), b"a").unwrap_err();
    assert!(agent.state().spool.unwritten().is_some());
    a_while().await;
    assert!(only_alarm(&node, "disk_full"), "{:?}", node.script.status().alarms);
    assert!(map.knows("one.example") && !map.knows("d0.example"));
    agent.state().replica.check().await.unwrap();
    assert_eq!(agent.state().ledger.desired().unwrap().generation, 1);

    // Also an agent that starts on a full disk goes on with what it has.
    assert!(agent.stop().await);
    let agent = node.start(&server).await;
    until("the alarm again", || only_alarm(&node, "disk_full")).await;
    assert_eq!(version(agent.state()).await, 10);
    assert!(map.knows("one.example"));

    fs::remove_file(ballast).unwrap();
    until("version 11", || node.script.status().directory_version == 11).await;
    until("generation 2", || node.script.status().applied_generation == 2).await;
    until("no alarms", || node.script.status().alarms.is_empty()).await;
    assert!(map.knows("one.example") && map.knows("d39999.example"));
    agent.state().spool.append(counted(), b"a").unwrap();
    assert_eq!(agent.state().spool.unwritten(), None);
    agent.state().replica.check().await.unwrap();
    assert!(agent.stop().await);
}
