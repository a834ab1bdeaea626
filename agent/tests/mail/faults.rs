//! The agent dies at every fault point of a change, under the eyes of Postfix and Dovecot.

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::sys::signal::Signal;
use umail_agent::{
    faults::{self, Point},
    layout::Layout,
    replica::Replica,
};
use umail_proto::agent::{Delta, DirectoryKey, DirectoryRow, RowKind, SnapshotBegin, SnapshotEnd};

use crate::{
    client,
    directory::{EPOCH, app_password, id, row, user},
    node::{NODE, Node},
    outage::{assert_no_fatal, stop_agent},
    replica::{ask, folder, of_version},
    single::{self, ALICE, APP, running},
};

/// The user whose password is another one with every version.
const CHANGING: &str = "user7@example.org";
/// The number of that user.
const CHANGING_ID: u128 = 107;
/// What only the version with this number has.
fn only_of(version: u64) -> u128 {
    10_000 + u128::from(version)
}

/// All rows of a version.
fn whole(version: u64) -> Vec<DirectoryRow> {
    let mut rows = single::rows();
    rows.extend(changed(version));
    rows
}

/// What a version has that the one before it had not.
fn changed(version: u64) -> Vec<DirectoryRow> {
    let mut rows = of_version(version);
    rows.push(row(app_password(900, CHANGING_ID, &format!("of version {version}"))));
    let local_part = format!("only{version}");
    let of_version = umail_proto::agent::User {
        quota_bytes: version,
        quota_unlimited: false,
        ..user(only_of(version), &local_part, &id(NODE))
    };
    rows.push(row(of_version));
    rows.push(row(app_password(only_of(version), only_of(version), "secret")));
    rows
}

async fn change_by_delta(replica: &Replica, from_version: u64) {
    let key = |kind: RowKind| DirectoryKey { kind: kind.into(), id: id(only_of(from_version)) };
    let delta = Delta {
        epoch: EPOCH.into(),
        from_version,
        to_version: from_version + 1,
        upserts: changed(from_version + 1),
        removals: vec![key(RowKind::User), key(RowKind::Credential)],
    };
    replica.apply(&delta).await.unwrap();
}

async fn change_by_snapshot(replica: &Replica, from_version: u64) {
    let rows = whole(from_version + 1);
    let begin = SnapshotBegin { epoch: EPOCH.into(), version: from_version + 1 };
    let mut writer = replica.begin_snapshot(&begin).unwrap();
    let last = SnapshotEnd { rows: rows.len() as u64 };
    writer.add(rows).unwrap();
    writer.finish(&last).await.unwrap();
}

/// The process that dies: an agent's start, and one change.
#[tokio::test]
async fn a_writer_that_dies() {
    let Ok(root) = std::env::var("UMAIL_TEST_FAULTY_WRITER") else { return };
    let replica = Replica::open(&Layout::new(root)).await.unwrap();
    let at = replica.position().await.unwrap().map_or(0, |position| position.version);
    match std::env::var("UMAIL_TEST_CHANGE").unwrap().as_str() {
        "delta" => change_by_delta(&replica, at).await,
        _ => change_by_snapshot(&replica, at).await,
    }
}

/// Lets such a process make a change, and die at this point if it comes there.
fn change(layout: &Layout, by: &str, fault: Option<Point>) -> ExitStatus {
    let mut writer = Command::new(std::env::current_exe().unwrap());
    writer
        .args(["--exact", "faults::a_writer_that_dies"])
        .env("UMAIL_TEST_FAULTY_WRITER", layout.root())
        .env("UMAIL_TEST_CHANGE", by)
        .env(faults::VARIABLE, fault.map(|point| format!("{point:?}")).unwrap_or_default())
        .stdout(Stdio::null());
    writer.status().unwrap()
}

/// The version that the replica is of, in all its rows; 0 before the first snapshot. The secrets
/// may be one ahead.
fn version(layout: &Layout) -> u64 {
    let directory = layout.directory_db();
    if !directory.exists() {
        return 0;
    }
    assert_eq!(ask(&directory, "PRAGMA integrity_check"), "ok");
    assert_eq!(ask_secrets(layout, "PRAGMA integrity_check"), "ok");
    let position = ask(&directory, "SELECT version FROM position").parse().unwrap_or(0);
    let quotas = "SELECT group_concat(DISTINCT quota_bytes) FROM user WHERE NOT quota_unlimited";
    let users = ask(&directory, quotas);
    let only =
        ask(&directory, "SELECT group_concat(local_part) FROM user WHERE local_part LIKE 'only%'");
    if position == 0 {
        assert_eq!((users, only), (String::new(), String::new()));
        return 0;
    }
    assert_eq!((users, only), (position.to_string(), format!("only{position}")));
    position
}

