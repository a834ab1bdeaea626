//! Taking a snapshot: rows wait in temporary tables and replace the directory in one transaction.

use umail_proto::agent::{DirectoryRow, SnapshotBegin, SnapshotEnd};

use super::{
    Files, Position, Replica, ReplicaError,
    apply::{begin, end, set_position},
    connection::composed,
    rows::{self, TABLES},
};

/// Prefix of the temporary tables.
const STAGE: &str = "temp.stage_";

/// Takes the rows of one snapshot. Readers see the old directory until `finish` has committed;
/// dropping the writer leaves the old one in place. One writer at a time: a later one wins.
pub struct SnapshotWriter {
    replica: Replica,
    begin: SnapshotBegin,
    rows: u64,
}

impl Replica {
    /// Begins a snapshot.
    pub async fn begin_snapshot(
        &self,
        begin: &SnapshotBegin,
    ) -> Result<SnapshotWriter, ReplicaError> {
        let mut files = self.files.lock().await;
        for table in TABLES {
            let name = table.name;
            let file = rows::file_of(&mut files, table);
            composed(format!("DROP TABLE IF EXISTS {STAGE}{name}")).execute(&mut *file).await?;
            composed(format!("CREATE TABLE {STAGE}{name} AS SELECT * FROM main.{name} WHERE 0"))
                .execute(file)
                .await?;
        }
        drop(files);
        Ok(SnapshotWriter { replica: self.clone(), begin: begin.clone(), rows: 0 })
    }
}

impl SnapshotWriter {
    /// Adds rows, sorted or not.
    pub async fn add(&mut self, rows: &[DirectoryRow]) -> Result<(), ReplicaError> {
        let mut files = self.replica.files.lock().await;
        begin(&mut files.secrets).await?;
        let staged = match begin(&mut files.directory).await {
            Ok(()) => stage(&mut files, rows).await,
            Err(error) => Err(error),
        };
        end(&mut files, staged).await?;
        drop(files);
        self.rows += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Replaces the directory by the rows added, if they are all there.
    pub async fn finish(self, last: &SnapshotEnd) -> Result<Position, ReplicaError> {
        if self.rows != last.rows {
            let text = format!("the snapshot has {} rows, {} came", last.rows, self.rows);
            return Err(ReplicaError::Refused(text));
        }
        let mut files = self.replica.files.lock().await;
        begin(&mut files.secrets).await?;
        let replaced = match begin(&mut files.directory).await {
            Ok(()) => self.replace(&mut files).await,
            Err(error) => Err(error),
        };
        end(&mut files, replaced).await?;
        for table in TABLES {
            composed(format!("DROP TABLE IF EXISTS {STAGE}{}", table.name))
                .execute(rows::file_of(&mut files, table))
                .await?;
        }
        Ok(Position { epoch: self.begin.epoch, version: self.begin.version })
    }

    async fn replace(&self, files: &mut Files) -> Result<(), ReplicaError> {
        for table in TABLES {
            let name = table.name;
            let file = rows::file_of(files, table);
            composed(format!("DELETE FROM main.{name}")).execute(&mut *file).await?;
            composed(format!(
                "INSERT OR REPLACE INTO main.{name} SELECT * FROM {STAGE}{name} ORDER BY 1"
            ))
            .execute(file)
            .await?;
        }
        set_position(&mut files.directory, &self.begin.epoch, self.begin.version).await
    }
}

async fn stage(files: &mut Files, rows: &[DirectoryRow]) -> Result<(), ReplicaError> {
    for row in rows {
        for record in rows::records(row)? {
            record.insert(files, STAGE).await?;
        }
    }
    Ok(())
}
