//! The spool: counted reports that wait on the disk until the server has committed them.
//!
//! One file a report, and one file `bookmark` that says how far the logs were read for them. The
//! bookmark is written last and names the newest report that it covers: a report beyond it was
//! never finished, its lines are counted again, and it is removed. So every line counts once.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use prost::Message as _;
use prost_types::Timestamp;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use tokio::sync::Notify;
use umail_proto::{
    agent::{AcceptedReports, Alarm, AppPasswordUse, MailboxUsage, TrafficCount, TrafficReport},
    clock::Clock,
};

use crate::{durable, layout::Layout};

/// The oldest reports are dropped when more are waiting.
const MAX_REPORTS: usize = 100_000;
/// The oldest reports are dropped when they take more.
const MAX_BYTES: u64 = 256 << 20;
/// Older reports are dropped.
const MAX_AGE: Duration = Duration::days(31);
/// The length of a SHA-256, which stands before the content of every file.
const DIGEST: usize = 32;

/// What was counted in one interval.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// Messages and bytes, one entry a kind.
    pub counts: Vec<TrafficCount>,
    /// Mailboxes whose size has changed.
    pub usage: Vec<MailboxUsage>,
    /// App passwords that have been used.
    pub app_password_uses: Vec<AppPasswordUse>,
    /// When the interval began; none stands for 1970.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended; none stands for 1970.
    pub ended_at: Option<OffsetDateTime>,
}

/// How far the logs have been read, as it was found when the spool was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bookmark {
    /// There never was one: nothing has been counted yet.
    Fresh,
    /// What the meters last wrote.
    At(Vec<u8>),
    /// It was damaged: what has been counted is not known.
    Lost,
}

/// Reports that the server has not committed yet. All of it can be used from several tasks.
pub struct Spool {
    folder: PathBuf,
    clock: Clock,
    boot: String,
    found: Bookmark,
    waiting: Mutex<Waiting>,
    appended: Notify,
}

/// The index of the files, and what was lost.
#[derive(Default)]
struct Waiting {
    reports: BTreeMap<u64, Entry>,
    /// The ordinal of the newest report there ever was.
    newest: u64,
    /// The sequence of the newest report of this boot.
    sequence: u64,
    bytes: u64,
    dropped: u64,
    damaged: u64,
    /// Why the last thing could not be written.
    unwritten: Option<String>,
}

struct Entry {
    path: PathBuf,
    boot: String,
    sequence: u64,
    bytes: u64,
}

impl Spool {
    /// Opens the spool, makes its folder and mints this boot.
    pub fn open(layout: &Layout, clock: Clock) -> io::Result<Self> {
        let folder = layout.agent().join("spool");
        fs::create_dir_all(&folder)?;
        let (found, covered) = read_bookmark(&folder.join("bookmark"))?;
        let mut waiting = Waiting { newest: covered.unwrap_or_default(), ..Waiting::default() };
        for file in fs::read_dir(&folder)? {
            let file = file?;
            let Some((ordinal, entry)) = Entry::of(&file.path(), file.metadata()?.len()) else {
                continue;
            };
            if covered.is_some_and(|covered| ordinal > covered) {
                fs::remove_file(file.path())?;
            } else {
                waiting.newest = waiting.newest.max(ordinal);
                waiting.bytes += entry.bytes;
                waiting.reports.insert(ordinal, entry);
            }
        }
        // Reports without a bookmark: it vanished, and the lines behind them count already.
        let is_lost = found == Bookmark::Fresh && !waiting.reports.is_empty();
        Ok(Self {
            folder,
            clock,
            boot: uuid::Uuid::new_v4().to_string(),
            found: if is_lost { Bookmark::Lost } else { found },
            waiting: Mutex::new(waiting),
            appended: Notify::new(),
        })
    }

    /// The life of this process, a UUID: reports are numbered within it.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// How far the logs had been read when the spool was opened.
    #[must_use]
    pub const fn bookmark(&self) -> &Bookmark {
        &self.found
    }

