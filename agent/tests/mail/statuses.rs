//! The table of statuses, each cell asked for by a real client: of a user, of a domain, and of
//! both, of which the more restrictive one holds.

use umail_agent::drivers::postfix::queue;
use umail_proto::{
    agent::{AccountStatus, Alias, Domain, User},
    clock::Clock,
};

use crate::{
    client,
    directory::{self, alias, domain, id, row, user},
    node::{NODE, Node, wait_until},
    single::{ALICE, BOB, arrived, running},
};

const OUTSIDE: &str = "x@elsewhere.example";
const DEFERRED: &str = "450 4.2.1";

/// What one status answers.
struct Line {
    status: AccountStatus,
    pop3: &'static str,
    imap: &'static str,
    submission: &'static str,
    /// Nothing: it is accepted.
    incoming: Option<&'static str>,
}

/// Every status but that of whom everything is allowed.
fn table() -> [Line; 5] {
    let line = |status, [pop3, imap, submission]: [&'static str; 3], incoming| Line {
        status,
        pop3,
        imap,
        submission,
        incoming,
    };
    let refused = |text| [text, text, "535 5.7.8"];
    [
        line(AccountStatus::Locked, refused("The account is locked"), None),
        line(
            AccountStatus::Maintenance,
            ["-ERR [SYS/TEMP]", "NO [UNAVAILABLE]", "450 4.2.1"],
            Some("450 4.2.1"),
        ),
        line(AccountStatus::Suspended, refused("The account is suspended"), Some("550 5.2.1")),
        line(AccountStatus::Closed, refused("The account is closed"), Some("550 5.2.1")),
        line(
            AccountStatus::Deleted,
            ["-ERR [AUTH]", "NO [AUTHENTICATIONFAILED]", "535 5.7.8"],
            Some("550 5.1.1"),
        ),
    ]
}

/// The status of alice's domain and her own; mail of a suspended domain is refused.
async fn set(node: &Node, of_domain: AccountStatus, own: AccountStatus) {
    let example = Domain { status: of_domain.into(), ..domain(1, "example.org") };
    let alice = User { status: own.into(), ..user(11, "alice", &id(NODE)) };
    directory::change(&node.replica, vec![row(example), row(alice)]).await;
}

/// A suspended domain whose mail is deferred for this many seconds more.
async fn suspend(node: &Node, seconds: i64) {
    let now = Clock::system().now().unix_timestamp();
    let example = Domain {
        status: AccountStatus::Suspended.into(),
        deferred_until_seconds: now + seconds,
        ..domain(1, "example.org")
    };
    directory::change(&node.replica, vec![row(example)]).await;
}

/// Asks for every cell of a line, at once: each refused login takes two seconds.
fn holds(node: &Node, line: &Line) {
    let ports = node.config.ports;
    std::thread::scope(|scope| {
        scope.spawn(|| client::pop3(ports.pop3, ALICE, "").refused(line.pop3));
        scope.spawn(|| client::imap(ports.imap, ALICE, "").refused(line.imap));
        scope.spawn(|| {
            let wrong = client::imap(ports.imap, (ALICE.0, "wrong"), "");
            wrong.refused("NO [AUTHENTICATIONFAILED]");
        });
        scope.spawn(|| {
            let answer = client::submit(ports.submission, ALICE, ALICE.0, BOB.0);
            answer.refused(line.submission);
        });
        scope.spawn(|| {
            let answer = client::send(ports.smtp, OUTSIDE, ALICE.0, "kept for her");
            match line.incoming {
                Some(refusal) => answer.refused(refusal),
                None => drop(answer.ok()),
            }
            let tagged = client::send(ports.smtp, OUTSIDE, "alice+tag@example.org", "the same");
            match line.incoming {
                Some(refusal) => tagged.refused(refusal),
                None => drop(tagged.ok()),
            }
        });
    });
}

/// Everything is allowed, and what was accepted in the meantime is there.
async fn all_is_well(node: &Node, messages: usize) {
    let ports = node.config.ports;
    client::imap(ports.imap, ALICE, "").ok();
    client::submit(ports.submission, ALICE, ALICE.0, ALICE.0).ok();
    client::send(ports.smtp, OUTSIDE, ALICE.0, "as ever").ok();
    arrived(node, ALICE, messages + 2).await;
}

#[tokio::test]
async fn each_status_of_a_user_holds() {
    let node = running().await;
    for line in table() {
        set(&node, AccountStatus::Active, line.status).await;
        holds(&node, &line);
    }
    set(&node, AccountStatus::Active, AccountStatus::Active).await;
    all_is_well(&node, 2).await;
}

#[tokio::test]
async fn each_status_of_a_domain_holds_for_its_users() {
    let node = running().await;
    for line in table() {
        set(&node, line.status, AccountStatus::Active).await;
        holds(&node, &line);
    }
    set(&node, AccountStatus::Active, AccountStatus::Active).await;
    all_is_well(&node, 2).await;
}

#[tokio::test]
async fn the_more_restrictive_of_domain_and_user_holds() {
    let node = running().await;
    let table = table();
    for (place, strict) in table.iter().enumerate() {
        for mild in table.iter().take(place) {
            for (of_domain, own) in [(strict, mild), (mild, strict)] {
                set(&node, of_domain.status, own.status).await;
                let answer = client::send(node.config.ports.smtp, OUTSIDE, ALICE.0, "?");
                match strict.incoming {
                    Some(refusal) => answer.refused(refusal),
                    None => drop(answer.ok()),
                }
            }
        }
        let [_, maintenance, ..] = &table;
        if strict.status == AccountStatus::Maintenance {
            continue;
        }
        let (one, two) = if place == 0 { (maintenance, maintenance) } else { (strict, strict) };
        set(&node, maintenance.status, strict.status).await;
        holds(&node, one);
        set(&node, strict.status, maintenance.status).await;
        holds(&node, two);
    }
}

