//! What becomes of an address: aliases, catch-all, forwarding, statuses, refusals, relaying.

use umail_agent::exec;
use umail_proto::{
    agent::{Alias, Domain, DomainAlias, Plan, RowKind, User},
    functions::Function,
};

use crate::{
    client,
    directory::{self, ALL, alias, domain, id, remove, row, user},
    node::{NAME, NODE, Node},
    replica::ask,
    single::{ALICE, BOB, arrived, running},
};

const OUTSIDE: &str = "x@elsewhere.example";
const ALICES_QUOTA: &str =
    "SELECT quota_unlimited, quota_bytes FROM account WHERE local_part = 'alice'";

#[tokio::test]
async fn no_message_is_relayed_for_strangers() {
    let node = running().await;
    let port = node.config.ports.smtp;
    for to in [
        "y@elsewhere.example",
        "y%elsewhere.example@example.org",
        "\"y@elsewhere.example\"@example.org",
        "y@elsewhere.example@example.org",
        "@example.org:y@elsewhere.example",
        "elsewhere.example!y@example.org",
        "elsewhere.example!y",
        "y@[127.0.0.1]",
        "y@127.0.0.1",
        "\"y@elsewhere.example\"",
        "y%elsewhere.example",
        "y@localhost",
        "nobody@node-1.umail.test",
    ] {
        for from in [OUTSIDE, ALICE.0, "<>", "root@localhost", "alice@[127.0.0.1]"] {
            let answer = client::send(port, from, to, "relay me");
            assert_ne!(answer.code, 0, "{from} to {to}: {}", answer.text);
        }
    }
    let folder = node.layout.etc("postfix").into_os_string();
    let arguments = ["-c".into(), folder, "-j".into()];
    let limit = std::time::Duration::from_secs(10);
    let queue = exec::run(exec::Program::Postqueue, &arguments, limit).await.unwrap();
    assert_eq!(queue.stdout, "");
}

#[tokio::test]
async fn unknown_recipients_and_those_that_move_are_refused() {
    let node = running().await;
    let port = node.config.ports.smtp;
    client::send(port, OUTSIDE, "nobody@example.org", "?").refused("550 5.1.1");
    node.replica.freeze(&id(11), &id(99)).await.unwrap();
    client::send(port, OUTSIDE, ALICE.0, "?").refused("450 4.2.0");
    client::imap(node.config.ports.imap, ALICE, "").refused("being moved");
    node.replica.unfreeze(&id(11), &id(99)).await.unwrap();
    client::send(port, OUTSIDE, ALICE.0, "back").ok();
    arrived(&node, ALICE, 1).await;
    remove(&node.replica, RowKind::User, &id(11)).await;
    client::send(port, OUTSIDE, ALICE.0, "?").refused("550 5.1.1");
}

#[tokio::test]
async fn aliases_names_and_tags_lead_to_their_users() {
    let node = running().await;
    let port = node.config.ports.smtp;
    let sales = alias(31, "sales", &["alice@example.org", "bob@example.org"]);
    let second = DomainAlias { id: id(41), name: "example.net".into(), domain_id: id(1) };
    let own = Alias { user_id: id(11), ..alias(32, "a.smith", &["alice@example.org"]) };
    let rows = vec![row(sales), row(second), row(own)];
    directory::change(&node.replica, rows).await;
    client::send(port, OUTSIDE, "sales@example.org", "1").ok();
    client::send(port, OUTSIDE, "Alice+tag@Example.ORG", "2").ok();
    client::send(port, OUTSIDE, "sales@example.net", "3").ok();
    client::send(port, OUTSIDE, "alice+tag@example.net", "4").ok();
    client::send(port, OUTSIDE, "nobody@example.net", "?").refused("550 5.1.1");
    arrived(&node, ALICE, 4).await;
    arrived(&node, BOB, 2).await;
    client::imap(node.config.ports.imap, ("alice@example.net", ALICE.1), "").ok();
    let submission = node.config.ports.submission;
    for own in ["a.smith@example.org", "alice@example.net", "a.smith@example.net"] {
        client::submit(submission, ALICE, own, ALICE.0).ok();
        client::submit(submission, BOB, own, ALICE.0).refused("553 5.7.1");
    }
    client::submit(submission, ALICE, "sales@example.org", ALICE.0).refused("553 5.7.1");
}

