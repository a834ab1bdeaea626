//! Sessions of POP3 and IMAP that are open when the directory stops allowing them.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_agent::sessions::{end_refused, watch};
use umail_proto::{
    agent::{AccountStatus, DirectoryRow, Domain, DomainAlias, Plan, RowKind, User},
    functions::Function,
};

use crate::{
    directory::{self, ALL, domain, id, row, user},
    fleet::{self, Fleet, at},
    node::{NODE, Node, wait_until},
    session::Session,
    single::{ALICE, BOB, running},
};

const IMAP: u64 = Function::Imap as u64;

async fn end(node: &Node) -> usize {
    end_refused(&node.layout, &node.replica).await.unwrap()
}

fn here(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

async fn change(node: &Node, rows: Vec<DirectoryRow>) {
    directory::change(&node.replica, rows).await;
}

fn alice(status: AccountStatus, functions: u64) -> DirectoryRow {
    row(User { status: status.into(), functions, ..user(11, "alice", &id(NODE)) })
}

fn example(status: AccountStatus, functions: u64) -> DirectoryRow {
    row(Domain { status: status.into(), functions, ..domain(1, "example.org") })
}

const REFUSED: [AccountStatus; 5] = [
    AccountStatus::Locked,
    AccountStatus::Maintenance,
    AccountStatus::Suspended,
    AccountStatus::Closed,
    AccountStatus::Deleted,
];

#[tokio::test]
async fn each_status_of_a_user_ends_its_sessions_and_no_others() {
    let node = running().await;
    let (imap, pop3) = (here(node.config.ports.imap), here(node.config.ports.pop3));
    let mut bob = [Session::open(imap, BOB).await, Session::pop3(pop3, BOB).await];
    for status in REFUSED {
        change(&node, vec![alice(AccountStatus::Active, ALL)]).await;
        let mut sessions = [Session::open(imap, ALICE).await, Session::pop3(pop3, ALICE).await];
        assert_eq!(end(&node).await, 0, "as at every start of the agent");
        for session in &mut sessions {
            assert!(session.lives().await);
        }
        change(&node, vec![alice(status, ALL)]).await;
        assert_eq!(end(&node).await, 1, "{status:?}");
        for session in sessions {
            session.ends().await;
        }
        wait_until("nobody is left to kick", || async { end(&node).await == 0 }).await;
    }
    for session in &mut bob {
        assert!(session.lives().await);
    }
}

#[tokio::test]
async fn each_status_of_a_domain_ends_the_sessions_of_its_users() {
    let node = running().await;
    let imap = here(node.config.ports.imap);
    let more = (0..4).flat_map(|number| {
        let user = user(50 + number, &format!("user-{number}"), &id(NODE));
        [row(user), row(directory::password(60 + number, 50 + number, ALICE.1))]
    });
    let other = Domain { id: id(2), ..domain(2, "example.net") };
    let carol = User { domain_id: id(2), ..user(13, "carol", &id(NODE)) };
    let rows = [row(other), row(carol), row(directory::password(25, 13, ALICE.1))];
    change(&node, more.chain(rows).collect()).await;
    let mut carol = Session::open(imap, ("carol@example.net", ALICE.1)).await;
    for status in REFUSED {
        change(&node, vec![example(AccountStatus::Active, ALL)]).await;
        let mut sessions = Vec::new();
        for number in 0..4 {
            let name = format!("user-{number}@example.org");
            sessions.push(Session::open(imap, (&name, ALICE.1)).await);
        }
        change(&node, vec![example(status, ALL)]).await;
        assert_eq!(end(&node).await, 1, "all at once: {status:?}");
        for session in sessions {
            session.ends().await;
        }
    }
    assert!(carol.lives().await);
}

#[tokio::test]
async fn a_protocol_that_is_switched_off_at_any_level_ends_its_sessions() {
    let node = running().await;
    let imap = here(node.config.ports.imap);
    let plan =
        |functions| row(Plan { id: id(71), functions, quota_unlimited: true, ..Plan::default() });
    let on = |functions| User { functions, plan_id: id(71), ..user(11, "alice", &id(NODE)) };
    for off in [
        vec![alice(AccountStatus::Active, ALL & !IMAP)],
        vec![example(AccountStatus::Active, ALL & !IMAP)],
        vec![row(on(ALL)), plan(ALL & !IMAP)],
    ] {
        let active = AccountStatus::Active;
        change(&node, vec![alice(active, ALL), example(active, ALL), plan(ALL)]).await;
        let session = Session::open(imap, ALICE).await;
        let mut pop3 = Session::pop3(here(node.config.ports.pop3), BOB).await;
        change(&node, off).await;
        assert_eq!(end(&node).await, 1);
        session.ends().await;
        assert!(pop3.lives().await, "the other protocol is still allowed");
    }
}

#[tokio::test]
async fn sessions_go_by_the_name_they_began_with() {
    let node = running().await;
    let imap = here(node.config.ports.imap);
    let mut session = Session::open(imap, ALICE).await;
    // The domain has another name now, and keeps the old one as an alias.
    let renamed = domain(1, "example.com");
    let old = DomainAlias { id: id(81), name: "example.org".to_owned(), domain_id: id(1) };
    change(&node, vec![row(renamed), row(old)]).await;
    assert_eq!(end(&node).await, 0);
    assert!(session.lives().await);
    change(&node, vec![alice(AccountStatus::Locked, ALL)]).await;
    assert_eq!(end(&node).await, 1);
    session.ends().await;
    // Whom nobody knows by that name any more has to sign in again, by the new one.
    change(&node, vec![alice(AccountStatus::Active, ALL)]).await;
    let session = Session::open(imap, ALICE).await;
    change(&node, vec![row(user(11, "alice.berger", &id(NODE)))]).await;
    assert_eq!(end(&node).await, 1);
    session.ends().await;
    // Nor does anybody stay who is gone altogether.
    let session = Session::open(imap, BOB).await;
    directory::remove(&node.replica, RowKind::User, &id(12)).await;
    assert_eq!(end(&node).await, 1);
    session.ends().await;
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_ends_nothing() {
    let node = running().await;
    let mut session = Session::open(here(node.config.ports.imap), ALICE).await;
    node.replica.rebuild().await.unwrap();
    assert_eq!(end(&node).await, 0);
    assert!(session.lives().await);
}

#[tokio::test]
async fn each_node_ends_what_it_serves_and_what_it_passes_on() {
    let fleet = Fleet::new().await;
    let imap = at(&fleet.pop, fleet.pop.config.ports.imap);
    let alice = |status: AccountStatus| {
        row(User { status: status.into(), ..user(11, "alice", &fleet.first.desired.node_id) })
    };
    for node in [&fleet.pop, &fleet.first] {
        let mut session = Session::open(imap, fleet::ALICE).await;
        assert_eq!(end(node).await, 0);
        assert!(session.lives().await);
        change(node, vec![alice(AccountStatus::Locked)]).await;
        assert_eq!(end(node).await, 1);
        session.ends().await;
        change(node, vec![alice(AccountStatus::Active)]).await;
    }
}

#[tokio::test]
async fn the_agent_does_it_by_itself() {
    let node = running().await;
    let imap = here(node.config.ports.imap);
    let (changed, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let (layout, replica) = (node.layout.clone(), node.replica.clone());
    let (wake, stopped) = (Arc::clone(&changed), stop.clone());
    let watching = async move { watch(&layout, &replica, &wake, stopped).await };
    let task = TaskTracker::new().spawn(watching);
    for status in [AccountStatus::Locked, AccountStatus::Closed] {
        let session = Session::open(imap, ALICE).await;
        change(&node, vec![alice(status, ALL)]).await;
        changed.notify_one();
        session.ends().await;
        change(&node, vec![alice(AccountStatus::Active, ALL)]).await;
        changed.notify_one();
    }
    stop.cancel();
    task.await.unwrap();
}