#[tokio::test]
async fn a_suspended_domain_defers_first_and_refuses_then() {
    let node = running().await;
    let ports = node.config.ports;
    let other = Domain { id: id(2), ..domain(2, "example.net") };
    let sales = Alias { domain_id: id(2), ..alias(31, "sales", &[ALICE.0]) };
    directory::change(&node.replica, vec![row(other), row(sales)]).await;
    suspend(&node, 3600).await;
    for to in [ALICE.0, "alice+tag@example.org", "nobody@example.org", "postmaster@example.org"] {
        client::send(ports.smtp, OUTSIDE, to, "?").refused(DEFERRED);
    }
    client::imap(ports.imap, ALICE, "").refused("The account is suspended");
    client::submit(ports.submission, ALICE, ALICE.0, BOB.0).refused("535 5.7.8");
    // By way of another domain it gets as far as the queue, and waits there.
    client::send(ports.smtp, OUTSIDE, "sales@example.net", "waits").ok();
    let tried = || async { node.log("postfix").contains("status=deferred") };
    wait_until("the delivery was tried", tried).await;
    // Who is gone for good does not come back with the domain.
    let closed = User { status: AccountStatus::Closed.into(), ..user(12, "bob", &id(NODE)) };
    directory::change(&node.replica, vec![row(closed)]).await;
    client::send(ports.smtp, OUTSIDE, BOB.0, "?").refused("550 5.2.1");
    set(&node, AccountStatus::Active, AccountStatus::Active).await;
    queue::flush(&node.layout).await.unwrap();
    arrived(&node, ALICE, 1).await;

    // No change of the directory leads from one to the other: the node goes by its clock.
    suspend(&node, 4).await;
    client::send(ports.smtp, OUTSIDE, ALICE.0, "?").refused(DEFERRED);
    let refused = || async {
        let answer = client::send(ports.smtp, OUTSIDE, ALICE.0, "?");
        answer.code != 0 && answer.text.contains("550 5.2.1")
    };
    wait_until("the time is over", refused).await;
    client::send(ports.smtp, OUTSIDE, "nobody@example.org", "?").refused("550 5.2.1");
    assert!(!node.log("postfix").contains("status=bounced"), "{}", node.log("postfix"));
}

#[tokio::test]
async fn mail_that_waits_for_the_end_of_a_maintenance_is_delivered() {
    let node = running().await;
    let port = node.config.ports.smtp;
    let other = Domain { id: id(2), ..domain(2, "example.net") };
    let sales = Alias { domain_id: id(2), ..alias(31, "sales", &[ALICE.0]) };
    directory::change(&node.replica, vec![row(other), row(sales)]).await;
    for (of_domain, own) in [
        (AccountStatus::Active, AccountStatus::Maintenance),
        (AccountStatus::Maintenance, AccountStatus::Locked),
    ] {
        set(&node, of_domain, own).await;
        client::send(port, OUTSIDE, ALICE.0, "?").refused("450 4.2.1");
        client::send(port, OUTSIDE, "sales@example.net", "waits").ok();
    }
    let deferred = || async { node.log("postfix").matches("status=deferred").count() >= 2 };
    wait_until("both deliveries were tried", deferred).await;
    set(&node, AccountStatus::Active, AccountStatus::Active).await;
    queue::flush(&node.layout).await.unwrap();
    arrived(&node, ALICE, 2).await;
}

#[tokio::test]
async fn nothing_passes_by_the_status_of_a_domain_or_of_who_forwards() {
    let node = running().await;
    let port = node.config.ports.smtp;
    let sales = alias(31, "sales", &["y@elsewhere.example"]);
    directory::change(&node.replica, vec![row(sales)]).await;
    for (status, answer) in [
        (AccountStatus::Maintenance, "450 4.2.1"),
        (AccountStatus::Suspended, "550 5.2.1"),
        (AccountStatus::Closed, "550 5.2.1"),
        (AccountStatus::Deleted, "550 5.1.1"),
    ] {
        let catch_all = BOB.0.into();
        let example = Domain { status: status.into(), catch_all, ..domain(1, "example.org") };
        directory::change(&node.replica, vec![row(example)]).await;
        for to in ["sales@example.org", "sales+x@example.org", "anything@example.org"] {
            client::send(port, OUTSIDE, to, "?").refused(answer);
        }
    }
    // Alice has left, and what she forwarded stays with her: an alias does not lead past that.
    let forwarding = Alias { keep_copy: true, ..alias(32, "alice", &[BOB.0]) };
    let team = alias(33, "team", &[ALICE.0]);
    directory::change(&node.replica, vec![row(forwarding), row(team)]).await;
    set(&node, AccountStatus::Active, AccountStatus::Closed).await;
    client::send(port, OUTSIDE, "team@example.org", "to who has left").ok();
    let bounced = || async { node.log("postfix").contains("status=bounced") };
    wait_until("it is bounced", bounced).await;
    arrived(&node, BOB, 0).await;
}
