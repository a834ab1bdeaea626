//! Mail goes on while the agent is stopped, killed, upgraded, or restoring its replica.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use umail_agent::{layout::Layout, replica::Replica};
use umail_proto::agent::{SnapshotBegin, SnapshotEnd, User};

use crate::{
    client,
    directory::{self, EPOCH, id, row, user},
    node::{NODE, Node},
    single::{ALICE, APP, arrived, running},
};

/// Lets go of the replica as a stopping agent does: its connections close.
pub(crate) async fn stop_agent(node: &mut Node) {
    let elsewhere = node.layout.root().join("elsewhere");
    node.replica = Replica::open(&Layout::new(elsewhere)).await.unwrap();
}

async fn start_agent(node: &mut Node) {
    node.replica = Replica::open(&node.layout).await.unwrap();
}

pub(crate) fn assert_no_fatal(node: &Node) {
    for service in ["postfix", "dovecot"] {
        let log = node.log(service);
        let bad = |line: &&str| {
            [
                "fatal",
                "panic",
                "Fatal",
                "Panic",
                "database is locked",
                "unable to open",
                "schema has changed",
            ]
            .iter()
            .any(|word| line.contains(word))
        };
        assert_eq!(log.lines().find(bad), None, "{service}");
    }
}

#[tokio::test]
async fn mail_goes_on_while_the_agent_is_away() {
    let mut node = running().await;
    let ports = node.config.ports;
    client::send(ports.smtp, "x@elsewhere.example", ALICE.0, "before").ok();
    stop_agent(&mut node).await;
    // Postfix's own tools are the last readers now: they must not take the log with them.
    assert_eq!(node.postmap("mailboxes", ALICE.0).0, "1");
    let database = node.layout.directory_db();
    for suffix in ["-wal", "-shm"] {
        let mut name = database.clone().into_os_string();
        name.push(suffix);
        assert!(std::path::Path::new(&name).exists(), "{suffix} is gone");
    }
    for round in 0..5 {
        client::send(ports.smtp, "x@elsewhere.example", ALICE.0, &format!("{round}")).ok();
        client::imap(ports.imap, APP, "").ok();
        client::submit(ports.submission, APP, ALICE.0, ALICE.0).ok();
    }
    start_agent(&mut node).await;
    client::send(ports.smtp, "x@elsewhere.example", ALICE.0, "after").ok();
    arrived(&node, ALICE, 12).await;
    assert_no_fatal(&node);
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_the_replica_disturbs_no_reader() {
    let node = running().await;
    let ports = node.config.ports;
    let stop = Arc::new(AtomicBool::new(false));
    let (replica, stopped) = (node.replica.clone(), Arc::clone(&stop));
    #[expect(clippy::disallowed_methods, reason = "a test waits for its own task")]
    let writer = tokio::spawn(async move {
        let mut written = 0_u32;
        while !stopped.load(Ordering::Relaxed) {
            let other = User { quota_bytes: written.into(), ..user(12, "bob", &id(NODE)) };
            directory::change(&replica, vec![row(other)]).await;
            written += 1;
        }
        written
    });
    let sent = tokio::task::spawn_blocking(move || {
        for round in 0..20 {
            client::send(ports.smtp, "x@elsewhere.example", ALICE.0, &format!("{round}")).ok();
            client::imap(ports.imap, APP, "").ok();
        }
        20
    });
    let sent = sent.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();
    assert!(written > 100, "only {written} changes were written meanwhile");
    arrived(&node, ALICE, sent).await;
    assert_no_fatal(&node);
}

#[tokio::test]
async fn a_snapshot_bounces_nothing_while_it_replaces_everything() {
    let node = running().await;
    let port = node.config.ports.smtp;
    let rows = crate::single::rows();
    let replace = async {
        for _ in 0..200 {
            directory::fill(&node.replica, rows.clone()).await;
            tokio::task::yield_now().await;
        }
    };
    let send = tokio::task::spawn_blocking(move || {
        for round in 0..10 {
            client::send(port, "x@elsewhere.example", ALICE.0, &format!("{round}")).ok();
        }
    });
    let ((), sent) = tokio::join!(replace, send);
    sent.unwrap();
    client::imap(node.config.ports.imap, APP, "").ok();
    arrived(&node, ALICE, 10).await;
    assert_no_fatal(&node);
}

/// However long that takes: `UMAIL_TEST_SCALE=50` makes a million users.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_in_service_while_it_loads_a_big_snapshot() {
    let factor = std::env::var("UMAIL_TEST_SCALE").ok().and_then(|text| text.parse().ok());
    let users = 20_000 * factor.unwrap_or(1_u32);
    let node = running().await;
    let ports = node.config.ports;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let served = tokio::task::spawn_blocking(move || {
        let mut served = 0;
        while served == 0 || !stopped.load(Ordering::Relaxed) {
            client::send(ports.smtp, "x@elsewhere.example", ALICE.0, &format!("{served}")).ok();
            client::imap(ports.imap, APP, "").ok();
            served += 1;
        }
        served
    });
    let begin = SnapshotBegin { epoch: EPOCH.into(), version: 2 };
    let mut writer = node.replica.begin_snapshot(&begin).unwrap();
    let mut rows = crate::single::rows();
    let count = u64::try_from(rows.len()).unwrap() + u64::from(users);
    for number in 0..users {
        rows.push(row(user(1_000_000 + u128::from(number), &format!("user{number}"), &id(NODE))));
        if rows.len() == 1_000 {
            writer.add(std::mem::take(&mut rows)).unwrap();
        }
    }
    writer.add(rows).unwrap();
    writer.finish(&SnapshotEnd { rows: count }).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let served = served.await.unwrap();
    let last = format!("user{}@example.org", users - 1);
    client::send(ports.smtp, "x@elsewhere.example", &last, "loaded").ok();
    arrived(&node, ALICE, served).await;
    assert_no_fatal(&node);
}
