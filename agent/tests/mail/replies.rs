//! What is answered for users who are away: Dovecot's Sieve makes it, Postfix takes it.

use std::{
    process::{Command, Stdio},
    sync::Arc,
};

use umail_agent::{
    drivers::{Driver as _, dovecot::Dovecot},
    supervisors::direct::Direct,
};
use umail_proto::{
    agent::{AccountStatus, Autoreply, DomainAlias, RowKind, SendingLimits, ServiceHealth, User},
    clock::Clock,
    functions::Function,
};

use crate::{
    client,
    directory::{self, ALL, alias, autoreply, domain, id, remove, row, user},
    fleet::{Fleet, at},
    node::{NAME, NODE, Node, wait_until},
    sending::Policy,
    single::{ALICE, BOB, arrived, rows, running},
};

const OUTSIDE: &str = "x@elsewhere.example";

/// Alice is away.
async fn away(node: &Node, reply: Autoreply) {
    directory::change(&node.replica, vec![row(reply)]).await;
}

/// Bob writes to alice, under the name that the message says.
fn bob_writes(node: &Node, to: &str) {
    client::submit(node.config.ports.submission, BOB, BOB.0, to).ok();
}

/// The message of bob's that has this number.
fn bobs(node: &Node, number: usize) -> String {
    client::pop3(node.config.ports.pop3, BOB, &number.to_string()).ok()
}

/// Waits until Postfix has handed over so many messages for alice: what is answered was answered.
async fn delivered(node: &Node, count: usize) {
    wait_until(&format!("{count} messages are delivered"), || async {
        let log = node.log("postfix");
        let is_hers = |line: &&str| line.contains("to=<alice") && line.contains("status=sent");
        log.lines().filter(is_hers).count() == count
    })
    .await;
}

/// What Dovecot's log says of replies.
fn made(node: &Node) -> usize {
    node.log("dovecot").matches("sent vacation response to").count()
}

#[tokio::test]
async fn a_sender_is_answered_once_with_the_text_as_it_is() {
    let node = running().await;
    let text = "Ich bin weg, zu 100 %.\n\n${1} %{env:PATH} %u\n.\nBis 3. März\t— \"Alice\"\\\n";
    away(&node, Autoreply { subject: "Abwesend % ${1}".into(), ..autoreply(11, text) }).await;
    bob_writes(&node, ALICE.0);
    arrived(&node, BOB, 1).await;
    let reply = bobs(&node, 1).replace("\r\n", "\n");
    assert!(reply.contains(text), "{reply}");
    for header in [
        "Return-Path: <>",
        "From: <alice@example.org>",
        "To: <bob@example.org>",
        "Subject: Abwesend % ${1}",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(reply.contains(header), "{header} is not in: {reply}");
    }
    // Once in a while, until there is something else to say.
    bob_writes(&node, ALICE.0);
    delivered(&node, 2).await;
    away(&node, autoreply(11, "Still away.")).await;
    bob_writes(&node, ALICE.0);
    arrived(&node, BOB, 2).await;
    assert!(bobs(&node, 2).contains("Subject: Auto: submitted"));
    assert_eq!(made(&node), 2);
    remove(&node.replica, RowKind::Autoreply, &id(11)).await;
    bob_writes(&node, ALICE.0);
    delivered(&node, 4).await;
    assert_eq!(made(&node), 2);
}

