//! Hostile names through to `postmap -q` and `doveadm auth test`.

use crate::{
    directory::{self, alias, domain, id, row, storage, user},
    node::{NAME, NODE, Node},
};

/// Local parts that RFC 5321 allows without quotes and that mean something to somebody.
const ALLOWED: [&str; 13] = [
    "o'brien",
    "x'or'1'='1",
    "a'--",
    "%u",
    "%{pw}",
    "100%",
    "`id`",
    "a|b",
    "{curly}",
    "-dash",
    "/etc/passwd",
    "#comment",
    "a?b*c~d^e=f!g&h_i",
];

/// Names that no directory may hold and nobody may be found by.
const FOREIGN: [&str; 13] = [
    "$(id)",
    "x' or '1'='1",
    "alice'",
    "alice\" or \"\"=\"",
    "' union select 'x' --",
    "alice@example.org' --",
    "a b",
    "../../etc/passwd",
    "alice\n",
    "%",
    "_lice",
    "alice;drop table user",
    "a\u{202e}b",
];

#[tokio::test]
async fn a_hostile_local_part_finds_itself_and_nobody_else() {
    let node = Node::new().await;
    let here = id(NODE);
    let mut rows = vec![
        row(domain(1, "example.org")),
        row(storage(&here, NAME, "127.0.0.1")),
        row(user(11, "alice", &here)),
        row(directory::password(21, 11, "alice's password")),
    ];
    for (local_part, number) in ALLOWED.into_iter().zip(100..) {
        rows.push(row(user(number, &local_part.to_lowercase(), &here)));
        rows.push(row(directory::password(number + 1000, number, "it's \"%u\" $(id)")));
    }
    directory::fill(&node.replica, rows).await;
    node.start().await;
    for local_part in ALLOWED {
        let address = format!("{local_part}@example.org").to_lowercase();
        assert_eq!(node.postmap("mailboxes", &address), ("1".into(), String::new()), "{address}");
        assert_eq!(node.postmap("aliases", &address), (address.clone(), String::new()));
        assert_eq!(node.postmap("senders", &address), (address.clone(), String::new()));
        let (code, text) = sign_in(&node, &address, "it's \"%u\" $(id)");
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(&format!("user={address}\n")), "{text}");
    }
    for name in FOREIGN {
        let address = format!("{name}@example.org");
        for map in ["mailboxes", "aliases", "senders", "transport", "refusals"] {
            let found = node.postmap(map, &address);
            assert_eq!(found, (String::new(), String::new()), "{map} {address}");
        }
    }
    let foreign = FOREIGN.into_iter().flat_map(|name| {
        [format!("{name}@example.org"), format!("alice@{name}")]
            .map(|user| (user, "alice's password"))
    });
    let wrong = ALLOWED
        .into_iter()
        .map(|local_part| (format!("{local_part}@example.org").to_lowercase(), "x' or '1'='1"));
    // Each of them is answered after a pause: all at once.
    std::thread::scope(|scope| {
        for (user, password) in foreign.chain(wrong) {
            let node = &node;
            scope.spawn(move || {
                let (code, text) = sign_in(node, &user, password);
                assert_eq!(code, 77, "{user:?}: {text}");
            });
        }
    });
    assert!(!node.log("dovecot").contains("syntax error"), "{}", node.log("dovecot"));
}

fn sign_in(node: &Node, user: &str, password: &str) -> (i32, String) {
    node.doveadm(&[
        "auth",
        "test",
        "-x",
        "service=imap",
        "-x",
        "rip=127.0.0.1",
        "--",
        user,
        password,
    ])
}

#[tokio::test]
async fn rows_that_no_directory_may_hold_are_refused() {
    let node = Node::new().await;
    directory::fill(&node.replica, vec![row(domain(1, "example.org"))]).await;
    for name in FOREIGN.into_iter().filter(|name| !["%", "_lice", "alice'"].contains(name)) {
        let begin = umail_proto::agent::SnapshotBegin { epoch: "e".into(), version: 2 };
        let mut writer = node.replica.begin_snapshot(&begin).unwrap();
        assert!(writer.add(vec![row(user(12, name, &id(NODE)))]).is_err(), "{name:?}");
        let mut writer = node.replica.begin_snapshot(&begin).unwrap();
        assert!(writer.add(vec![row(domain(2, name))]).is_err(), "{name:?}");
        let mut writer = node.replica.begin_snapshot(&begin).unwrap();
        let target = format!("x@{name}");
        assert!(writer.add(vec![row(alias(31, "a", &[&target]))]).is_err(), "{name:?}");
    }
}