/// The server does not let them in where it sees them: it does not look into other domains.
#[tokio::test]
async fn aliases_in_a_circle_take_no_mail_and_others_do() {
    let node = running().await;
    let port = node.config.ports.smtp;
    let rows = vec![
        row(alias(31, "one", &["two@example.org"])),
        row(alias(32, "two", &["one@example.org"])),
        row(alias(33, "bobs", &[BOB.0])),
        row(Alias { keep_copy: true, ..alias(34, "bob", &["bobs@example.org"]) }),
        row(alias(35, "list", &[ALICE.0, "bobs@example.org"])),
    ];
    directory::change(&node.replica, rows).await;
    client::send(port, OUTSIDE, "one@example.org", "round and round").refused("451 4.6.0");
    // A mailbox that keeps a copy is an end.
    client::send(port, OUTSIDE, BOB.0, "once").ok();
    client::send(port, OUTSIDE, "list@example.org", "twice").ok();
    arrived(&node, BOB, 2).await;
    arrived(&node, ALICE, 1).await;
}

#[tokio::test]
async fn a_catch_all_takes_what_nobody_else_does() {
    let node = running().await;
    let port = node.config.ports.smtp;
    let rows = vec![row(Domain { catch_all: BOB.0.into(), ..domain(1, "example.org") })];
    directory::change(&node.replica, rows).await;
    client::send(port, OUTSIDE, "anything@example.org", "1").ok();
    client::send(port, OUTSIDE, "alice@example.org", "2").ok();
    client::send(port, OUTSIDE, "alice+tag@example.org", "3").ok();
    // What looks like a route is not taken for a name.
    for route in ["y%elsewhere.example", "elsewhere.example!y", "\"y@elsewhere.example\""] {
        client::send(port, OUTSIDE, &format!("{route}@example.org"), "?").refused("554 5.7.1");
    }
    arrived(&node, ALICE, 2).await;
    arrived(&node, BOB, 1).await;
}

#[tokio::test]
async fn forwarding_goes_elsewhere_with_and_without_a_copy() {
    let node = running().await;
    let port = node.config.ports.smtp;
    let forwarding = Alias { keep_copy: true, ..alias(31, "alice", &[BOB.0]) };
    directory::change(&node.replica, vec![row(forwarding.clone())]).await;
    client::send(port, OUTSIDE, ALICE.0, "with a copy").ok();
    arrived(&node, ALICE, 1).await;
    arrived(&node, BOB, 1).await;
    let without = Alias { keep_copy: false, ..forwarding };
    directory::change(&node.replica, vec![row(without)]).await;
    client::send(port, OUTSIDE, ALICE.0, "without").ok();
    arrived(&node, BOB, 2).await;
    arrived(&node, ALICE, 1).await;
    // Without the function the forwarding rests, and the mail stays.
    let functions = ALL & !(Function::Forwarding as u64);
    let alice = User { functions, ..user(11, "alice", &id(NODE)) };
    directory::change(&node.replica, vec![row(alice)]).await;
    client::send(port, OUTSIDE, ALICE.0, "resting").ok();
    arrived(&node, ALICE, 2).await;
    arrived(&node, BOB, 2).await;
}

#[tokio::test]
async fn postmaster_and_abuse_arrive_somewhere() {
    let node = running().await;
    let port = node.config.ports.smtp;
    for to in ["postmaster@example.org", "abuse@example.org", "postmaster"] {
        client::send(port, OUTSIDE, to, to).ok();
    }
    client::send(port, OUTSIDE, &format!("abuse@{NAME}"), "of the node").ok();
    arrived(&node, ALICE, 4).await;
    node.replica.set_setting("postmaster_address", BOB.0).await.unwrap();
    client::send(port, OUTSIDE, "postmaster@example.org", "by the setting").ok();
    arrived(&node, BOB, 1).await;
    directory::change(&node.replica, vec![row(alias(31, "abuse", &[ALICE.0]))]).await;
    client::send(port, OUTSIDE, "abuse@example.org", "by the domain").ok();
    arrived(&node, ALICE, 5).await;
    arrived(&node, BOB, 1).await;
}

