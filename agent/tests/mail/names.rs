//! The names of a domain: what holds under one holds under all, and what a new one leaves behind.

use umail_agent::drivers::{Driver, postfix::queue};
use umail_proto::agent::{AccountStatus, Domain, DomainAlias, RowKind};

use crate::{
    client,
    directory::{self, alias, domain, id, remove, row},
    node::{Node, wait_until},
    single::{ALICE, BOB, arrived, running},
};

const OUTSIDE: &str = "x@elsewhere.example";
/// Alice under the other name, with her password.
const ALSO_ALICE: (&str, &str) = ("alice@example.net", ALICE.1);

/// Another name of domain 1.
fn also(number: u128, name: &str) -> DomainAlias {
    DomainAlias { id: id(number), name: name.into(), domain_id: id(1) }
}

async fn named() -> Node {
    let node = running().await;
    directory::change(&node.replica, vec![row(also(41, "example.net"))]).await;
    node
}

#[tokio::test]
async fn another_name_is_as_good_as_the_first() {
    let node = named().await;
    let ports = node.config.ports;
    let catch_all = Domain { catch_all: BOB.0.into(), ..domain(1, "example.org") };
    client::send(ports.smtp, OUTSIDE, ALSO_ALICE.0, "1").ok();
    client::send(ports.smtp, OUTSIDE, "postmaster@example.net", "2").ok();
    client::send(ports.smtp, OUTSIDE, "nobody@example.net", "?").refused("550 5.1.1");
    // What is signed in to is the one mailbox, and who sends is the one user.
    arrived(&node, ALSO_ALICE, 2).await;
    client::imap(ports.imap, ALSO_ALICE, "").ok();
    client::imap(ports.imap, (ALSO_ALICE.0, "wrong"), "").refused("AUTHENTICATIONFAILED");
    for own in [ALICE.0, ALSO_ALICE.0] {
        client::submit(ports.submission, ALSO_ALICE, own, "bob@example.net").ok();
    }
    client::submit(ports.submission, ALSO_ALICE, "bob@example.net", BOB.0).refused("553 5.7.1");
    arrived(&node, BOB, 2).await;
    directory::change(&node.replica, vec![row(catch_all)]).await;
    client::send(ports.smtp, OUTSIDE, "nobody@example.net", "for the catch-all").ok();
    arrived(&node, BOB, 3).await;
}

/// Whoever guesses a password does not get more attempts by the number of names.
#[tokio::test]
async fn attempts_count_for_the_user_under_whatever_name() {
    let node = named().await;
    let ports = node.config.ports;
    client::imap(ports.imap, (ALSO_ALICE.0, "wrong"), "").refused("AUTHENTICATIONFAILED");
    let counted = || async {
        let log = node.log("dovecot");
        log.lines().any(|line| line.contains("auth failed") && line.contains("user=<"))
    };
    wait_until("the attempt is in the log", counted).await;
    let log = node.log("dovecot");
    let line = log.lines().find(|line| line.contains("auth failed")).unwrap();
    assert!(line.contains("user=<alice@example.org>"), "{line}");
    client::submit(ports.submission, (ALSO_ALICE.0, "wrong"), ALICE.0, BOB.0).refused("535 5.7.8");
    let log = node.log("postfix");
    let line = log.lines().find(|line| line.contains("authentication failed")).unwrap();
    assert!(line.contains("sasl_username=alice@example.org"), "{line}");
    node.replica.throttle("user:alice@example.org", i64::from(u32::MAX)).await.unwrap();
    client::imap(ports.imap, ALSO_ALICE, "").refused("AUTHENTICATIONFAILED");
    client::submit(ports.submission, ALSO_ALICE, ALICE.0, BOB.0).refused("535 5.7.8");
}

#[tokio::test]
async fn the_status_of_the_domain_holds_under_every_name() {
    let node = named().await;
    let ports = node.config.ports;
    let sales = alias(31, "sales", &["y@elsewhere.example"]);
    directory::change(&node.replica, vec![row(sales)]).await;
    for (status, incoming, imap) in [
        (AccountStatus::Maintenance, "450 4.2.1", "NO [UNAVAILABLE]"),
        (AccountStatus::Suspended, "550 5.2.1", "The account is suspended"),
        (AccountStatus::Closed, "550 5.2.1", "The account is closed"),
        (AccountStatus::Deleted, "550 5.1.1", "NO [AUTHENTICATIONFAILED]"),
    ] {
        let example = Domain { status: status.into(), ..domain(1, "example.org") };
        directory::change(&node.replica, vec![row(example)]).await;
        for to in [ALSO_ALICE.0, "alice+tag@example.net", "sales@example.net"] {
            client::send(ports.smtp, OUTSIDE, to, "?").refused(incoming);
        }
        client::imap(ports.imap, ALSO_ALICE, "").refused(imap);
    }
}

#[tokio::test]
async fn a_name_that_is_gone_is_nobodys() {
    let node = named().await;
    let ports = node.config.ports;
    client::send(ports.smtp, OUTSIDE, ALSO_ALICE.0, "1").ok();
    remove(&node.replica, RowKind::DomainAlias, &id(41)).await;
    let answer = client::send(ports.smtp, OUTSIDE, ALSO_ALICE.0, "?");
    assert_ne!(answer.code, 0, "{}", answer.text);
    client::imap(ports.imap, ALSO_ALICE, "").refused("AUTHENTICATIONFAILED");
    client::submit(ports.submission, ALICE, ALSO_ALICE.0, BOB.0).refused("553 5.7.1");
    arrived(&node, ALICE, 1).await;
}

/// The rows of a domain that is renamed: its new name, and the old one beside.
#[tokio::test]
async fn a_renamed_domain_keeps_its_mail_and_what_waits_in_the_queue() {
    let node = running().await;
    let ports = node.config.ports;
    let renamed = ("alice@example.com", ALICE.1);
    client::send(ports.smtp, OUTSIDE, ALICE.0, "before").ok();
    arrived(&node, ALICE, 1).await;
    node.dovecot.stop().await.unwrap();
    for to in [ALICE.0, "alice+tag@example.org"] {
        client::send(ports.smtp, OUTSIDE, to, "on its way").ok();
    }
    let tried = || async { node.log("postfix").matches("status=deferred").count() >= 2 };
    wait_until("both deliveries were tried", tried).await;
    let rows = vec![row(domain(1, "example.com")), row(also(41, "example.org"))];
    directory::change(&node.replica, rows).await;
    node.dovecot.start().await.unwrap();
    queue::flush(&node.layout).await.unwrap();
    arrived(&node, renamed, 3).await;
    // By either name, and into the same folder.
    for to in [ALICE.0, renamed.0] {
        client::send(ports.smtp, OUTSIDE, to, "afterwards").ok();
    }
    arrived(&node, renamed, 5).await;
    client::imap(ports.imap, ALICE, "INBOX;UID=1").ok();
    let folders = std::fs::read_dir(node.layout.mail()).unwrap().count();
    assert_eq!(folders, 1, "the folder is the user's id");
    for login in [ALICE, renamed] {
        for own in [ALICE.0, renamed.0] {
            client::submit(ports.submission, login, own, "bob@example.com").ok();
        }
    }
    arrived(&node, ("bob@example.com", BOB.1), 4).await;
    client::send(ports.smtp, OUTSIDE, "nobody@example.com", "?").refused("550 5.1.1");
    assert!(!node.log("postfix").contains("status=bounced"), "{}", node.log("postfix"));
}
