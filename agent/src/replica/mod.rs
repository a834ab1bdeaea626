//! The replica: the directory in SQLite files that Postfix and Dovecot read themselves.
//!
//! `directory.sqlite` holds everything but password hashes, and the position; `secrets.sqlite`
//! holds the hashes. Both are written in place, never replaced, each in one transaction, secrets
//! first: whatever is repeated after a crash changes nothing.

mod apply;
mod check;
mod connection;
mod lookup;
mod reader;
mod rows;
mod schema;
mod snapshot;

use std::{path::PathBuf, sync::Arc};

use sqlx::{Row as _, SqliteConnection};
use tokio::sync::Mutex;

pub(crate) use self::connection::statement;
pub use self::{
    reader::{ClosedGroup, Hosted, Reader, Sender},
    snapshot::SnapshotWriter,
};
use crate::{durable, layout::Layout};

/// Where a replica stands in the stream of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Life of the control plane's database.
    pub epoch: String,
    /// Version of the directory.
    pub version: u64,
}

/// Why the replica did not take or give something.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The delta does not begin where the replica stands.
    #[error("the replica stands at {have:?}, the delta begins at {got}")]
    WrongVersion {
        /// Where the replica stands; none before the first snapshot.
        have: Option<u64>,
        /// Where the delta begins.
        got: u64,
    },
    /// The delta belongs to another life of the control plane's database.
    #[error("the delta is of epoch {0}, which is not the replica's")]
    WrongEpoch(String),
    /// A row that no directory may hold.
    #[error("refused row: {0}")]
    Refused(String),
    /// A file is missing, was replaced, or does not hold together.
    #[error("damaged replica: {0}")]
    Damaged(String),
    /// SQLite failed.
    #[error("replica: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// The file system failed.
    #[error("replica: {0}")]
    Io(#[from] std::io::Error),
}

/// What SQLite says when there is no room: `SQLITE_FULL`, and `SQLITE_IOERR_SHMSIZE` for the index
/// of its log.
const FULL: [&str; 2] = ["13", "4874"];

impl ReplicaError {
    /// Whether there was no room for what was to be written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io(error) => durable::is_full(error),
            Self::Sqlite(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| FULL.contains(&code.as_ref()))
            }
            _ => false,
        }
    }
}

/// The two files, each with the one connection that stays open for life.
pub(crate) struct Files {
    pub(crate) directory: SqliteConnection,
    pub(crate) secrets: SqliteConnection,
    directory_id: Option<(u64, u64)>,
    secrets_id: Option<(u64, u64)>,
}

/// The node's copy of the directory. Cheap to clone; writers wait for each other.
#[derive(Clone)]
pub struct Replica {
    files: Arc<Mutex<Files>>,
    directory_path: PathBuf,
    secrets_path: PathBuf,
}

impl Replica {
    /// Opens the replica and creates what is missing: an empty one answers every lookup with a
    /// temporary failure, never with "unknown".
    pub async fn open(layout: &Layout) -> Result<Self, ReplicaError> {
        let (directory_path, secrets_path) = (layout.directory_db(), layout.secrets_db());
        let directory = connection::open_directory(&directory_path).await?;
        let secrets = connection::open_secrets(&secrets_path).await?;
        let directory_id = check::file_id(&directory_path);
        let secrets_id = check::file_id(&secrets_path);
        let files = Files { directory, secrets, directory_id, secrets_id };
        let files = Arc::new(Mutex::new(files));
        Ok(Self { files, directory_path, secrets_path })
    }

    /// Where the replica stands; none before the first snapshot.
    pub async fn position(&self) -> Result<Option<Position>, ReplicaError> {
        position(&mut self.files.lock().await.directory).await
    }

    /// From now on deliveries to this user and its logins fail temporarily. On the disk when it
    /// returns: the answer is the barrier of a move.
    pub async fn freeze(&self, user_id: &str, move_id: &str) -> Result<(), ReplicaError> {
        let mut files = self.files.lock().await;
        sqlx::raw_sql("PRAGMA synchronous = FULL").execute(&mut files.directory).await?;
        let frozen = statement("INSERT OR REPLACE INTO frozen (user_id, move_id) VALUES (?, ?)")
            .bind(user_id)
            .bind(move_id)
            .execute(&mut files.directory)
            .await;
        sqlx::raw_sql("PRAGMA synchronous = NORMAL").execute(&mut files.directory).await?;
        frozen?;
        Ok(())
    }

