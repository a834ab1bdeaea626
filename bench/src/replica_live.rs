//! `replica-live`: Postfix's own lookups while the agent applies 1,000 changes a second, against
//! the same lookups without a writer. A lookup that is locked out or fails ends the measurement.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use umail_agent::{layout::Layout, replica::Replica};
use umail_proto::agent::{Delta, SnapshotBegin, SnapshotEnd};

use crate::{
    Failure,
    outcome::{Gate, Outcome, median, percentile},
    rows,
};

const USERS: u64 = 100_000;
/// Keys that one `postmap -q -` answers.
const LOOKUPS: u64 = 200;
const COMMANDS: usize = 200;
/// 50 deltas of 20 changes a second.
const PERIOD: Duration = Duration::from_millis(20);
const CHANGES: u64 = 20;

/// Measures lookups without and with a writer in turn.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let folder = tempfile::tempdir()?;
    let layout = Layout::new(folder.path());
    let replica = Replica::open(&layout).await?;
    let map = fill(&replica, &layout, folder.path()).await?;
    let (mut ratios, mut alone_all, mut live_all, mut applied) = (vec![], vec![], vec![], 0);
    for _round in 0..rounds {
        let alone = lookups(folder.path(), &map).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let (from, until) = (applied, Arc::clone(&stop));
        let writer = tokio::task::spawn_blocking({
            let (replica, runtime) = (replica.clone(), tokio::runtime::Handle::current());
            move || runtime.block_on(write(replica, from, until))
        });
        let live = lookups(folder.path(), &map).await;
        stop.store(true, Ordering::SeqCst);
        applied = writer.await??;
        let (alone, live) = (percentile(&alone, 0.99), percentile(&live?, 0.99));
        ratios.push(live / alone);
        alone_all.push(alone);
        live_all.push(live);
    }
    Ok(Outcome {
        name: "replica-live",
        ratio: median(&ratios),
        gate: Gate::AtMost(2.0),
        goal: Gate::AtMost(1.2),
        details: format!(
            "p99_of_{LOOKUPS}_lookups alone={:.1}ms live={:.1}ms deltas={applied} failed=0",
            median(&alone_all) * 1e3,
            median(&live_all) * 1e3
        ),
    })
}

/// Fills the replica and writes a map the way the agent configures Postfix.
async fn fill(replica: &Replica, layout: &Layout, folder: &Path) -> Result<String, Failure> {
    let begin = SnapshotBegin { epoch: "bench".to_owned(), version: 0 };
    let mut writer = replica.begin_snapshot(&begin)?;
    let frame = rows::frame();
    let count = USERS + u64::try_from(frame.len())?;
    writer.add(frame)?;
    writer.add((0..USERS).map(|number| rows::user(number, 1 << 30)).collect())?;
    writer.finish(&SnapshotEnd { rows: count }).await?;
    fs::write(folder.join("main.cf"), "compatibility_level = 3.6\n")?;
    let map = folder.join("users.cf");
    fs::write(
        &map,
        format!(
            "dbpath = file:{}?mode=ro\nquery = SELECT address FROM account \
             WHERE local_part = '%u' AND domain = '%d'\n",
            layout.directory_db().display()
        ),
    )?;
    Ok(format!("sqlite:{}", map.display()))
}

/// Seconds that each command took. Every key has to be answered.
async fn lookups(folder: &Path, map: &str) -> Result<Vec<f64>, Failure> {
    let (folder, map) = (folder.to_owned(), map.to_owned());
    let measured = tokio::task::spawn_blocking(move || {
        (0..COMMANDS).map(|round| lookup(&folder, &map, round)).collect::<Result<Vec<_>, String>>()
    });
    Ok(measured.await??)
}

fn lookup(folder: &Path, map: &str, round: usize) -> Result<f64, String> {
    let first = u64::try_from(round).unwrap_or_default() * 1_499;
    let keys = (0..LOOKUPS).fold(String::new(), |mut keys, key| {
        writeln!(keys, "user{:07}@example.org", (first + key * 37) % USERS).ok();
        keys
    });
    let started = Instant::now();
    let mut child = Command::new("/usr/sbin/postmap")
        .args(["-c".as_ref(), folder.as_os_str(), "-q".as_ref(), "-".as_ref(), map.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(keys.as_bytes()).map_err(|error| error.to_string())?;
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let elapsed = started.elapsed().as_secs_f64();
    let answers = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    if output.status.success() && u64::try_from(answers.count()) == Ok(LOOKUPS) {
        Ok(elapsed)
    } else {
        Err(format!("lookups failed: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Applies deltas until it is told to stop; returns the version reached.
async fn write(replica: Replica, from: u64, stop: Arc<AtomicBool>) -> Result<u64, String> {
    let mut version = from;
    let mut tick = tokio::time::interval(PERIOD);
    while !stop.load(Ordering::SeqCst) {
        tick.tick().await;
        let upserts =
            (0..CHANGES).map(|n| rows::user((version * CHANGES + n) % USERS, version + 1));
        let delta = Delta {
            epoch: "bench".to_owned(),
            from_version: version,
            to_version: version + 1,
            upserts: upserts.collect(),
            removals: vec![],
        };
        replica.apply(&delta).await.map_err(|error| error.to_string())?;
        version += 1;
    }
    Ok(version)
}