#[tokio::test]
async fn mail_for_other_addresses_of_the_user_is_answered_and_for_others_not() {
    let node = running().await;
    let names = vec![
        row(DomainAlias { id: id(41), name: "example.net".into(), domain_id: id(1) }),
        row(alias(31, "a.smith", &[ALICE.0])),
        row(alias(32, "all", &[ALICE.0])),
    ];
    directory::change(&node.replica, names).await;
    let others = vec!["a.smith".to_owned()];
    away(&node, Autoreply { other_local_parts: others, ..autoreply(11, "Away.") }).await;
    let port = node.config.ports.smtp;
    for (place, (to, answers)) in [
        ("all@example.org", 0),
        ("a.smith@example.org", 1),
        ("alice@example.net", 2),
        ("A.Smith@Example.NET", 3),
        ("alice+tag@example.org", 4),
    ]
    .into_iter()
    .enumerate()
    {
        client::send(port, &format!("x{place}@elsewhere.example"), to, "to whom").ok();
        delivered(&node, place + 1).await;
        assert_eq!(made(&node), answers, "{to}");
    }
    // Nobody else's machine is answered: lists, bulk mail, other replies, and what nobody sent.
    let to_alice = |from: &str, header: &str| {
        client::swaks(port, from, ALICE.0, &["--add-header", header]).ok();
    };
    to_alice("l1@elsewhere.example", "List-Id: <list.elsewhere.example>");
    to_alice("l2@elsewhere.example", "Precedence: bulk");
    to_alice("l3@elsewhere.example", "Auto-Submitted: auto-generated");
    to_alice("<>", "X-Nothing: y");
    delivered(&node, 9).await;
    assert_eq!(made(&node), 4);
}

#[tokio::test]
async fn only_who_may_is_answered_for_and_only_in_time() {
    let node = running().await;
    let here = id(NODE);
    let alice = |functions, status: AccountStatus| {
        row(User { functions, status: status.into(), ..user(11, "alice", &here) })
    };
    let now = Clock::system().now().unix_timestamp();
    let at = |starts, ends| {
        row(Autoreply {
            starts_at_seconds: starts,
            ends_at_seconds: ends,
            ..autoreply(11, "Away.")
        })
    };
    let without = ALL & !(Function::Autoreply as u64);
    let away = at(0, 0);
    let active = AccountStatus::Active;
    for (place, (rows, answers)) in [
        (vec![alice(without, active), away.clone()], 0),
        (vec![alice(ALL, AccountStatus::Locked), away], 0),
        (vec![alice(ALL, active), at(now + 3_600, 0)], 0),
        (vec![alice(ALL, active), at(0, now - 1)], 0),
        (vec![alice(ALL, active), at(now - 1, now + 3_600)], 1),
    ]
    .into_iter()
    .enumerate()
    {
        directory::change(&node.replica, rows).await;
        client::send(node.config.ports.smtp, OUTSIDE, ALICE.0, "are you there?").ok();
        delivered(&node, place + 1).await;
        assert_eq!(made(&node), answers, "{place}");
    }
    // It is on its way out, from nobody.
    wait_until("Postfix has it", || async {
        node.log("postfix").contains("to=<x@elsewhere.example>, relay=")
    })
    .await;
}

#[tokio::test]
async fn who_may_not_send_outside_answers_inside_only() {
    let node = running().await;
    let alice =
        User { functions: ALL & !(Function::ExternalSend as u64), ..user(11, "alice", &id(NODE)) };
    let name = DomainAlias { id: id(41), name: "example.net".into(), domain_id: id(1) };
    directory::change(&node.replica, vec![row(alice), row(name)]).await;
    away(&node, autoreply(11, "Away.")).await;
    for (place, from) in
        [OUTSIDE, "x@example.org.elsewhere.example", "x@ple.org"].into_iter().enumerate()
    {
        client::send(node.config.ports.smtp, from, ALICE.0, "from outside").ok();
        delivered(&node, place + 1).await;
    }
    assert_eq!(made(&node), 0);
    bob_writes(&node, ALICE.0);
    arrived(&node, BOB, 1).await;
    // Under another name of the domain.
    client::submit(node.config.ports.submission, BOB, "bob@example.net", ALICE.0).ok();
    arrived(&node, BOB, 2).await;
    assert_eq!(made(&node), 2);
}

