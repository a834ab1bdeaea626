//! Follows one log through rotation, truncation and restarts, line by line.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Read at most this much at once.
const CHUNK: usize = 1 << 20;
/// A line that is longer is skipped: no daemon writes one.
const LONGEST_LINE: usize = 64 << 10;
/// As much of a file's beginning tells it from another one with the same inode.
const HEAD: u64 = 256;

/// How far a log has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    inode: u64,
    /// The end of the last whole line.
    offset: u64,
    /// SHA-256 of the beginning, up to the offset.
    head: String,
}

/// Where to begin.
#[derive(Clone, Debug)]
pub(super) enum Begin {
    /// With whatever the log holds.
    AtStart,
    /// With what is written from now on.
    AtEnd,
    /// Where it was left.
    At(Position),
}

/// A log that grows, and is renamed or truncated now and then.
pub(super) struct Follower {
    path: PathBuf,
    begin: Begin,
    open: Option<Open>,
}

struct Open {
    file: File,
    inode: u64,
    offset: u64,
    /// What was read behind the last whole line.
    rest: Vec<u8>,
    is_skipping: bool,
    /// The log goes by another file already, and nothing came when this one was last read.
    is_over: bool,
}

impl Follower {
    pub(super) fn new(path: PathBuf, begin: Begin) -> Self {
        Self { path, begin, open: None }
    }

    /// How far whole lines have been read; none before the log was first seen.
    pub(super) fn position(&self) -> io::Result<Option<Position>> {
        let Some(open) = &self.open else {
            return Ok(match &self.begin {
                Begin::At(position) => Some(position.clone()),
                Begin::AtStart | Begin::AtEnd => None,
            });
        };
        let head = head(&open.file, open.offset)?;
        Ok(Some(Position { inode: open.inode, offset: open.offset, head }))
    }

    /// The lines that have been written since, at most a chunk of them. Empty when there is
    /// nothing new now.
    pub(super) fn read(&mut self) -> io::Result<Vec<String>> {
        if self.open.is_none() {
            self.open = self.begin()?;
        }
        let Some(open) = &mut self.open else { return Ok(Vec::new()) };
        let lines = open.read()?;
        if !lines.is_empty() || open.is_skipping {
            open.is_over = false;
            return Ok(lines);
        }
        let Some(next) = successor(&self.path, open.inode)? else { return Ok(lines) };
        if !open.is_over {
            // The daemon may write into the renamed file until it has opened the new one.
            open.is_over = true;
            return Ok(lines);
        }
        *open = Open::at(&next, 0)?;
        open.read()
    }

