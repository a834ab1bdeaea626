//! Applying a delta: one transaction per file, secrets first.

use sqlx::SqliteConnection;
use umail_proto::agent::{Delta, RowKind};

use super::{
    Files, Position, Replica, ReplicaError,
    connection::statement,
    position,
    rows::{self, Batch},
};
use crate::faults::{Point, reach};

impl Replica {
    /// Applies a delta that begins where the replica stands. One that was applied already changes
    /// nothing; any other is refused.
    pub async fn apply(&self, delta: &Delta) -> Result<Position, ReplicaError> {
        let mut files = self.files.lock().await;
        let have = position(&mut files.directory).await?;
        let reached = Position { epoch: delta.epoch.clone(), version: delta.to_version };
        match &have {
            Some(have) if have.epoch != delta.epoch => {
                return Err(ReplicaError::WrongEpoch(delta.epoch.clone()));
            }
            Some(have) if *have == reached => return Ok(reached),
            Some(have) if have.version == delta.from_version => {}
            _ => {
                let have = have.map(|have| have.version);
                return Err(ReplicaError::WrongVersion { have, got: delta.from_version });
            }
        }
        let written = match begin_both(&mut files).await {
            Ok(()) => write(&mut files, delta).await,
            Err(error) => Err(error),
        };
        end(&mut files, written).await?;
        Ok(reached)
    }
}

/// Writes removals and upserts inside open transactions.
async fn write(files: &mut Files, delta: &Delta) -> Result<(), ReplicaError> {
    for key in &delta.removals {
        rows::remove(files, key).await?;
        if key.kind() == RowKind::User {
            statement("DELETE FROM frozen WHERE user_id = ?")
                .bind(key.id.clone())
                .execute(&mut files.directory)
                .await?;
        }
    }
    reach(Point::RowsRemoved);
    let mut batch = Batch::default();
    for row in &delta.upserts {
        let records = rows::records(row)?;
        rows::clear(files, row).await?;
        for record in records {
            batch.add(files, record).await?;
        }
    }
    batch.finish(files).await?;
    reach(Point::RowsUpserted);
    set_position(&mut files.directory, &delta.epoch, delta.to_version).await
}

/// Notes where the replica stands, inside the transaction that brought it there.
pub(super) async fn set_position(
    directory: &mut SqliteConnection,
    epoch: &str,
    version: u64,
) -> Result<(), ReplicaError> {
    statement("INSERT OR REPLACE INTO position (one, epoch, version) VALUES (1, ?, ?)")
        .bind(epoch)
        .bind(version.cast_signed())
        .execute(directory)
        .await?;
    Ok(())
}

/// Begins a write transaction in both files.
pub(super) async fn begin_both(files: &mut Files) -> Result<(), ReplicaError> {
    begin(&mut files.secrets).await?;
    reach(Point::SecretsBegun);
    begin(&mut files.directory).await?;
    reach(Point::BothBegun);
    Ok(())
}

/// Begins a write transaction.
async fn begin(file: &mut SqliteConnection) -> Result<(), ReplicaError> {
    // A caller that was dropped in the middle of a transaction leaves it open.
    rollback(file).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(file).await?;
    Ok(())
}

/// Commits both files, secrets first: the position in the directory must not run ahead of them.
pub(super) async fn end(
    files: &mut Files,
    written: Result<(), ReplicaError>,
) -> Result<(), ReplicaError> {
    let committed = match written {
        Ok(()) => commit(files).await,
        Err(error) => Err(error),
    };
    if committed.is_err() {
        rollback(&mut files.secrets).await;
        rollback(&mut files.directory).await;
    }
    committed
}

async fn commit(files: &mut Files) -> Result<(), ReplicaError> {
    reach(Point::PositionWritten);
    sqlx::raw_sql("COMMIT").execute(&mut files.secrets).await?;
    reach(Point::SecretsCommitted);
    sqlx::raw_sql("COMMIT").execute(&mut files.directory).await?;
    reach(Point::BothCommitted);
    Ok(())
}

async fn rollback(file: &mut SqliteConnection) {
    // Fails when there is nothing to roll back, and that is fine.
    sqlx::raw_sql("ROLLBACK").execute(file).await.ok();
}