/// Dovecot takes 8,192 bytes of what it asks about a user; more, and the user gets no mail.
#[tokio::test]
async fn the_longest_reply_is_sent_and_a_longer_one_keeps_no_mail_back() {
    let node = running().await;
    let names = (0..40).map(|number| {
        let name = format!("{}.example", "n".repeat(20) + &number.to_string());
        row(DomainAlias { id: id(400 + number), name, domain_id: id(1) })
    });
    directory::change(&node.replica, names.collect()).await;
    let longest = Autoreply {
        subject: "%".repeat(250),
        other_local_parts: (0..50).map(|number| format!("{}{number}", "%".repeat(60))).collect(),
        ..autoreply(11, &format!("{}.", "\n".repeat(2_499)))
    };
    let functions = ALL & !(Function::ExternalSend as u64);
    directory::change(
        &node.replica,
        vec![row(User { functions, ..user(11, "alice", &id(NODE)) }), row(longest.clone())],
    )
    .await;
    bob_writes(&node, ALICE.0);
    arrived(&node, BOB, 1).await;
    for longer in [
        Autoreply { text: "x".repeat(2_501), ..longest.clone() },
        Autoreply { subject: "x".repeat(251), ..longest.clone() },
        Autoreply { subject: "a\r\nBcc: x@elsewhere.example".into(), ..longest.clone() },
        Autoreply { text: "a\0b".into(), ..longest.clone() },
        Autoreply { text: String::new(), ..longest },
    ] {
        away(&node, longer).await;
        bob_writes(&node, ALICE.0);
    }
    delivered(&node, 6).await;
    assert_eq!(made(&node), 1, "what cannot be said is left out, and so is what was there before");
}

#[tokio::test]
async fn replies_of_a_storage_node_leave_by_a_smtp_node_and_nothing_else_does() {
    let fleet = Fleet::new().await;
    directory::change(&fleet.first.replica, vec![row(autoreply(11, "Away."))]).await;
    let (smtp, reply) = (fleet.smtp.config.ports.smtp, fleet.smtp.config.ports.reply);
    client::swaks_at(at(&fleet.smtp, smtp), OUTSIDE, ALICE.0, &[]).ok();
    wait_until("the reply is on its way", || async {
        fleet.smtp.log("postfix").contains("to=<x@elsewhere.example>, relay=")
    })
    .await;
    let log = fleet.smtp.log("postfix");
    let own = format!("client=unknown[{}], sasl_method=XCLIENT", fleet.first.config.address);
    assert!(log.contains(&format!("{own}, sasl_username={}", ALICE.0)), "{log}");
    // Storage nodes send nothing else by it, and nobody else sends anything.
    let storage = fleet.first.config.address.to_string();
    let send = |from: &str, to: &str, more: &[&str]| {
        client::swaks_at(at(&fleet.smtp, reply), from, to, more)
    };
    let from_storage = ["--local-interface", &storage, "-tls"];
    let by_storage = [from_storage.as_slice(), &["--xclient-login", ALICE.0]].concat();
    send("<>", OUTSIDE, &by_storage).ok();
    send(ALICE.0, OUTSIDE, &by_storage).refused("554 5.7.1");
    send("<>", OUTSIDE, &from_storage).refused("554 5.7.1");
    send("<>", OUTSIDE, &["--local-interface", &storage]).refused("530 5.7.0");
    let both = send("<>", "a@elsewhere.example,b@elsewhere.example", &by_storage);
    assert!(both.text.contains("452 4.5.3"), "{}", both.text);
    send("<>", "nobody@example.org", &by_storage).refused("550 5.1.1");
    for stranger in [fleet.pop.config.address.to_string(), "127.0.0.1".to_owned()] {
        let login = ["--local-interface", &*stranger, "-tls", "--xclient-login", ALICE.0];
        send("<>", OUTSIDE, &login).refused("554 5.7.1");
    }
}