    fn begin(&self) -> io::Result<Option<Open>> {
        if let Begin::At(position) = &self.begin {
            for path in generations(&self.path)? {
                if let Some(open) = continued(&path, position)? {
                    return Ok(Some(open));
                }
            }
        }
        match fs::metadata(&self.path) {
            Ok(file) => {
                let is_at_end = matches!(self.begin, Begin::AtEnd);
                Open::at(&self.path, if is_at_end { file.len() } else { 0 }).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Open {
    fn at(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let inode = file.metadata()?.ino();
        file.seek(SeekFrom::Start(offset))?;
        let rest = Vec::new();
        Ok(Self { file, inode, offset, rest, is_skipping: false, is_over: false })
    }

    fn read(&mut self) -> io::Result<Vec<String>> {
        let read = self.offset + u64::try_from(self.rest.len()).unwrap_or_default();
        if self.file.metadata()?.len() < read {
            // Truncated in place: it begins anew.
            self.file.seek(SeekFrom::Start(0))?;
            self.offset = 0;
            self.rest.clear();
            self.is_skipping = false;
        }
        let mut chunk = Vec::with_capacity(8 << 10);
        let limit = u64::try_from(CHUNK).unwrap_or_default();
        (&self.file).take(limit).read_to_end(&mut chunk)?;
        self.rest.append(&mut chunk);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            self.skip();
            return Ok(Vec::new());
        };
        let tail = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, tail);
        self.offset += u64::try_from(whole.len()).unwrap_or_default();
        let skipped = usize::from(std::mem::take(&mut self.is_skipping));
        let text = String::from_utf8_lossy(&whole);
        Ok(text.lines().skip(skipped).map(str::to_owned).collect())
    }

    /// Gives up a line that has no end.
    fn skip(&mut self) {
        if self.rest.len() > LONGEST_LINE {
            self.offset += u64::try_from(self.rest.len()).unwrap_or_default();
            self.rest.clear();
            self.is_skipping = true;
        }
    }
}

/// Opens a file where it was left, if it is the one.
fn continued(path: &Path, position: &Position) -> io::Result<Option<Open>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let is_it = metadata.ino() == position.inode
        && metadata.len() >= position.offset
        && head(&file, position.offset)? == position.head;
    if is_it { Open::at(path, position.offset).map(Some) } else { Ok(None) }
}

/// The log and its renamed forerunners, oldest first. Compressed ones are not read.
fn generations(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut found = Vec::new();
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    for file in files {
        let file = file?;
        let other = file.file_name().to_string_lossy().into_owned();
        let is_compressed = [".gz", ".bz2", ".xz", ".zst"].iter().any(|end| other.ends_with(end));
        if other.starts_with(&prefix) && !is_compressed {
            let metadata = file.metadata()?;
            found.push(((metadata.mtime(), metadata.mtime_nsec()), file.path()));
        }
    }
    found.sort();
    let mut paths: Vec<_> = found.into_iter().map(|(_, path)| path).collect();
    if path.exists() {
        paths.push(path.to_owned());
    }
    Ok(paths)
}

/// The file that the log went on in after this one; none while this one is the log.
fn successor(path: &Path, inode: u64) -> io::Result<Option<PathBuf>> {
    if fs::metadata(path).is_ok_and(|file| file.ino() == inode) {
        return Ok(None);
    }
    let generations = generations(path)?;
    let at =
        generations.iter().position(|one| fs::metadata(one).is_ok_and(|file| file.ino() == inode));
    let next = at.map_or_else(|| generations.last(), |at| generations.get(at + 1));
    Ok(next.cloned())
}

fn head(file: &File, offset: u64) -> io::Result<String> {
    let length = usize::try_from(offset.min(HEAD)).unwrap_or_default();
    let mut head = vec![0; length];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(hex::encode(Sha256::digest(&head))),
        // Truncated meanwhile: like no other file.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(String::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    struct Log(tempfile::TempDir);

    impl Log {
        fn path(&self) -> PathBuf {
            self.0.path().join("postfix.log")
        }

        fn write(&self, text: &str) {
            append(&self.path(), text);
        }

        fn rotate(&self, suffix: &str) {
            fs::rename(self.path(), self.0.path().join(format!("postfix.log.{suffix}"))).unwrap();
        }

        fn follow(&self, begin: Begin) -> Follower {
            Follower::new(self.path(), begin)
        }
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn log() -> Log {
        Log(tempfile::tempdir().unwrap())
    }

    /// Everything until three readings in a row give nothing.
    fn drain(follower: &mut Follower) -> Vec<String> {
        let mut lines = Vec::new();
        let mut quiet = 0;
        while quiet < 3 {
            let read = follower.read().unwrap();
            quiet = if read.is_empty() { quiet + 1 } else { 0 };
            lines.extend(read);
        }
        lines
    }

    #[test]
    fn half_a_line_waits_for_its_other_half() {
        let log = log();
        let mut follower = log.follow(Begin::AtStart);
        assert!(drain(&mut follower).is_empty());
        log.write("one\ntw");
        assert_eq!(drain(&mut follower), ["one"]);
        let position = follower.position().unwrap().unwrap();
        log.write("o\n");
        assert_eq!(drain(&mut follower), ["two"]);
        assert_eq!(drain(&mut log.follow(Begin::At(position))), ["two"]);
    }

    #[test]
    fn a_rotated_log_is_read_to_its_end_first() {
        let log = log();
        let mut follower = log.follow(Begin::AtStart);
        log.write("one\n");
        assert_eq!(drain(&mut follower), ["one"]);
        log.write("two\n");
        log.rotate("1");
        assert_eq!(drain(&mut follower), ["two"]);
        append(&log.0.path().join("postfix.log.1"), "three, still into the old file\n");
        log.write("four\n");
        assert_eq!(drain(&mut follower), ["three, still into the old file", "four"]);
    }

    #[test]
    fn rotations_while_the_agent_was_away_lose_nothing() {
        let log = log();
        let mut follower = log.follow(Begin::AtStart);
        log.write("one\n");
        drain(&mut follower);
        let position = follower.position().unwrap().unwrap();
        drop(follower);
        for number in 2..4 {
            log.write(&format!("{number}\n"));
            log.rotate(&number.to_string());
        }
        log.write("4\n");
        assert_eq!(drain(&mut log.follow(Begin::At(position))), ["2", "3", "4"]);
    }

    #[test]
    fn a_truncated_log_begins_anew() {
        let log = log();
        let mut follower = log.follow(Begin::AtStart);
        log.write("one\ntwo\n");
        drain(&mut follower);
        File::create(log.path()).unwrap();
        log.write("1\n");
        assert_eq!(drain(&mut follower), ["1"]);
        let position = follower.position().unwrap().unwrap();
        // Truncated and longer than before while the agent was away.
        File::create(log.path()).unwrap();
        log.write("another\nlog\n");
        assert_eq!(drain(&mut log.follow(Begin::At(position))), ["another", "log"]);
    }

    #[test]
    fn a_lost_position_begins_at_the_end() {
        let log = log();
        log.write("counted already\n");
        let mut follower = log.follow(Begin::AtEnd);
        assert!(drain(&mut follower).is_empty());
        log.write("new\n");
        assert_eq!(drain(&mut follower), ["new"]);
    }

    #[test]
    fn a_line_without_end_is_skipped() {
        let log = log();
        let mut follower = log.follow(Begin::AtStart);
        log.write(&"x".repeat(3 << 20));
        assert!(drain(&mut follower).is_empty());
        log.write("\nnext\n");
        assert_eq!(drain(&mut follower), ["next"]);
    }
}
