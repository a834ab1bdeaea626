//! Dumps of databases as `mysqldump`, `mariadb-dump` and `pg_dump` write them: read once from the
//! beginning to the end, row by row. Whatever stands in a dump, no more of it is in memory than the
//! wanted columns of one row.

mod bytes;
mod reader;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead};

pub use self::reader::{Read, read};

/// Bytes of a value at most; more is told as [`Value::TooLong`].
pub const MAX_VALUE: usize = 1024 * 1024;
/// Values of a row at most.
const MAX_VALUES: usize = 4096;
/// Bytes of a name or a word at most.
const MAX_WORD: usize = 256;

/// A table of which rows are wanted, with the columns that are.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Columns; one that a dump does not have is [`Value::Absent`].
    pub columns: &'static [&'static str],
}

/// What stands in a column of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// The dump has no such column.
    #[default]
    Absent,
    /// Null.
    Null,
    /// Anything else, as text: numbers and truth values as they are written.
    Text(Vec<u8>),
    /// More than anybody could have meant.
    TooLong,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The table.
    pub table: &'static str,
    /// The line of the dump that it begins in.
    pub line: u64,
    columns: &'static [&'static str],
    values: Vec<Value>,
}

impl Row {
    /// What stands in a column.
    #[must_use]
    pub fn value(&self, column: &str) -> &Value {
        let at = self.columns.iter().position(|one| *one == column);
        at.and_then(|at| self.values.get(at)).unwrap_or(&Value::Absent)
    }
}

/// Why a dump cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Unreadable {
    /// The line.
    pub line: u64,
    /// The reason.
    pub reason: String,
}

/// A dump from which rows of tables are to be taken.
#[derive(Debug)]
pub struct Dump<R> {
    /// Where it comes from.
    pub input: R,
    /// The tables.
    pub tables: &'static [Table],
    /// What all names of tables begin with, in the dump.
    pub prefix: String,
}

impl<R: BufRead> Dump<R> {
    /// Reads the dump to its end, and hands over each row.
    pub fn read(self, each: impl FnMut(Row)) -> Result<Read, Unreadable> {
        read(self, each)
    }
}

/// What a file is that is no text of SQL, by its first bytes.
fn foreign(first: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 7] = [
        (b"\x1f\x8b", "is compressed: unpack it first, as with `zcat`"),
        (b"\x28\xb5\x2f\xfd", "is compressed: unpack it first, as with `zstdcat`"),
        (b"\xfd7zXZ", "is compressed: unpack it first, as with `xzcat`"),
        (b"BZh", "is compressed: unpack it first, as with `bzcat`"),
        (b"PGDMP", "is no SQL: `pg_restore -f dump.sql` makes it of a custom dump"),
        (b"\xff\xfe", "is UTF-16, as a shell made it: dump with `--result-file`"),
        (b"\xfe\xff", "is UTF-16, as a shell made it: dump with `--result-file`"),
    ];
    KNOWN.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, reason)| *reason)
}

fn unreadable(line: u64, reason: impl Into<String>) -> Unreadable {
    Unreadable { line, reason: reason.into() }
}

fn failed(line: u64, cause: &io::Error) -> Unreadable {
    unreadable(line, format!("the dump cannot be read: {cause}"))
}
