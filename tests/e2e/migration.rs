//! What another panel had, taken over by `umail-api migrate-from`: users sign in with their old
//! passwords, and what is written to their old addresses is in their mailboxes, on a real node.

use std::{collections::BTreeSet, fs, net::SocketAddr, process::Stdio, time::Duration};

use serde_json::json;
use umail_tests::harness::{
    Result,
    fleet::SINGLE_NODE,
    mail::{Imap, Pop3, Smtp, message, smtp::Reply},
    until,
};

use crate::stage::Stage;

const POSTFIXADMIN: &str = include_str!("../api/migration/postfixadmin.mysql.sql");
const MAILCOW: &str = include_str!("../api/migration/mailcow.sql");
/// What the users of the dumps signed in with before.
const OLD: &str = umail_tests::api::PASSWORD;

/// A node, and a plan for those who come.
async fn start() -> Stage {
    let stage = Stage::start(SINGLE_NODE).await;
    let plan = json!({"name": "migrated", "quota_bytes": "unlimited"});
    stage.rest.post("/v1/plans", &plan).await.unwrap();
    stage
}

/// Takes over a dump as people do, and waits until the node has it. Of both dumps something is
/// refused, which is said by the exit status.
async fn take_over(stage: &Stage, panel: &str, dump: &str) {
    let file = stage.fleet.server.folder().join("dump.sql");
    fs::write(&file, dump).unwrap();
    let words = ["migrate-from", panel, file.to_str().unwrap(), "--plan", "migrated"];
    let words = [&words[..], &["--reset-weak", "--apply", "--operator", "root"]].concat();
    let mut command = stage.fleet.server.command(&words).unwrap();
    command.stdin(Stdio::null());
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told = [&done.stdout[..], &done.stderr[..]].concat();
    assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&told));
    stage.rest.converged().await.unwrap();
}

fn address(stage: &Stage, port: u16) -> SocketAddr {
    SocketAddr::new(stage.fleet.nodes[0].address(), port)
}

/// What is in the mailbox of a user, by IMAP with the old password, under any name of the user.
async fn inbox(stage: &Stage, user: &str) -> BTreeSet<String> {
    let mut imap = Imap::open(address(stage, 993), &stage.trust, user, OLD).await.unwrap();
    imap.select("INBOX").await.unwrap();
    let entries = imap.entries().await.unwrap();
    imap.logout().await.unwrap();
    let found: BTreeSet<_> = entries.iter().map(|one| one.message_id.clone()).collect();
    assert_eq!(found.len(), entries.len(), "doubled: {entries:?}");
    found
}

/// Writes to each address from elsewhere, and waits until each message is in the mailboxes named
/// with it, and in no other one of these.
async fn delivered(stage: &Stage, mailboxes: &[&str], to: &[(&str, &[&str])]) {
    for (to, _) in to {
        let reply = stage.send(to, to).await.unwrap();
        assert_eq!(reply.code, 250, "{to}: {reply:?}");
    }
    for mailbox in mailboxes {
        let expected: BTreeSet<_> = to
            .iter()
            .filter(|(_, there)| there.contains(mailbox))
            .map(|(to, _)| (*to).to_owned())
            .collect();
        until(Duration::from_mins(1), async || {
            let found = inbox(stage, mailbox).await;
            Ok(if found == expected { Ok(()) } else { Err(format!("{mailbox} has {found:?}")) })
        })
        .await
        .unwrap();
    }
}

/// Whether the old password is right; every other failure fails the test.
async fn signs_in_by_imap(stage: &Stage, user: &str) -> bool {
    is_let_in(Imap::open(address(stage, 993), &stage.trust, user, OLD).await, "IMAP: NO ")
}

async fn signs_in_by_pop3(stage: &Stage, user: &str) -> bool {
    is_let_in(Pop3::open(address(stage, 995), &stage.trust, user, OLD).await, "POP3: -ERR ")
}

fn is_let_in<T>(outcome: Result<T>, refusal: &str) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) if error.to_string().contains(refusal) => false,
        Err(error) => unreachable!("{error}"),
    }
}

