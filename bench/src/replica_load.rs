//! `replica-load`: the agent takes a snapshot, against the same rows bulk-inserted by SQLite's
//! own shell into a table that gets the same indexes afterwards.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use umail_agent::{layout::Layout, replica::Replica};
use umail_proto::agent::{DirectoryRow, SnapshotBegin, SnapshotEnd};

use crate::{
    Failure,
    outcome::{Gate, Outcome, median},
    rows,
};

const USERS: u64 = 1_000_000;
/// Rows in one message of the stream.
const CHUNK: u64 = 1_000;

/// Measures both sides in turn.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let chunks: Vec<Vec<DirectoryRow>> = (0..USERS / CHUNK)
        .map(|chunk| (chunk * CHUNK..(chunk + 1) * CHUNK).map(|n| rows::user(n, 1 << 30)).collect())
        .collect();
    let folder = tempfile::tempdir()?;
    let csv = folder.path().join("users.csv");
    fs::write(&csv, as_csv())?;
    let (mut ratios, mut ours_all, mut theirs_all) = (Vec::new(), Vec::new(), Vec::new());
    for _round in 0..rounds {
        let ours = snapshot(&chunks).await?.as_secs_f64();
        let theirs = import(&csv)?.as_secs_f64();
        ratios.push(theirs / ours);
        ours_all.push(ours);
        theirs_all.push(theirs);
    }
    Ok(Outcome {
        name: "replica-load",
        ratio: median(&ratios),
        gate: Gate::AtLeast(0.5),
        goal: Gate::AtLeast(0.9),
        details: format!(
            "rows={USERS} ours={:.2}s sqlite3_import={:.2}s rounds={rounds}",
            median(&ours_all),
            median(&theirs_all)
        ),
    })
}

async fn snapshot(chunks: &[Vec<DirectoryRow>]) -> Result<Duration, Failure> {
    let folder = tempfile::tempdir()?;
    let replica = Replica::open(&Layout::new(folder.path())).await?;
    let frame = rows::frame();
    let started = Instant::now();
    let begin = SnapshotBegin { epoch: "bench".to_owned(), version: 1 };
    let mut writer = replica.begin_snapshot(&begin)?;
    let frame_rows = u64::try_from(frame.len())?;
    writer.add(frame)?;
    for chunk in chunks {
        writer.add(chunk.clone())?;
    }
    let rows = USERS + frame_rows;
    writer.finish(&SnapshotEnd { rows }).await?;
    Ok(started.elapsed())
}

fn import(csv: &Path) -> Result<Duration, Failure> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bare.sqlite");
    let script = format!(
        "PRAGMA journal_mode = WAL;\nPRAGMA synchronous = NORMAL;\n\
         CREATE TABLE user (id TEXT PRIMARY KEY, domain_id TEXT NOT NULL,\n\
         department_id TEXT NOT NULL, local_part TEXT NOT NULL, status INTEGER NOT NULL,\n\
         functions INTEGER NOT NULL, quota_bytes INTEGER NOT NULL,\n\
         quota_unlimited INTEGER NOT NULL, storage_node_id TEXT NOT NULL,\n\
         moving INTEGER NOT NULL);\n\
         .mode csv\n.import {} user\n\
         CREATE INDEX user_address_idx ON user (domain_id, local_part);\n\
         CREATE INDEX user_storage_idx ON user (storage_node_id);\n",
        csv.display()
    );
    let commands = folder.path().join("commands");
    fs::write(&commands, script)?;
    let started = Instant::now();
    let status = Command::new("sqlite3")
        .arg(&file)
        .stdin(fs::File::open(&commands)?)
        .stdout(std::process::Stdio::null())
        .status()?;
    let elapsed = started.elapsed();
    if status.success() { Ok(elapsed) } else { Err("sqlite3 failed".into()) }
}

fn as_csv() -> String {
    let domain = rows::domain_id();
    (0..USERS).fold(String::new(), |mut text, number| {
        let (id, node) = (rows::id(2, number), rows::id(1, number % 10));
        writeln!(text, "{id},{domain},,user{number:07},1,63,1073741824,0,{node},0").ok();
        text
    })
}
