//! Taking a snapshot: rows wait in a file and replace the directory in one transaction.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _},
};

use prost::Message as _;
use umail_proto::agent::{DirectoryRow, SnapshotBegin, SnapshotChunk, SnapshotEnd};

use super::{
    Files, Position, Replica, ReplicaError,
    apply::{begin_both, end, set_position},
    position,
    rows::{self, Batch},
    schema,
};
use crate::faults::{Point, reach};

/// Takes the rows of one snapshot. Readers see the old directory until `finish` has committed;
/// dropping the writer leaves the old one in place.
pub struct SnapshotWriter {
    replica: Replica,
    begin: SnapshotBegin,
    /// Chunks as they came, each behind its length. Has no name: it vanishes with the writer.
    waiting: BufWriter<File>,
    rows: u64,
}

impl Replica {
    /// Begins a snapshot.
    pub fn begin_snapshot(&self, begin: &SnapshotBegin) -> Result<SnapshotWriter, ReplicaError> {
        let folder = self.secrets_path.parent().ok_or(io::ErrorKind::NotFound);
        // Hashes pass through this file: it lies where only the agent and Dovecot's auth look.
        let file = tempfile::tempfile_in(folder.map_err(io::Error::from)?)?;
        let waiting = BufWriter::with_capacity(1 << 20, file);
        Ok(SnapshotWriter { replica: self.clone(), begin: begin.clone(), waiting, rows: 0 })
    }
}

impl SnapshotWriter {
    /// Adds rows; sorted by kind and key they are faster to load.
    pub fn add(&mut self, rows: Vec<DirectoryRow>) -> Result<(), ReplicaError> {
        for row in &rows {
            rows::records(row)?;
        }
        self.rows += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let chunk = SnapshotChunk { rows }.encode_to_vec();
        let length = u32::try_from(chunk.len()).map_err(io::Error::other)?;
        self.waiting.write_all(&length.to_le_bytes())?;
        self.waiting.write_all(&chunk)?;
        Ok(())
    }

    /// Replaces the directory by the rows added, if they are all there.
    pub async fn finish(self, last: &SnapshotEnd) -> Result<Position, ReplicaError> {
        if self.rows != last.rows {
            let text = format!("the snapshot has {} rows, {} came", last.rows, self.rows);
            return Err(ReplicaError::Refused(text));
        }
        let mut waiting = self.waiting.into_inner().map_err(io::IntoInnerError::into_error)?;
        waiting.rewind()?;
        reach(Point::SnapshotWaits);
        let mut files = self.replica.files.lock().await;
        let replaced = match begin_both(&mut files).await {
            Ok(()) => replace(&mut files, waiting, &self.begin).await,
            Err(error) => Err(error),
        };
        end(&mut files, replaced).await?;
        Ok(Position { epoch: self.begin.epoch, version: self.begin.version })
    }
}

/// Writes the rows into emptied tables. The first time indexes are made afterwards, which is
/// several times faster than keeping them up row by row. Later they stay: Dovecot fails one
/// lookup of every connection when the schema changes.
async fn replace(files: &mut Files, waiting: File, to: &SnapshotBegin) -> Result<(), ReplicaError> {
    if position(&mut files.directory).await?.is_none() {
        sqlx::raw_sql(schema::DROP_INDEXES).execute(&mut files.directory).await?;
        reach(Point::IndexesDropped);
    }
    rows::clear_all(files).await?;
    reach(Point::TablesCleared);
    let mut waiting = BufReader::with_capacity(1 << 20, waiting);
    let mut batch = Batch::default();
    while let Some(chunk) = read_chunk(&mut waiting)? {
        for row in &chunk.rows {
            for record in rows::records(row)? {
                batch.add(files, record).await?;
            }
        }
    }
    batch.finish(files).await?;
    reach(Point::TablesFilled);
    sqlx::raw_sql(schema::INDEXES).execute(&mut files.directory).await?;
    reach(Point::IndexesMade);
    set_position(&mut files.directory, &to.epoch, to.version).await
}

/// The next chunk; none at the end.
fn read_chunk(waiting: &mut impl io::Read) -> Result<Option<SnapshotChunk>, ReplicaError> {
    let mut length = [0; 4];
    match waiting.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u64::from(u32::from_le_bytes(length));
    let mut chunk = Vec::new();
    waiting.take(length).read_to_end(&mut chunk)?;
    SnapshotChunk::decode(chunk.as_slice())
        .map(Some)
        .map_err(|error| io::Error::other(error).into())
}