async fn submission(stage: &Stage, user: &str) -> (Smtp, Reply) {
    let smtp = Smtp::connect(stage.smtp(587)).await.unwrap();
    let mut smtp = smtp.start_tls(&stage.trust).await.unwrap();
    let reply = smtp.login(user, OLD).await.unwrap();
    (smtp, reply)
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_postfixadmin_go_on_with_their_passwords_and_addresses() {
    let stage = start().await;
    take_over(&stage, "postfixadmin", POSTFIXADMIN).await;
    let [alice, bob, erin] = ["alice@example.com", "bob@example.com", "erin@xn--bro-hoa.example"];
    // Bcrypt, SHA512-CRYPT and PBKDF2; carol had a weak hash, and dave was disabled.
    for (user, may) in [
        (alice, true),
        (bob, true),
        (erin, true),
        ("alice@example.net", true),
        ("carol@example.com", false),
        ("dave@example.com", false),
    ] {
        assert_eq!(signs_in_by_imap(&stage, user).await, may, "IMAP {user}");
        assert_eq!(signs_in_by_pop3(&stage, user).await, may, "POP3 {user}");
    }
    assert_eq!(submission(&stage, alice).await.1.code, 235);
    assert_eq!(submission(&stage, bob).await.1.code, 535, "had no SMTP there");
    delivered(
        &stage,
        &[alice, bob, erin],
        &[
            (alice, &[alice]),
            (bob, &[bob]),
            (erin, &[erin]),
            // An alias, one that leads to it, and both under the other name of the domain.
            ("sales@example.com", &[alice, bob]),
            ("info@example.com", &[alice]),
            ("chain@example.com", &[alice, bob]),
            ("bob@example.net", &[bob]),
            ("sales@example.net", &[alice, bob]),
            ("chain@example.net", &[alice, bob]),
            // The catch-all.
            ("whoever@example.com", &[alice]),
        ],
    )
    .await;
    for (to, code) in [
        ("carol@example.com", 250),
        // Disabled there, with its domain, and unknown there.
        ("frank@old.example", 550),
        ("nobody@xn--bro-hoa.example", 550),
    ] {
        let reply = stage.accepts(to).await.unwrap();
        assert_eq!(reply.code, code, "{to}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_mailcow_go_on_with_their_passwords_and_addresses() {
    let stage = start().await;
    take_over(&stage, "mailcow", MAILCOW).await;
    let alice = "alice@example.com";
    for (user, imap, pop3) in [
        (alice, true, true),
        ("alice@example.net", true, true),
        // Received only.
        ("bob@example.com", false, false),
        ("carol@example.com", false, false),
        ("off@example.com", false, false),
    ] {
        assert_eq!(signs_in_by_imap(&stage, user).await, imap, "IMAP {user}");
        assert_eq!(signs_in_by_pop3(&stage, user).await, pop3, "POP3 {user}");
    }
    // An internal alias is a group of the domain.
    let team = "team@example.com";
    let refused = stage.accepts(team).await.unwrap();
    assert_eq!(refused.code, 550, "{refused:?}");
    let (mut smtp, reply) = submission(&stage, alice).await;
    assert_eq!(reply.code, 235, "{reply:?}");
    let reply = smtp.send(alice, &[team], &message(alice, team, "internal", "a test")).await;
    assert_eq!(reply.unwrap().code, 250);
    until(Duration::from_mins(1), async || {
        let found = inbox(&stage, alice).await;
        let is_there = found.contains("internal");
        Ok(if is_there { Ok(()) } else { Err(format!("{found:?}")) })
    })
    .await
    .unwrap();
    let mut pop = Pop3::open(address(&stage, 995), &stage.trust, alice, OLD).await.unwrap();
    pop.command("DELE 1").await.unwrap();
    pop.quit().await.unwrap();
    delivered(
        &stage,
        &[alice],
        &[
            (alice, &[alice]),
            ("sales@example.com", &[alice]),
            ("sales@example.net", &[alice]),
            // Taken for who only receives, and by the catch-all.
            ("bob@example.net", &[]),
            ("whoever@example.com", &[]),
        ],
    )
    .await;
    let reply = stage.accepts("off@example.com").await.unwrap();
    assert_eq!(reply.code, 550, "{reply:?}");
}