    /// Spools one interval together with how far the logs were read for it: both or neither.
    pub fn append(&self, interval: Interval, bookmark: &[u8]) -> io::Result<()> {
        let mut waiting = self.waiting();
        let written = self.append_to(&mut waiting, interval, bookmark);
        waiting.remember(&written);
        drop(waiting);
        if written.is_ok() {
            self.appended.notify_one();
        }
        written
    }

    fn append_to(
        &self,
        waiting: &mut Waiting,
        interval: Interval,
        bookmark: &[u8],
    ) -> io::Result<()> {
        let (ordinal, sequence) = (waiting.newest + 1, waiting.sequence + 1);
        let report = TrafficReport {
            boot: self.boot.clone(),
            sequence,
            started_at: Some(timestamp(interval.started_at)),
            ended_at: Some(timestamp(interval.ended_at)),
            counts: interval.counts,
            usage: interval.usage,
            app_password_uses: interval.app_password_uses,
        };
        let path = self.folder.join(format!("{ordinal:016x}.{sequence}.{}.report", self.boot));
        let content = sealed(&report.encode_to_vec());
        durable::write(&path, &content, 0o600)?;
        if let Err(error) = self.write_bookmark(ordinal, bookmark) {
            fs::remove_file(&path).ok();
            return Err(error);
        }
        let bytes = u64::try_from(content.len()).unwrap_or_default();
        waiting.newest = ordinal;
        waiting.sequence = sequence;
        waiting.bytes += bytes;
        let entry = Entry { path, boot: self.boot.clone(), sequence, bytes };
        waiting.reports.insert(ordinal, entry);
        while waiting.reports.len() > MAX_REPORTS || waiting.bytes > MAX_BYTES {
            waiting.drop_oldest();
        }
        Ok(())
    }

    /// Notes how far the logs were read when there was nothing to count.
    pub fn note(&self, bookmark: &[u8]) -> io::Result<()> {
        let mut waiting = self.waiting();
        let written = self.write_bookmark(waiting.newest, bookmark);
        waiting.remember(&written);
        written
    }

    /// Why the last report, or how far the logs were read, could not be written; none when it was.
    #[must_use]
    pub fn unwritten(&self) -> Option<String> {
        self.waiting().unwritten.clone()
    }

    /// The oldest reports, of any boot, at most this many.
    pub fn oldest(&self, limit: usize) -> io::Result<Vec<TrafficReport>> {
        let mut waiting = self.waiting();
        let horizon = (self.clock.now() - MAX_AGE).unix_timestamp();
        let mut reports = Vec::new();
        let mut unusable = Vec::new();
        for (ordinal, entry) in &waiting.reports {
            if reports.len() >= limit {
                break;
            }
            match read_report(&entry.path)? {
                Some(report) if is_young(&report, horizon) => reports.push(report),
                found => unusable.push((*ordinal, found.is_some())),
            }
        }
        for (ordinal, is_old) in unusable {
            waiting.remove(ordinal);
            let lost = if is_old { &mut waiting.dropped } else { &mut waiting.damaged };
            *lost += 1;
        }
        Ok(reports)
    }

    /// Forgets what the server has committed.
    pub fn accepted(&self, accepted: &[AcceptedReports]) -> io::Result<()> {
        let mut waiting = self.waiting();
        let done: Vec<u64> = waiting
            .reports
            .iter()
            .filter(|(_, entry)| {
                accepted.iter().any(|one| one.boot == entry.boot && entry.sequence <= one.sequence)
            })
            .map(|(ordinal, _)| *ordinal)
            .collect();
        for ordinal in done {
            if let Some(entry) = waiting.reports.get(&ordinal) {
                // Sent once more if it stays: the server counts it once.
                ignore_missing(fs::remove_file(&entry.path))?;
            }
            waiting.remove(ordinal);
        }
        Ok(())
    }

    /// Told whenever there is a new report.
    #[must_use]
    pub const fn appended(&self) -> &Notify {
        &self.appended
    }

