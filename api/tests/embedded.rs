//! The embedded database: started, killed, recovered, stopped, and nothing left behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use umail_api::{
    config::Config,
    database::{Database, pool::Pool},
};

fn data_dir() -> (tempfile::TempDir, Config) {
    let dir = tempfile::Builder::new().prefix("umail-embedded.").tempdir_in("/tmp").unwrap();
    // The unprivileged user must get through.
    fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
    let data = dir.path().join("data").display().to_string();
    let environment = [("UMAIL_API__DATA_DIR".to_owned(), data)];
    let config = Config::load(None, environment).unwrap();
    (dir, config)
}

fn postmaster(config: &Config) -> Option<Pid> {
    let file = config.data_dir.join("postgres/data/postmaster.pid");
    let pid: i32 = fs::read_to_string(file).ok()?.lines().next()?.parse().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then(|| Pid::from_raw(pid))
}

async fn settings(pool: &Pool) -> sqlx::Result<(String, String)> {
    sqlx::query_as("SELECT current_user::text, postmaster_address FROM control_plane")
        .fetch_one(pool)
        .await
}

async fn within(seconds: u64, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        if holds().await {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_killed_database_comes_back_with_what_it_acknowledged() {
    let (_dir, config) = data_dir();
    let database = Database::open(&config).await.unwrap();
    database.migrate().await.unwrap();
    let pool = database.pool(4);
    assert_eq!(settings(&pool).await.unwrap(), ("umail_app".to_owned(), String::new()));
    sqlx::raw_sql("UPDATE control_plane SET postmaster_address = 'a@example.org'")
        .execute(&pool)
        .await
        .unwrap();

    let stop = CancellationToken::new();
    let cluster = database.into_cluster().unwrap();
    let before = postmaster(&config).unwrap();
    let run = async {
        kill(before, Signal::SIGKILL).unwrap();
        let back = within(10, async || {
            postmaster(&config).is_some_and(|pid| pid != before)
                && settings(&pool).await.is_ok_and(|(_, address)| address == "a@example.org")
        });
        assert!(back.await, "the database is not back");
        stop.cancel();
    };
    tokio::join!(run, cluster.supervise(stop.clone()));
    assert_eq!(postmaster(&config), None);
}

#[tokio::test]
async fn a_server_takes_the_database_of_a_killed_one_over() {
    let (_dir, config) = data_dir();
    let first = Database::open(&config).await.unwrap();
    first.migrate().await.unwrap();
    let orphan = postmaster(&config).unwrap();
    // As if the process were gone: its lock is free, its child runs on.
    drop(first);
    let second = Database::open(&config).await.unwrap();
    assert_ne!(postmaster(&config).unwrap(), orphan);
    settings(&second.pool(1)).await.unwrap();

    // A command beside the running server uses the server's database and leaves it running.
    let command = Database::open(&config).await.unwrap();
    let epoch = command.begin_epoch().await.unwrap();
    assert_ne!(command.begin_epoch().await.unwrap(), epoch);
    command.close().await;
    settings(&second.pool(1)).await.unwrap();
    second.close().await;
    assert_eq!(postmaster(&config), None);
}

#[tokio::test]
async fn only_its_owner_may_reach_the_database() {
    let (_dir, config) = data_dir();
    let database = Database::open(&config).await.unwrap();
    let postgres = config.data_dir.join("postgres");
    for dir in [postgres.clone(), postgres.join("run"), postgres.join("data")] {
        let mode = fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", dir.display());
    }
    let pid = postmaster(&config).unwrap();
    let sockets = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let inodes: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    assert!(!inodes.is_empty());
    for inode in inodes {
        assert!(!sockets.contains(&format!(" {inode} ")), "listens on TCP");
    }
    database.close().await;
}

#[tokio::test]
async fn a_data_directory_that_is_too_deep_is_refused_with_a_reason() {
    let (dir, _) = data_dir();
    let deep = dir.path().join("d".repeat(90)).display().to_string();
    let config = Config::load(None, [("UMAIL_API__DATA_DIR".to_owned(), deep)]).unwrap();
    let error = Database::open(&config).await.unwrap_err().to_string();
    assert!(error.contains("choose a shorter data_dir"), "{error}");
}