/// Whether the secrets are those of this version, and of no other.
fn has_secrets_of(layout: &Layout, version: u64) -> bool {
    let others = format!(
        "SELECT count(*) FROM credential WHERE user_id >= '{}' AND id <> '{}'",
        id(only_of(0)),
        id(only_of(version)),
    );
    let own = format!("SELECT count(*) FROM credential WHERE id = '{}'", id(only_of(version)));
    ask_secrets(layout, &own) == "1" && ask_secrets(layout, &others) == "0"
}

/// Asks the secrets. While nobody has the file open, two that open it at once exclude each other
/// for a moment: this waits a second for the other, as Dovecot does.
fn ask_secrets(layout: &Layout, sql: &str) -> String {
    let database = format!("file:{}?mode=ro", layout.secrets_db().display());
    let output =
        Command::new("sqlite3").args(["-cmd", ".timeout 1000", &database, sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Dies at this point, if the change comes there; then starts again and makes the change.
fn die_and_go_on(layout: &Layout, by: &str, point: Point) -> bool {
    let before = version(layout);
    let status = change(layout, by, Some(point));
    let died = status.signal() == Some(Signal::SIGKILL as i32);
    assert!(died || status.success(), "{point:?}, {by}: {status}");
    let after = version(layout);
    let committed = !died || point == Point::BothCommitted;
    assert_eq!(after, before + u64::from(committed), "{point:?}, {by}");
    let secrets = after + u64::from(died && point == Point::SecretsCommitted);
    assert!(secrets == 0 || has_secrets_of(layout, secrets), "{point:?}, {by}: secrets");
    if !committed {
        assert!(change(layout, by, None).success(), "{point:?}, {by}: again");
        assert_eq!(version(layout), before + 1, "{point:?}, {by}: again");
        assert!(has_secrets_of(layout, before + 1), "{point:?}, {by}: secrets again");
    }
    died
}

/// Asks Postfix and Dovecot over and over; returns what went wrong, and how often it asked.
fn lookups(node: &Node, stop: &AtomicBool) -> (Vec<String>, usize) {
    let (mut bad, mut asked) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let quit = ["--quit-after", "RCPT"];
        for to in [ALICE.0, CHANGING] {
            let answer = client::swaks(node.config.ports.smtp, "x@elsewhere.example", to, &quit);
            bad.extend((answer.code != 0).then_some(answer.text));
        }
        let (code, text) = node.doveadm(&["auth", "test", "-x", "service=imap", APP.0, APP.1]);
        bad.extend((code != 0).then_some(text));
        let (key, text) = node.postmap("mailboxes", CHANGING);
        bad.extend((key != "1").then_some(text));
        asked += 1;
    }
    (bad, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_dies_at_any_step_leaves_one_whole_version() {
    let mut node = running().await;
    change_by_snapshot(&node.replica, 0).await;
    // A running Postfix has the file open. While nobody has, the first two to open it exclude each
    // other for a moment.
    client::send(node.config.ports.smtp, "x@elsewhere.example", ALICE.0, "before").ok();
    stop_agent(&mut node).await;
    let node = Arc::new(node);
    let stop = Arc::new(AtomicBool::new(false));
    let (reading, stopped) = (Arc::clone(&node), Arc::clone(&stop));
    let reader = tokio::task::spawn_blocking(move || lookups(&reading, &stopped));

    let layout = node.layout.clone();
    let died = tokio::task::spawn_blocking(move || {
        let mut died = BTreeSet::new();
        for &point in Point::ALL {
            let (_folder, empty) = folder();
            for (layout, by) in [(&layout, "delta"), (&layout, "snapshot"), (&empty, "snapshot")] {
                if die_and_go_on(layout, by, point) {
                    died.insert(point);
                }
            }
        }
        died
    });
    let died = died.await;
    stop.store(true, Ordering::Relaxed);
    let (bad, asked) = reader.await.unwrap();
    let died = died.unwrap();
    assert_eq!(died, Point::ALL.iter().copied().collect(), "not all were met");
    assert!(bad.is_empty(), "of {asked} rounds: {bad:?}");
    assert!(asked > 10, "only {asked} rounds of lookups");

    let last = version(&node.layout);
    let test = |version: u64| {
        let password = format!("of version {version}");
        node.doveadm(&["auth", "test", "-x", "service=imap", CHANGING, &password]).0
    };
    assert_eq!(test(last), 0, "the password of the last version");
    assert_ne!(test(last - 1), 0, "the password of the version before");
    assert_no_fatal(&node);
}
