//! All roles on one node: mail in, mail out, signing in, listeners.

use umail_agent::drivers::Driver;
use umail_proto::{
    agent::{
        Credential, CredentialKind, DirectoryRow, Domain, ListenerKind, Plan, ServiceHealth,
        ServiceKind, User,
    },
    clock::Clock,
    functions::Function,
};

use crate::{
    client,
    directory::{self, ALL, domain, id, row, storage, user},
    node::{NAME, NODE, Node, wait_until},
};

pub(crate) const ALICE: (&str, &str) = ("alice@example.org", "correct horse");
pub(crate) const APP: (&str, &str) = ("alice@example.org", "k7xq-2mfd-9trw-aa31");
pub(crate) const BOB: (&str, &str) = ("bob@example.org", "battery staple");

/// A running node with the users alice and bob.
pub(crate) async fn running() -> Node {
    let node = Node::new().await;
    directory::fill(&node.replica, rows()).await;
    node.start().await;
    node
}

/// The directory of [`running`].
pub(crate) fn rows() -> Vec<DirectoryRow> {
    let here = id(NODE);
    vec![
        row(domain(1, "example.org")),
        row(storage(&here, NAME, "127.0.0.1")),
        row(user(11, "alice", &here)),
        row(user(12, "bob", &here)),
        row(directory::password(21, 11, ALICE.1)),
        row(directory::app_password(22, 11, APP.1)),
        row(directory::app_password(24, 11, "another-one")),
        row(directory::password(23, 12, BOB.1)),
    ]
}

/// Waits until the user has this many messages in the inbox.
pub(crate) async fn arrived(node: &Node, login: (&str, &str), count: usize) {
    wait_until(&format!("{count} messages are there"), || async {
        let text = client::pop3(node.config.ports.pop3, login, "").text;
        text.lines().filter(|line| line.split(' ').all(|word| word.parse::<u64>().is_ok())).count()
            == count
    })
    .await;
}

#[tokio::test]
async fn mail_goes_in_by_smtp_and_out_by_pop3_and_imap() {
    let node = running().await;
    let ports = node.config.ports;
    client::send(ports.smtp, "x@elsewhere.example", ALICE.0, "Hello there").ok();
    arrived(&node, ALICE, 1).await;
    assert!(client::pop3(ports.pop3, ALICE, "1").ok().contains("Subject: Hello there"));
    assert!(client::imap(ports.imap, ALICE, "INBOX;UID=1").ok().contains("Subject: Hello there"));
    assert!(client::pop3(ports.pop3, APP, "1").ok().contains("Subject: Hello there"));
    let other = (ALICE.0, "another-one");
    assert!(client::imap(ports.imap, other, "INBOX;UID=1").ok().contains("Subject: Hello there"));
    client::imap(ports.imap, (ALICE.0, "wrong"), "").refused("AUTHENTICATIONFAILED");
    client::pop3(ports.pop3, (BOB.0, ALICE.1), "").refused("[AUTH]");
    assert!(node.layout.mail().join(id(11)).is_dir(), "the folder of a mailbox is the user's id");
}

/// As `doveadm pw` writes them: what an import brings is verified by Dovecot itself.
#[tokio::test]
async fn hashes_from_elsewhere_are_good_for_signing_in() {
    let schemes = ["ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "PBKDF2"];
    let node = Node::new().await;
    let here = id(NODE);
    let mut rows = vec![row(domain(1, "example.org")), row(storage(&here, NAME, "127.0.0.1"))];
    for (scheme, number) in schemes.iter().zip(0..) {
        rows.push(row(user(100 + number, &format!("user{number}"), &here)));
        let hash = directory::hash(scheme, ALICE.1);
        rows.push(row(directory::credential(
            200 + number,
            100 + number,
            CredentialKind::Password,
            &hash,
        )));
    }
    directory::fill(&node.replica, rows).await;
    node.start().await;
    for (number, scheme) in schemes.iter().enumerate() {
        let address = format!("user{number}@example.org");
        let login = |password| client::imap(node.config.ports.imap, (&*address, password), "");
        assert!(login(ALICE.1).ok().contains("INBOX"), "{scheme}");
        login("wrong").refused("AUTHENTICATIONFAILED");
    }
}

/// With one beside INBOX's log, a delivery and a login that come first together lock both in
/// opposite orders, and Dovecot's LMTP process dies of the deadlock.
#[tokio::test]
async fn a_mailbox_has_no_index_of_its_folders() {
    let node = running().await;
    let ports = node.config.ports;
    client::imap(ports.imap, ALICE, "").ok();
    client::send(ports.smtp, "x@elsewhere.example", ALICE.0, "one").ok();
    arrived(&node, ALICE, 1).await;
    assert!(client::imap(ports.imap, ALICE, "").ok().contains("Drafts"));
    let folder = std::fs::read_dir(node.layout.mail().join(id(11)).join("mail")).unwrap();
    let names: Vec<_> = folder.map(|file| file.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name == "mailboxes"), "{names:?}");
    let is_index = |name: &&std::ffi::OsString| name.to_string_lossy().starts_with("dovecot.list");
    assert_eq!(names.iter().find(is_index), None);
}

#[tokio::test]
async fn submission_needs_tls_and_a_password() {
    let node = running().await;
    let port = node.config.ports.submission;
    client::submit(port, ALICE, ALICE.0, BOB.0).ok();
    client::submit(port, APP, ALICE.0, BOB.0).ok();
    arrived(&node, BOB, 2).await;
    client::submit(port, (ALICE.0, "wrong"), ALICE.0, BOB.0).refused("535 5.7.8");
    client::send(port, ALICE.0, BOB.0, "no login").refused("530 5.7.0");
    client::submit(port, ALICE, BOB.0, BOB.0).refused("553 5.7.1");
    client::submit(port, ALICE, "stranger@elsewhere.example", BOB.0).refused("553 5.7.1");
}