#[tokio::test]
async fn what_a_user_may_send_holds_for_replies() {
    let node = running().await;
    let policy = Policy::start(&node).await;
    let limits = SendingLimits { messages_per_day: Some(2), ..SendingLimits::default() };
    let here = id(NODE);
    let alice = User { sending: Some(limits), ..user(11, "alice", &here) };
    // Carol, in another domain, takes no mail from outside.
    let functions = ALL & !(Function::ExternalReceive as u64);
    let carol = User { domain_id: id(2), functions, ..user(13, "carol", &here) };
    let rows = [row(alice), row(domain(2, "example.net")), row(carol), row(autoreply(11, "Away."))];
    directory::change(&node.replica, rows.into()).await;
    let port = node.config.ports.smtp;
    let send = async |from: &str, count: usize| {
        client::send(port, from, ALICE.0, "are you there?").ok();
        delivered(&node, count).await;
    };
    send("carol@example.net", 1).await;
    assert!(node.log("dovecot").contains("takes mail from inside only"));
    send("x1@elsewhere.example", 2).await;
    send("x2@elsewhere.example", 3).await;
    assert_eq!(made(&node), 2);
    send("x3@elsewhere.example", 4).await;
    assert_eq!(made(&node), 2);
    assert!(node.log("dovecot").contains("Your limit of 2 messages per day"));
    policy.stop().await;
}

/// A delivery that fails is tried again, and nobody is told each time.
#[tokio::test]
async fn who_writes_to_a_full_mailbox_is_not_told_that_the_user_is_away() {
    let node = running().await;
    let alice = User { quota_unlimited: false, quota_bytes: 100, ..user(11, "alice", &id(NODE)) };
    directory::change(&node.replica, vec![row(alice), row(autoreply(11, "Away."))]).await;
    client::send(node.config.ports.smtp, OUTSIDE, ALICE.0, "too much").ok();
    wait_until("it is refused", || async { node.log("postfix").contains("status=bounced") }).await;
    assert_eq!(made(&node), 0);
}

/// The program that Dovecot starts, against smtp nodes of which one is away.
#[tokio::test]
async fn a_reply_goes_to_a_node_that_is_there() {
    let node = running().await;
    let reply = node.config.ports.reply;
    let roots = node.layout.etc("dovecot").join("roots.pem");
    let run = |servers: &str, to: &str| {
        let message = tempfile::NamedTempFile::new().unwrap();
        let long = "Ünd so weiter, ".repeat(200);
        let text = format!("From: <alice@example.org>\nSubject: x\n\n.\n..\n{long}\n");
        std::fs::write(message.path(), text).unwrap();
        Command::new(env!("CARGO_BIN_EXE_umail-agent"))
            .args(["send-reply", servers, "--name", NAME, "--address", "127.0.0.1", "--roots"])
            .arg(&roots)
            .args(["-i", "-f", "alice+tag@example.org", "--", to])
            .stdin(Stdio::from(std::fs::File::open(message.path()).unwrap()))
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .code()
    };
    let there = format!("127.0.0.1:{reply}");
    // Whichever it tries first.
    for place in 1..=4 {
        assert_eq!(run(&format!("127.0.0.1:1,{there}"), BOB.0), Some(0));
        arrived(&node, BOB, place).await;
    }
    let text = bobs(&node, 1).replace("\r\n", "\n");
    assert!(text.contains("\n\n.\n..\n"), "{text}");
    let words = text.split_whitespace().filter(|word| *word == "weiter,").count();
    assert!(words == 200 && text.lines().all(|line| line.len() <= 998), "{text}");
    assert_eq!(run("127.0.0.1:1,127.0.0.1:2", BOB.0), Some(75), "another time");
    assert_eq!(run(&there, "nobody@example.org"), Some(1), "never");
    assert_eq!(run(&there.replace("127.0.0.1", "127.0.0.2"), BOB.0), Some(75), "another's name");
}

#[tokio::test]
async fn a_node_that_cannot_reply_says_so_and_delivers() {
    let mut node = Node::new().await;
    let supervisor = Arc::new(Direct::new(node.layout.clone()));
    node.dovecot = Dovecot::new(node.layout.clone(), &node.config, supervisor)
        .with_program("/a blank/umail-agent".into());
    directory::fill(&node.replica, rows()).await;
    node.start().await;
    away(&node, autoreply(11, "Away.")).await;
    bob_writes(&node, ALICE.0);
    delivered(&node, 1).await;
    assert_eq!(made(&node), 0);
    let seen = node.dovecot.observe().await;
    assert_eq!(seen.health, ServiceHealth::Running);
    assert!(seen.detail.starts_with("nobody is answered automatically: "), "{}", seen.detail);
}
