//! The replica by itself: whole or not at all, through kills and damage.

use std::{
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use umail_agent::{
    layout::Layout,
    replica::{Replica, ReplicaError},
};
use umail_proto::agent::{Credential, Delta, SendingLimits, SnapshotBegin, SnapshotEnd, User};

use crate::{
    directory::{self, EPOCH, app_password, domain, id, row, user},
    node::{NODE, Node},
    single::running,
};

/// The user's quota says which version the row is of.
pub(crate) fn of_version(version: u64) -> Vec<umail_proto::agent::DirectoryRow> {
    let here = id(NODE);
    let users = (0..50_u32).map(|number| User {
        quota_bytes: version,
        quota_unlimited: false,
        ..user(100 + u128::from(number), &format!("user{number}"), &here)
    });
    users.map(row).collect()
}

/// Version of the position, and the versions that the rows are of.
fn versions(layout: &Layout) -> (String, String) {
    let query = |sql: &str| ask(&layout.directory_db(), sql);
    assert_eq!(query("PRAGMA integrity_check"), "ok");
    let position = query("SELECT version FROM position");
    (position, query("SELECT group_concat(DISTINCT quota_bytes) FROM user"))
}

/// Asks a file as a reader does.
pub(crate) fn ask(database: &Path, sql: &str) -> String {
    let database = format!("file:{}?mode=ro", database.display());
    let output = Command::new("sqlite3").args([&database, sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Changes a file that nobody has open, or soon has no more: a connection closes behind its owner.
fn alter(database: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .args(["-cmd", ".timeout 5000"])
        .arg(database)
        .arg(sql)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn folder() -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path());
    (folder, layout)
}

/// The process that is killed: applies one delta after the other, and a snapshot now and then.
#[tokio::test]
async fn a_writer_to_be_killed() {
    let Ok(root) = std::env::var("UMAIL_TEST_WRITER") else { return };
    let replica = Replica::open(&Layout::new(root)).await.unwrap();
    loop {
        let at = replica.position().await.unwrap().unwrap().version;
        if at.is_multiple_of(7) {
            let begin = SnapshotBegin { epoch: EPOCH.into(), version: at + 1 };
            let mut writer = replica.begin_snapshot(&begin).unwrap();
            writer.add(vec![row(domain(1, "example.org"))]).unwrap();
            writer.add(of_version(at + 1)).unwrap();
            writer.finish(&SnapshotEnd { rows: 51 }).await.unwrap();
        } else {
            directory::change(&replica, of_version(at + 1)).await;
        }
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_one_whole_version() {
    let (_folder, layout) = folder();
    let replica = Replica::open(&layout).await.unwrap();
    directory::fill(&replica, [vec![row(domain(1, "example.org"))], of_version(1)].concat()).await;
    drop(replica);
    let file = std::fs::metadata(layout.directory_db()).unwrap().ino();
    let mut reached = 0;
    for round in 0..25_u64 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "replica::a_writer_to_be_killed"])
            .env("UMAIL_TEST_WRITER", layout.root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_micros(30_000 + 1_733 * round)).await;
        writer.kill().unwrap();
        writer.wait().unwrap();
        let (position, rows) = versions(&layout);
        assert_eq!(position, rows, "round {round}");
        reached = position.parse().unwrap();
    }
    assert!(reached > 100, "only {reached} versions were written");
    assert_eq!(std::fs::metadata(layout.directory_db()).unwrap().ino(), file, "same file for life");
    let replica = Replica::open(&layout).await.unwrap();
    replica.check().await.unwrap();
    assert_eq!(replica.position().await.unwrap().unwrap().version, reached);
}

#[tokio::test]
async fn a_delta_is_applied_once_in_its_place_and_whole() {
    let (_folder, layout) = folder();
    let replica = Replica::open(&layout).await.unwrap();
    directory::fill(&replica, [vec![row(domain(1, "example.org"))], of_version(1)].concat()).await;
    let delta = |from_version, upserts| Delta {
        epoch: EPOCH.into(),
        from_version,
        to_version: from_version + 1,
        upserts,
        removals: Vec::new(),
    };
    replica.apply(&delta(1, of_version(2))).await.unwrap();
    replica.apply(&delta(1, of_version(2))).await.unwrap();
    assert_eq!(versions(&layout), ("2".into(), "2".into()));
    for wrong in [0, 3, 7] {
        let refused = replica.apply(&delta(wrong, of_version(9))).await.unwrap_err();
        assert!(matches!(refused, ReplicaError::WrongVersion { have: Some(2), .. }), "{refused}");
    }
    let other = Delta { epoch: "another".into(), ..delta(2, of_version(9)) };
    let refused = replica.apply(&other).await.unwrap_err();
    assert!(matches!(refused, ReplicaError::WrongEpoch(_)), "{refused}");
    // A poisoned row at the end: nothing of the delta is there.
    let poisoned = [of_version(3), vec![row(user(999, "not a local part", &id(NODE)))]].concat();
    let refused = replica.apply(&delta(2, poisoned)).await.unwrap_err();
    assert!(matches!(refused, ReplicaError::Refused(_)), "{refused}");
    assert_eq!(versions(&layout), ("2".into(), "2".into()));
    // A snapshot that lacks a row, and one that is given up, leave the old directory in place.
    let begin = SnapshotBegin { epoch: EPOCH.into(), version: 8 };
    let mut short = replica.begin_snapshot(&begin).unwrap();
    short.add(of_version(8)).unwrap();
    assert!(short.finish(&SnapshotEnd { rows: 51 }).await.is_err());
    let mut dropped = replica.begin_snapshot(&begin).unwrap();
    dropped.add(of_version(8)).unwrap();
    drop(dropped);
    assert_eq!(versions(&layout), ("2".into(), "2".into()));
}

#[tokio::test]
async fn a_replica_of_an_earlier_agent_is_asked_for_anew_and_answers_meanwhile() {
    let (_folder, layout) = folder();
    let database = layout.directory_db();
    // As the agents wrote it that knew no limits of sending, and no plans.
    for (knows_plans, plans) in [(true, ""), (false, "ALTER TABLE user DROP COLUMN plan_id;")] {
        let replica = Replica::open(&layout).await.unwrap();
        let rows = [vec![row(domain(1, "example.org"))], of_version(1)].concat();
        directory::fill(&replica, rows).await;
        drop(replica);
        let views = alter(&database, "SELECT name FROM sqlite_schema WHERE type = 'view'");
        let views: Vec<_> = views.lines().map(|view| format!("DROP VIEW {view};")).collect();
        let limits = [
            "message_size_bytes",
            "messages_per_hour",
            "messages_per_day",
            "recipients_per_hour",
            "recipients_per_day",
        ];
        let limits: Vec<_> = ["user", "plan"]
            .into_iter()
            .flat_map(|table| {
                limits.map(|column| format!("ALTER TABLE {table} DROP COLUMN {column};"))
            })
            .collect();
        let sql = views.concat()
            + &limits.concat()
            + "ALTER TABLE domain DROP COLUMN deferred_until;"
            + "DROP TABLE mail_group; DROP TABLE group_member;"
            + plans
            + "PRAGMA user_version = 1;";
        alter(&database, &sql);
        let replica = Replica::open(&layout).await.unwrap();
        let position = replica.position().await.unwrap().unwrap();
        assert_eq!((position.epoch.as_str(), position.version), (EPOCH, 0), "{knows_plans}");
        let known = ask(&database, "SELECT count(*) FROM account WHERE quota_bytes = 1");
        assert_eq!(known, "50");
        assert_eq!(ask(&database, "SELECT deferred_until FROM domain"), "0");
        drop(replica);
        let again = Replica::open(&layout).await.unwrap();
        assert_eq!(again.position().await.unwrap().unwrap().version, 0);
        assert_eq!(ask(&database, "SELECT count(*) FROM group_target"), "0");
        // What comes then stands in the right columns.
        let user = User { plan_id: id(41), ..user(100, "user0", &id(NODE)) };
        let limits = SendingLimits { recipients_per_day: Some(7), ..SendingLimits::default() };
        directory::change(&again, vec![row(User { sending: Some(limits), ..user })]).await;
        let came = "SELECT plan_id, recipients_per_day FROM user WHERE local_part = 'user0'";
        assert_eq!(ask(&database, came), format!("{}|7", id(41)));
    }
}

#[tokio::test]
async fn a_damaged_file_is_noticed_and_rebuilt_in_place() {
    let node = Node::new().await;
    directory::fill(
        &node.replica,
        [vec![row(domain(1, "example.org")), row(app_password(21, 100, "secret"))], of_version(1)]
            .concat(),
    )
    .await;
    node.replica.freeze(&id(100), &id(7)).await.unwrap();
    let path = node.layout.directory_db();
    let file = std::fs::metadata(&path).unwrap().ino();
    // Everything into the file itself, so that the damage hits it.
    node.replica.check().await.unwrap();
    checkpoint(&path);
    let length = std::fs::metadata(&path).unwrap().len();
    let mut damaged = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    damaged.seek(SeekFrom::Start(4096)).unwrap();
    damaged.write_all(&vec![0xa5; usize::try_from(length).unwrap() - 8192]).unwrap();
    drop(damaged);
    // As an agent that starts with it, or runs into it.
    let noticed = node.replica.check().await.unwrap_err();
    assert!(matches!(noticed, ReplicaError::Damaged(_)), "{noticed}");
    node.replica.rebuild().await.unwrap();
    assert_eq!(node.replica.position().await.unwrap(), None, "a snapshot is needed");
    node.replica.check().await.unwrap();
    directory::fill(&node.replica, [vec![row(domain(1, "example.org"))], of_version(1)].concat())
        .await;
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), file, "readers have it open");
    assert_eq!(versions(&node.layout), ("1".into(), "1".into()));
    std::fs::remove_file(&path).unwrap();
    let noticed = node.replica.check().await.unwrap_err();
    assert!(matches!(noticed, ReplicaError::Damaged(_)), "{noticed}");
    node.replica.rebuild().await.unwrap();
    node.replica.check().await.unwrap();
}

