//! `replica-live`: lookups that Postfix and Dovecot make by the configuration of the agent while
//! the agent applies 1,000 changes a second, against the same lookups without a writer. A lookup
//! that is locked out or fails, or an error in Dovecot's log, ends the measurement.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use umail_agent::{layout::Layout, replica::Replica};
use umail_proto::agent::{Delta, SnapshotBegin, SnapshotEnd};

use crate::{
    Failure,
    lookups::{Kind, PASSWORD},
    node::Daemons,
    outcome::{Gate, Outcome, median, percentile},
    rows,
};

const USERS: u64 = 100_000;
/// 50 deltas of 20 changes a second, every tenth of a password.
const PERIOD: Duration = Duration::from_millis(20);
const CHANGES: u64 = 20;
/// Fewer changes a second are not what is to be measured.
const SLOWEST: f64 = 900.0;

/// The 99th percentiles of one kind of lookup, round by round.
struct Figures {
    kind: Kind,
    alone: Vec<f64>,
    live: Vec<f64>,
}

/// Measures lookups without and with a writer in turn, after a round that does not count.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let folder = tempfile::Builder::new().prefix("umail-bench.").tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let layout = Layout::new(folder.path().join("node"));
    let replica = Replica::open(&layout).await?;
    let hash = rows::hash(PASSWORD)?;
    fill(&replica, &hash).await?;
    let daemons = Daemons::start(&layout, &rows::id(1, 0)).await?;
    let mut figures = Kind::ALL.map(|kind| Figures { kind, alone: vec![], live: vec![] });
    let (mut version, mut rates) = (0, vec![]);
    for round in 0..=rounds {
        let alone = look_up(&layout).await?;
        let writer = Writer::start(&replica, version, hash.clone());
        let live = look_up(&layout).await;
        let (reached, rate) = writer.stop().await?;
        version = reached;
        if round > 0 {
            rates.push(rate);
            for ((figures, alone), live) in figures.iter_mut().zip(alone).zip(live?) {
                figures.alone.push(alone);
                figures.live.push(live);
            }
        }
    }
    daemons.check_log()?;
    outcome(&figures, &rates)
}

fn outcome(figures: &[Figures], rates: &[f64]) -> Result<Outcome, Failure> {
    let rate = median(rates);
    if rate < SLOWEST {
        return Err(format!("only {rate:.0} changes/s were applied").into());
    }
    let mut worst = 0.0_f64;
    let mut details = format!("changes={rate:.0}/s failed=0 p99_alone/live:");
    for one in figures {
        let ratios: Vec<_> =
            one.live.iter().zip(&one.alone).map(|(live, alone)| live / alone).collect();
        worst = worst.max(median(&ratios));
        let (name, alone, live) = (one.kind.name(), median(&one.alone), median(&one.live));
        let _ = write!(details, " {name}={:.1}/{:.1}ms", alone * 1e3, live * 1e3);
    }
    Ok(Outcome {
        name: "replica-live",
        ratio: worst,
        gate: Gate::AtMost(2.0),
        goal: Gate::AtMost(1.2),
        details,
    })
}

/// Fills the replica: users of ten storage nodes, each user with an app password.
async fn fill(replica: &Replica, hash: &str) -> Result<(), Failure> {
    let begin = SnapshotBegin { epoch: "bench".to_owned(), version: 0 };
    let mut writer = replica.begin_snapshot(&begin)?;
    let frame = rows::frame();
    let count = 2 * USERS + u64::try_from(frame.len())?;
    writer.add(frame)?;
    writer.add((0..USERS).map(|number| rows::user(number, 1 << 30)).collect())?;
    writer.add((0..USERS).map(|number| rows::app_password(number, hash)).collect())?;
    writer.finish(&SnapshotEnd { rows: count }).await?;
    Ok(())
}

/// The 99th percentile of each kind of lookup.
async fn look_up(layout: &Layout) -> Result<Vec<f64>, Failure> {
    let layout = layout.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let p99 = |kind: Kind| Ok(percentile(&kind.run(&layout, USERS)?, 0.99));
        Kind::ALL.into_iter().map(p99).collect::<Result<Vec<_>, String>>()
    });
    Ok(looking.await??)
}

/// Applies deltas until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    /// Ends with the version reached, and the changes a second.
    task: JoinHandle<Result<(u64, f64), String>>,
}

impl Writer {
    fn start(replica: &Replica, version: u64, hash: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (runtime, replica, until) =
            (tokio::runtime::Handle::current(), replica.clone(), Arc::clone(&stop));
        let task = tokio::task::spawn_blocking(move || {
            runtime.block_on(write(&replica, version, &hash, &until))
        });
        Self { stop, task }
    }

    async fn stop(self) -> Result<(u64, f64), Failure> {
        self.stop.store(true, Ordering::SeqCst);
        Ok(self.task.await??)
    }
}

async fn write(
    replica: &Replica,
    from: u64,
    hash: &str,
    stop: &AtomicBool,
) -> Result<(u64, f64), String> {
    let (mut version, started) = (from, Instant::now());
    let mut tick = tokio::time::interval(PERIOD);
    while !stop.load(Ordering::SeqCst) {
        tick.tick().await;
        let change = |n| {
            let user = (version * CHANGES + n) % USERS;
            if n % 10 == 0 { rows::app_password(user, hash) } else { rows::user(user, version + 1) }
        };
        let delta = Delta {
            epoch: "bench".to_owned(),
            from_version: version,
            to_version: version + 1,
            upserts: (0..CHANGES).map(change).collect(),
            removals: vec![],
        };
        replica.apply(&delta).await.map_err(|error| error.to_string())?;
        version += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of changes")]
    let changes = ((version - from) * CHANGES) as f64;
    Ok((version, changes / started.elapsed().as_secs_f64()))
}