    /// How many reports wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting().reports.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was lost since the agent started.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        let waiting = self.waiting();
        let alarm = |kind: &str, detail| Alarm { kind: kind.to_owned(), detail };
        let mut alarms = Vec::new();
        if waiting.dropped > 0 {
            let detail = format!("{} reports were dropped: too many or too old", waiting.dropped);
            alarms.push(alarm("spool_dropped", detail));
        }
        if waiting.damaged > 0 || self.found == Bookmark::Lost {
            let bookmark = if self.found == Bookmark::Lost { " and the bookmark" } else { "" };
            let detail = format!("{} reports{bookmark} were damaged", waiting.damaged);
            alarms.push(alarm("spool_damaged", detail));
        }
        alarms
    }

    fn write_bookmark(&self, covered: u64, bookmark: &[u8]) -> io::Result<()> {
        let mut content = covered.to_be_bytes().to_vec();
        content.extend_from_slice(bookmark);
        durable::write(&self.folder.join("bookmark"), &sealed(&content), 0o600)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn remember(&mut self, written: &io::Result<()>) {
        self.unwritten = written.as_ref().err().map(ToString::to_string);
    }

    fn remove(&mut self, ordinal: u64) {
        if let Some(entry) = self.reports.remove(&ordinal) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            fs::remove_file(&entry.path).ok();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(ordinal) = self.reports.keys().next().copied() {
            self.remove(ordinal);
            self.dropped += 1;
        }
    }
}

impl Entry {
    /// Reads a file name, `ordinal.sequence.boot.report`.
    fn of(path: &Path, bytes: u64) -> Option<(u64, Self)> {
        let name = path.file_name()?.to_str()?.strip_suffix(".report")?;
        let mut parts = name.splitn(3, '.');
        let ordinal = u64::from_str_radix(parts.next()?, 16).ok()?;
        let sequence = parts.next()?.parse().ok()?;
        let boot = parts.next()?.to_owned();
        Some((ordinal, Self { path: path.to_owned(), boot, sequence, bytes }))
    }
}

/// The content behind its SHA-256: a file that was torn or damaged is noticed.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut sealed = Sha256::digest(content).to_vec();
    sealed.extend_from_slice(content);
    sealed
}

fn unsealed(sealed: &[u8]) -> Option<&[u8]> {
    let (digest, content) = sealed.split_at_checked(DIGEST)?;
    (Sha256::digest(content)[..] == *digest).then_some(content)
}

fn read_bookmark(path: &Path) -> io::Result<(Bookmark, Option<u64>)> {
    let Some(sealed) = durable::read(path)? else { return Ok((Bookmark::Fresh, None)) };
    let parts = unsealed(&sealed).and_then(<[u8]>::split_first_chunk::<8>);
    Ok(match parts {
        Some((covered, rest)) => (Bookmark::At(rest.to_vec()), Some(u64::from_be_bytes(*covered))),
        None => (Bookmark::Lost, None),
    })
}

/// None when the file is gone, torn or damaged.
fn read_report(path: &Path) -> io::Result<Option<TrafficReport>> {
    let sealed = durable::read(path)?.unwrap_or_default();
    Ok(unsealed(&sealed).and_then(|content| TrafficReport::decode(content).ok()))
}

fn is_young(report: &TrafficReport, horizon: i64) -> bool {
    report.ended_at.as_ref().is_some_and(|time| time.seconds >= horizon)
}