fn checkpoint(path: &Path) {
    let output = Command::new("sqlite3")
        .args([path.to_str().unwrap(), "PRAGMA wal_checkpoint(TRUNCATE)"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The secrets are for Dovecot's auth alone, the rest for every daemon.
#[tokio::test]
async fn only_dovecots_auth_may_read_the_secrets() {
    let node = Node::new().await;
    let reads = |user: &str, path: &Path| {
        let status = Command::new("setpriv")
            .args([&format!("--reuid={user}"), &format!("--regid={user}"), "--init-groups"])
            .args(["head", "-c", "1"])
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    };
    for user in ["postfix", "dovecot", "vmail"] {
        assert!(reads(user, &node.layout.directory_db()), "{user}");
    }
    assert!(reads("dovecot", &node.layout.secrets_db()));
    for user in ["postfix", "vmail", "dovenull"] {
        assert!(!reads(user, &node.layout.secrets_db()), "{user}");
    }
}

/// It keeps out its user, and nobody else waits for it.
#[tokio::test]
async fn a_password_that_cannot_be_read_is_left_out() {
    let (_folder, layout) = folder();
    let replica = Replica::open(&layout).await.unwrap();
    let good = app_password(21, 11, "good");
    let bad = |number| Credential { hash: "{WEAK}x".into(), ..app_password(number, 12, "bad") };
    let rows = vec![row(domain(1, "example.org")), row(good.clone()), row(bad(22))];
    directory::fill(&replica, rows).await;
    let known = || ask(&layout.secrets_db(), "SELECT group_concat(id) FROM credential");
    assert_eq!(known(), id(21));
    directory::change(&replica, vec![row(bad(21)), row(app_password(23, 11, "new"))]).await;
    assert_eq!(known(), id(23), "the password before is not good any more");
}

/// What is asked for each recipient takes as long in a directory of many as in one of few.
#[tokio::test]
async fn no_lookup_of_postfix_reads_through_the_directory() {
    // Rows of a view that are made one by one, chains of departments, and tables that are small; the
    // first user by id answers for the node's own name.
    let harmless = [
        "CONSTANT ROW",
        "(subquery",
        "c",
        "s",
        "unready",
        "position",
        "system_address",
        "sender_owner",
        "storage_node",
        "u USING INDEX sqlite_autoindex_user_1",
    ];
    let node = running().await;
    let mut asked = 0;
    for file in std::fs::read_dir(node.layout.etc("postfix")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let Some(query) = text.lines().find_map(|line| line.strip_prefix("query = ")) else {
            continue;
        };
        let query =
            query.replace("%s", "a@b.example").replace("%u", "a").replace("%d", "b.example");
        let sql = format!("EXPLAIN QUERY PLAN {}", query.replace("%%", "%"));
        let plan = ask(&node.layout.directory_db(), &sql);
        for scanned in plan.lines().filter_map(|line| line.split_once("SCAN ")) {
            let is_harmless = harmless
                .iter()
                .any(|one| scanned.1 == *one || one.starts_with('(') && scanned.1.starts_with(one));
            assert!(is_harmless, "{} reads all of {}:\n{plan}", path.display(), scanned.1);
        }
        asked += 1;
    }
    assert!(asked > 15, "only {asked} maps");
}