#[tokio::test]
async fn a_full_mailbox_refuses_and_the_sender_is_told() {
    let node = running().await;
    let quota = User { quota_bytes: 3000, quota_unlimited: false, ..user(11, "alice", &id(NODE)) };
    directory::change(&node.replica, vec![row(quota)]).await;
    let port = node.config.ports.smtp;
    let body = "x".repeat(900);
    for _ in 0..4 {
        client::swaks(port, BOB.0, ALICE.0, &["--body", &body]).ok();
    }
    // The bounce: at least one did not fit.
    arrived_at_least(&node, BOB, 1).await;
    assert!(node.log("postfix").contains("552 5.2.2"), "{}", node.log("postfix"));
    let text = client::pop3(node.config.ports.pop3, BOB, "1").ok();
    assert!(text.contains("5.2.2"), "{text}");
}

#[tokio::test]
async fn a_plan_narrows_what_its_users_may() {
    let node = running().await;
    let ports = node.config.ports;
    let on_plan = User { plan_id: id(41), ..user(11, "alice", &id(NODE)) };
    let plan = |functions, quota_bytes| Plan {
        id: id(41),
        functions,
        quota_bytes,
        quota_unlimited: quota_bytes == 0,
        sending: None,
    };
    directory::change(&node.replica, vec![row(on_plan.clone()), row(plan(ALL, 0))]).await;
    client::pop3(ports.pop3, ALICE, "").ok();
    let quota = || ask(&node.layout.directory_db(), ALICES_QUOTA);
    assert_eq!(quota(), "1|0");

    let narrow = plan(ALL & !(Function::Pop3 as u64), 3000);
    directory::change(&node.replica, vec![row(narrow)]).await;
    client::pop3(ports.pop3, ALICE, "").refused("This service is not enabled");
    client::imap(ports.imap, ALICE, "").ok();
    assert_eq!(quota(), "0|3000");
    for (own, holds) in [(2000, "0|2000"), (4000, "0|3000")] {
        let alice = User { quota_bytes: own, quota_unlimited: false, ..on_plan.clone() };
        directory::change(&node.replica, vec![row(alice)]).await;
        assert_eq!(quota(), holds);
    }
    remove(&node.replica, RowKind::Plan, &id(41)).await;
    client::pop3(ports.pop3, ALICE, "").ok();
    assert_eq!(quota(), "0|4000");
}

async fn arrived_at_least(node: &Node, login: (&str, &str), count: usize) {
    crate::node::wait_until("the bounce is there", || async {
        client::pop3(node.config.ports.pop3, login, "")
            .text
            .lines()
            .any(|line| line.split(' ').next().and_then(|word| word.parse().ok()) == Some(count))
    })
    .await;
}

#[tokio::test]
async fn functions_and_throttling_keep_somebody_out() {
    let node = running().await;
    let ports = node.config.ports;
    let functions = ALL & !(Function::Pop3 as u64 | Function::Submission as u64);
    let alice = User { functions, ..user(11, "alice", &id(NODE)) };
    directory::change(&node.replica, vec![row(alice)]).await;
    client::imap(ports.imap, ALICE, "").ok();
    client::pop3(ports.pop3, ALICE, "").refused("not enabled");
    client::submit(ports.submission, ALICE, ALICE.0, BOB.0).refused("535 5.7.8");
    let later = i64::from(u32::MAX);
    for key in ["user:bob@example.org", "addr:127.0.0.1", "pair:bob@example.org|127.0.0.1"] {
        node.replica.throttle(key, later).await.unwrap();
        client::imap(ports.imap, BOB, "").refused("AUTHENTICATIONFAILED");
        client::submit(ports.submission, BOB, BOB.0, ALICE.0).refused("535 5.7.8");
        node.replica.throttle(key, 1).await.unwrap();
        client::imap(ports.imap, BOB, "").ok();
    }
    node.replica.throttle("pair:bob@example.org|127.0.0.77", later).await.unwrap();
    client::imap(ports.imap, BOB, "").ok();
}

