//! What is done on nodes about a compromised account: sessions end, queued mail is held.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration};

use umail_agent::{
    drivers::{dovecot::sessions, postfix::queue},
    exec,
};
use umail_proto::agent::{AccountStatus, User};

use crate::{
    client,
    directory::{self, alias, id, row, user},
    fleet::{self, Fleet, at},
    node::{NODE, Node, wait_until},
    session::Session,
    single::{ALICE, BOB, running},
};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn sessions_of_the_user_end_and_those_of_others_do_not() {
    let node = running().await;
    let imap = SocketAddr::from(([127, 0, 0, 1], node.config.ports.imap));
    let (first, second) = (Session::open(imap, ALICE).await, Session::open(imap, ALICE).await);
    let mut other = Session::open(imap, BOB).await;
    sessions::kick(&node.layout, ALICE.0).await.unwrap();
    first.ends().await;
    second.ends().await;
    assert!(other.lives().await);
    // Nobody is left, and that is fine.
    sessions::kick(&node.layout, ALICE.0).await.unwrap();
    assert!(other.lives().await);
}

#[tokio::test]
async fn sessions_that_are_passed_on_end_on_either_node() {
    let fleet = Fleet::new().await;
    let imap = at(&fleet.pop, fleet.pop.config.ports.imap);
    for node in [&fleet.pop, &fleet.first] {
        let session = Session::open(imap, fleet::ALICE).await;
        sessions::kick(&node.layout, fleet::ALICE.0).await.unwrap();
        session.ends().await;
    }
}

async fn queued(node: &Node) -> Vec<(String, String)> {
    let arguments = ["-c".into(), node.layout.etc("postfix").into_os_string(), "-j".into()];
    let output = exec::run(exec::Program::Postqueue, &arguments, LIMIT).await.unwrap();
    let lines = output.stdout.lines().map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| message[field].as_str().unwrap().to_owned();
        (text("sender"), text("queue_name"))
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn what_the_user_has_queued_is_held_and_nothing_else() {
    let node = running().await;
    // Mail for somebody whose mailbox has no place waits in the queue.
    let carol = user(13, "carol", "");
    let mut sales = alias(41, "sales", &[ALICE.0]);
    sales.user_id = id(11);
    directory::change(&node.replica, vec![row(carol), row(sales)]).await;
    let port = node.config.ports.submission;
    let carol = "carol@example.org";
    client::submit(port, ALICE, ALICE.0, carol).ok();
    client::submit(port, ALICE, "sales@example.org", carol).ok();
    client::submit(port, BOB, BOB.0, carol).ok();
    let is = |queue: &str, bobs: &str| {
        let line = |sender: &str, queue: &str| (sender.to_owned(), queue.to_owned());
        vec![line(ALICE.0, queue), line(BOB.0, bobs), line("sales@example.org", queue)]
    };
    wait_until("all three wait", || async { queued(&node).await == is("deferred", "deferred") })
        .await;
    let senders = node.replica.sender_addresses(&id(11)).await.unwrap();
    assert_eq!(senders, [ALICE.0, "sales@example.org"].map(str::to_owned).into());
    assert_eq!(queue::hold(&node.layout, &senders).await.unwrap(), 2);
    assert_eq!(queue::hold(&node.layout, &senders).await.unwrap(), 0);
    wait_until("it stays on hold", || async {
        let queued = queued(&node).await;
        queued.iter().filter(|(_, queue)| queue == "hold").count() == 2
            && queued.iter().any(|(sender, queue)| sender == BOB.0 && queue != "hold")
    })
    .await;
    let nobodys = node.replica.sender_addresses(&id(99)).await.unwrap();
    assert!(nobodys.is_empty());
}

#[tokio::test]
async fn a_locked_account_sends_no_more_in_a_session_that_it_has() {
    let node = running().await;
    assert_eq!(node.postmap("inside_senders", ALICE.0).0, "");
    for (status, answer) in [
        (AccountStatus::Locked, "550 5.7.1 The account is locked"),
        (AccountStatus::Maintenance, ""),
        (AccountStatus::Closed, "550 5.7.1 The account is locked"),
        (AccountStatus::Active, ""),
    ] {
        let alice = User { status: status.into(), ..user(11, "alice", &id(NODE)) };
        directory::change(&node.replica, vec![row(alice)]).await;
        assert_eq!(node.postmap("inside_senders", ALICE.0).0, answer);
    }
}