fn timestamp(time: Option<OffsetDateTime>) -> Timestamp {
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond().cast_signed() }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use umail_proto::agent::TrafficKind;

    use super::*;

    fn open(folder: &Path, clock: &Clock) -> Spool {
        Spool::open(&Layout::new(folder), clock.clone()).unwrap()
    }

    fn received(messages: u64, clock: &Clock) -> Interval {
        let kind = TrafficKind::Received.into();
        let now = Some(clock.now());
        let counts = vec![TrafficCount { kind, messages, bytes: 0 }];
        Interval { counts, started_at: now, ended_at: now, ..Interval::default() }
    }

    fn messages(spool: &Spool) -> Vec<u64> {
        spool.oldest(500).unwrap().iter().map(|report| report.counts[0].messages).collect()
    }

    #[test]
    fn reports_of_all_boots_wait_in_order_until_they_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let first = open(folder.path(), &clock);
        assert_eq!(first.bookmark(), &Bookmark::Fresh);
        first.append(received(1, &clock), b"a").unwrap();
        first.append(received(2, &clock), b"b").unwrap();
        let second = open(folder.path(), &clock);
        assert_eq!(second.bookmark(), &Bookmark::At(b"b".to_vec()));
        second.append(received(3, &clock), b"c").unwrap();
        assert_eq!(messages(&second), [1, 2, 3]);
        let reports = second.oldest(500).unwrap();
        assert_eq!(reports.iter().map(|one| one.sequence).collect::<Vec<_>>(), [1, 2, 1]);
        let one = AcceptedReports { boot: first.boot().to_owned(), sequence: 1 };
        second.accepted(std::slice::from_ref(&one)).unwrap();
        second.accepted(&[one]).unwrap();
        assert_eq!(messages(&second), [2, 3]);
        let all = AcceptedReports { boot: second.boot().to_owned(), sequence: 1 };
        second.accepted(&[all]).unwrap();
        assert_eq!(messages(&open(folder.path(), &clock)), [2]);
    }

    #[test]
    fn a_bookmark_outlives_the_reports_it_covers() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let spool = open(folder.path(), &clock);
        spool.append(received(1, &clock), b"a").unwrap();
        let all = AcceptedReports { boot: spool.boot().to_owned(), sequence: 9 };
        spool.accepted(&[all]).unwrap();
        spool.note(b"later").unwrap();
        let next = open(folder.path(), &clock);
        assert_eq!(next.bookmark(), &Bookmark::At(b"later".to_vec()));
        next.append(received(2, &clock), b"x").unwrap();
        assert_eq!(messages(&open(folder.path(), &clock)), [2]);
    }

    #[test]
    fn a_report_that_was_never_finished_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let spool = open(folder.path(), &clock);
        spool.append(received(1, &clock), b"a").unwrap();
        let bookmark = spool.folder.join("bookmark");
        let before = fs::read(&bookmark).unwrap();
        spool.append(received(2, &clock), b"b").unwrap();
        // Killed between the report and the bookmark.
        fs::write(&bookmark, before).unwrap();
        let next = open(folder.path(), &clock);
        assert_eq!(messages(&next), [1]);
        assert_eq!(next.bookmark(), &Bookmark::At(b"a".to_vec()));
    }

    #[test]
    fn torn_files_are_noticed_and_do_not_stop_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let spool = open(folder.path(), &clock);
        for number in 1..4 {
            spool.append(received(number, &clock), b"a").unwrap();
        }
        let path = spool.waiting().reports[&2].path.clone();
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..content.len() - 1]).unwrap();
        assert_eq!(messages(&spool), [1, 3]);
        assert_eq!(spool.alarms()[0].kind, "spool_damaged");
        fs::write(spool.folder.join("bookmark"), b"torn").unwrap();
        assert_eq!(open(folder.path(), &clock).bookmark(), &Bookmark::Lost);
        fs::remove_file(spool.folder.join("bookmark")).unwrap();
        assert_eq!(open(folder.path(), &clock).bookmark(), &Bookmark::Lost);
    }

    #[test]
    fn reports_that_are_too_old_are_dropped_with_an_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let spool = open(folder.path(), &clock);
        spool.append(received(1, &clock), b"").unwrap();
        clock.advance(MAX_AGE + Duration::seconds(1));
        spool.append(received(2, &clock), b"").unwrap();
        assert_eq!(messages(&spool), [2]);
        assert_eq!(spool.alarms()[0].kind, "spool_dropped");
        assert_eq!(spool.len(), 1);
    }

    #[test]
    fn a_full_disk_leaves_the_spool_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let spool = open(folder.path(), &clock);
        spool.append(received(1, &clock), b"a").unwrap();
        // A folder in the way of the new bookmark fails the second of the two files.
        let obstacle = spool.folder.join("bookmark.new");
        fs::create_dir(&obstacle).unwrap();
        assert!(spool.append(received(2, &clock), b"b").is_err());
        assert_eq!(messages(&spool), [1]);
        fs::remove_dir(&obstacle).unwrap();
        spool.append(received(3, &clock), b"c").unwrap();
        assert_eq!(spool.oldest(9).unwrap()[1].sequence, 2);
    }
}