#[tokio::test]
async fn only_the_fleet_hands_in_mail_by_lmtp() {
    let node = running().await;
    let lmtp = node.config.ports.lmtp;
    let stranger = ["--protocol", "LMTP", "--local-interface", "127.0.0.66"];
    client::swaks(lmtp, OUTSIDE, ALICE.0, &stranger).refused("451 4.3.0");
    client::swaks(lmtp, OUTSIDE, ALICE.0, &["--protocol", "LMTP"]).ok();
    client::swaks(lmtp, OUTSIDE, "nobody@example.org", &["--protocol", "LMTP"])
        .refused("451 4.3.0");
    arrived(&node, ALICE, 1).await;
}

#[tokio::test]
async fn without_a_directory_everything_fails_for_now() {
    let node = Node::new().await;
    node.start().await;
    let ports = node.config.ports;
    client::send(ports.smtp, OUTSIDE, ALICE.0, "too early").refused("421 4.3.2");
    client::imap(ports.imap, ALICE, "").refused("[UNAVAILABLE]");
    client::pop3(ports.pop3, ALICE, "").refused("[SYS/TEMP]");
    client::swaks(ports.lmtp, OUTSIDE, ALICE.0, &["--protocol", "LMTP"]).refused("451 4.3.0");
    let here = id(NODE);
    let rows = vec![row(domain(1, "example.org")), row(user(11, "alice", &here))];
    let place = directory::storage(&here, NAME, "127.0.0.1");
    let rows = [rows, vec![row(place), row(directory::password(21, 11, ALICE.1))]].concat();
    directory::fill(&node.replica, rows).await;
    client::send(ports.smtp, OUTSIDE, ALICE.0, "now").ok();
    arrived(&node, ALICE, 1).await;
}

#[tokio::test]
async fn functions_keep_mail_inside() {
    let node = running().await;
    let ports = node.config.ports;
    let inside = |missing: Function| {
        row(User { functions: ALL & !(missing as u64), ..user(11, "alice", &id(NODE)) })
    };
    directory::change(&node.replica, vec![inside(Function::ExternalReceive)]).await;
    client::send(ports.smtp, OUTSIDE, ALICE.0, "?").refused("550 5.7.1");
    client::submit(ports.submission, BOB, BOB.0, ALICE.0).ok();
    arrived(&node, ALICE, 1).await;
    directory::change(&node.replica, vec![inside(Function::ExternalSend)]).await;
    client::submit(ports.submission, ALICE, ALICE.0, "y@elsewhere.example").refused("554 5.7.1");
    client::submit(ports.submission, ALICE, ALICE.0, BOB.0).ok();
    arrived(&node, BOB, 1).await;
    client::submit(ports.submission, BOB, BOB.0, "y@elsewhere.example").ok();
}

/// smtpd remembers how an address was resolved: that must not outlive the creation of a domain.
#[tokio::test]
async fn a_new_domain_is_ours_at_once() {
    let node = running().await;
    let port = node.config.ports.smtp;
    client::send(port, OUTSIDE, "carol@example.net", "?").refused("554 5.7.1");
    let domain = domain(2, "example.net");
    let carol = User { domain_id: id(2), ..user(13, "carol", &id(NODE)) };
    let password = directory::password(25, 13, "carol's");
    directory::change(&node.replica, vec![row(domain), row(carol), row(password)]).await;
    client::send(port, OUTSIDE, "carol@example.net", "now").ok();
    arrived(&node, ("carol@example.net", "carol's"), 1).await;
}