/// Each protocol refuses what is good for the others, and what has expired.
#[tokio::test]
async fn an_app_password_is_good_for_its_protocols_and_its_time() {
    let node = running().await;
    let ports = node.config.ports;
    let now = Clock::system().now().unix_timestamp();
    let app_password = |number, password: &str, function: Function, expires_at_seconds| {
        let one = directory::app_password(number, 12, password);
        row(Credential { functions: function as u64, expires_at_seconds, ..one })
    };
    let rows = vec![
        app_password(31, "for-imap", Function::Imap, 0),
        app_password(32, "for-pop3", Function::Pop3, now + 3_600),
        app_password(33, "for-submission", Function::Submission, 0),
        app_password(34, "for-imap-once", Function::Imap, now - 1),
    ];
    directory::change(&node.replica, rows).await;
    for (password, good) in [
        ("for-imap", [true, false, false]),
        ("for-pop3", [false, true, false]),
        ("for-submission", [false, false, true]),
        ("for-imap-once", [false, false, false]),
    ] {
        let login = (BOB.0, password);
        let answers = [
            (client::imap(ports.imap, login, ""), "AUTHENTICATIONFAILED"),
            (client::pop3(ports.pop3, login, ""), "[AUTH]"),
            (client::submit(ports.submission, login, BOB.0, ALICE.0), "535 5.7.8"),
        ];
        for ((answer, refusal), is_good) in answers.into_iter().zip(good) {
            if is_good {
                answer.ok();
            } else {
                answer.refused(refusal);
            }
        }
    }
}

/// Whoever lacks the function signs in with the password, and app passwords are like wrong ones.
#[tokio::test]
async fn app_passwords_rest_without_the_function() {
    let node = running().await;
    let ports = node.config.ports;
    let without = ALL & !(Function::AppPasswords as u64);
    let example = |functions| row(Domain { functions, ..domain(1, "example.org") });
    let alice =
        |functions, plan_id| row(User { functions, plan_id, ..user(11, "alice", &id(NODE)) });
    let plan = Plan { id: id(71), functions: without, quota_unlimited: true, ..Plan::default() };
    for (off, on) in [
        (vec![alice(without, String::new())], vec![alice(ALL, String::new())]),
        (vec![example(without)], vec![example(ALL)]),
        (vec![row(plan), alice(ALL, id(71))], vec![alice(ALL, String::new())]),
    ] {
        directory::change(&node.replica, off).await;
        std::thread::scope(|scope| {
            scope.spawn(|| client::imap(ports.imap, APP, "").refused("AUTHENTICATIONFAILED"));
            scope.spawn(|| client::pop3(ports.pop3, APP, "").refused("[AUTH]"));
            let submit = |login| client::submit(ports.submission, login, ALICE.0, ALICE.0);
            scope.spawn(move || submit(APP).refused("535 5.7.8"));
            scope.spawn(move || submit(ALICE).ok());
            scope.spawn(|| client::imap(ports.imap, ALICE, "").ok());
        });
        directory::change(&node.replica, on).await;
        client::imap(ports.imap, APP, "").ok();
        client::submit(ports.submission, APP, ALICE.0, ALICE.0).ok();
    }
}

#[tokio::test]
async fn a_stopped_listener_leaves_the_others_alone() {
    let mut node = running().await;
    let ports = node.config.ports;
    node.set_listeners(ServiceKind::Dovecot, &[ListenerKind::Imap, ListenerKind::Lmtp]);
    node.set_listeners(ServiceKind::Postfix, &[ListenerKind::Smtp]);
    node.bring().await.unwrap();
    wait_until("POP3 and submission are closed", || async {
        node.dovecot.observe().await.listeners == [ListenerKind::Imap, ListenerKind::Lmtp]
            && node.postfix.observe().await.listeners == [ListenerKind::Smtp]
    })
    .await;
    client::pop3(ports.pop3, ALICE, "").refused("onnect");
    client::imap(ports.imap, ALICE, "").ok();
    client::send(ports.smtp, "x@elsewhere.example", ALICE.0, "still").ok();
    node.set_listeners(
        ServiceKind::Dovecot,
        &[ListenerKind::Pop3, ListenerKind::Imap, ListenerKind::Lmtp],
    );
    node.bring().await.unwrap();
    arrived(&node, ALICE, 1).await;
}

#[tokio::test]
async fn services_are_stopped_and_observed() {
    let node = running().await;
    let seen = node.postfix.observe().await;
    assert_eq!(seen.health, ServiceHealth::Running);
    assert_eq!(seen.listeners, [ListenerKind::Smtp, ListenerKind::Submission]);
    assert!(seen.version.starts_with("3."), "{seen:?}");
    assert!(node.dovecot.observe().await.version.starts_with("2."));
    for driver in [&node.postfix as &dyn Driver, &node.dovecot as &dyn Driver] {
        driver.stop().await.unwrap();
        driver.stop().await.unwrap();
        let seen = driver.observe().await;
        assert_eq!((seen.health, seen.listeners), (ServiceHealth::Stopped, Vec::new()));
        driver.start().await.unwrap();
        driver.start().await.unwrap();
        assert_eq!(driver.observe().await.health, ServiceHealth::Running);
    }
}