    /// Ends the freeze of this move.
    pub async fn unfreeze(&self, user_id: &str, move_id: &str) -> Result<(), ReplicaError> {
        statement("DELETE FROM frozen WHERE user_id = ? AND move_id = ?")
            .bind(user_id)
            .bind(move_id)
            .execute(&mut self.files.lock().await.directory)
            .await?;
        Ok(())
    }

    /// Refuses logins of `addr:<network>`, `user:<address>` or `pair:<address>|<network>` until
    /// this time, in seconds since 1970. A network is an IPv4 address, or an IPv6 prefix such as
    /// `2001:db8:0:0::/64`.
    pub async fn throttle(&self, key: &str, until_unix_seconds: i64) -> Result<(), ReplicaError> {
        let mut files = self.files.lock().await;
        statement("DELETE FROM throttle WHERE until <= unixepoch() - 86400")
            .execute(&mut files.directory)
            .await?;
        statement("INSERT OR REPLACE INTO throttle (key, until) VALUES (?, ?)")
            .bind(key)
            .bind(until_unix_seconds)
            .execute(&mut files.directory)
            .await?;
        Ok(())
    }

    /// Refuses mail for this user for now, since the mailbox is full, until this time, in seconds
    /// since 1970.
    pub async fn full(&self, address: &str, until_unix_seconds: i64) -> Result<(), ReplicaError> {
        let Some((local_part, domain)) = address.rsplit_once('@') else { return Ok(()) };
        let mut files = self.files.lock().await;
        statement("DELETE FROM full_mailbox WHERE until <= unixepoch()")
            .execute(&mut files.directory)
            .await?;
        statement(
            "INSERT OR REPLACE INTO full_mailbox (user_id, until)
             SELECT user_id, ? FROM account WHERE local_part = ? AND domain = ?",
        )
        .bind(until_unix_seconds)
        .bind(local_part.to_owned())
        .bind(domain.to_owned())
        .execute(&mut files.directory)
        .await?;
        Ok(())
    }

    /// Sets what the views take from the node's settings, such as `postmaster_address`.
    pub async fn set_setting(&self, key: &str, value: &str) -> Result<(), ReplicaError> {
        statement(
            "INSERT INTO setting (key, value) VALUES (?, ?)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(&mut self.files.lock().await.directory)
        .await?;
        Ok(())
    }

    /// The address of this user; none when the replica does not know it.
    pub async fn user_address(&self, user_id: &str) -> Result<Option<String>, ReplicaError> {
        let row = statement("SELECT address FROM account WHERE user_id = ?")
            .bind(user_id)
            .fetch_optional(&mut self.files.lock().await.directory)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// The node that holds the mailbox of this user, empty while it is not placed; none when the
    /// replica does not know the user.
    pub async fn storage_node(&self, user_id: &str) -> Result<Option<String>, ReplicaError> {
        let row = statement("SELECT storage_node_id FROM user WHERE id = ?")
            .bind(user_id)
            .fetch_optional(&mut self.files.lock().await.directory)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Ids of the users whose mailboxes this node holds, sorted.
    pub async fn users_on(&self, node_id: &str) -> Result<Vec<String>, ReplicaError> {
        statement("SELECT id FROM user WHERE storage_node_id = ? ORDER BY id")
            .bind(node_id)
            .fetch_all(&mut self.files.lock().await.directory)
            .await?
            .iter()
            .map(|row| Ok(row.try_get(0)?))
            .collect()
    }
}

pub(crate) async fn position(
    directory: &mut SqliteConnection,
) -> Result<Option<Position>, ReplicaError> {
    let row = statement("SELECT epoch, version FROM position").fetch_optional(directory).await?;
    let Some(row) = row else { return Ok(None) };
    let version: i64 = row.try_get(1)?;
    Ok(Some(Position { epoch: row.try_get(0)?, version: version.cast_unsigned() }))
}
