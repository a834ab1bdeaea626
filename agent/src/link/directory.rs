//! Following the directory: from where the replica stands, into the replica, one version after
//! the other.

use umail_proto::agent::{
    WatchDirectoryRequest, WatchDirectoryResponse, watch_directory_response::Event,
};

use super::{Backoff, Client, LinkError, within};
use crate::{
    replica::{Position, ReplicaError, SnapshotWriter},
    state::State,
    status::AlarmKind,
};

/// The newest schema of rows that this agent knows.
const SCHEMA: u32 = 1;

#[derive(Debug, thiserror::Error)]
enum DirectoryError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
}

/// Follows the directory for as long as the connection holds.
pub(super) async fn follow(state: &State, mut client: Client) {
    let mut backoff = Backoff::new(state.pace.pause);
    loop {
        match watch(state, &mut client, &mut backoff).await {
            Ok(()) => {}
            Err(DirectoryError::Link(error)) => {
                tracing::debug!(%error, "the stream of the directory has ended");
            }
            Err(DirectoryError::Replica(error)) if error.is_full() => {
                state.status.disk_full("replica", Some(error.to_string()));
            }
            Err(error) => {
                state.status.alarm(AlarmKind::DirectoryRefused, Some(error.to_string()));
            }
        }
        backoff.pause().await;
    }
}

/// Follows one stream until it ends, or the replica stands elsewhere than the server believes.
async fn watch(
    state: &State,
    client: &mut Client,
    backoff: &mut Backoff,
) -> Result<(), DirectoryError> {
    let mut desired = state.ledger.watch();
    let mut epoch = desired.borrow_and_update().as_ref().map(|desired| desired.epoch.clone());
    let position = state.replica.position().await?;
    let (epoch_of_replica, version) =
        position.map_or_else(Default::default, |at| (at.epoch, at.version));
    let request = WatchDirectoryRequest { epoch: epoch_of_replica, version, schema: SCHEMA };
    let call = client.watch_directory(request);
    let mut stream = within(state.pace.call_limit, call).await?.into_inner();
    let mut intake = Intake { state, snapshot: None };
    loop {
        let message = tokio::select! {
            message = stream.message() => message.map_err(LinkError::from)?,
            () = state.replica_moved.notified() => return Ok(()),
            _ = desired.changed() => {
                let now = desired.borrow_and_update().as_ref().map(|now| now.epoch.clone());
                let before = epoch.replace(now.unwrap_or_default());
                if before.is_some() && before != epoch {
                    return Ok(());
                }
                continue;
            }
        };
        let Some(message) = message else { return Ok(()) };
        if let Some(position) = intake.take(message).await? {
            reached(state, &position);
            backoff.reset();
        }
    }
}

fn reached(state: &State, position: &Position) {
    state.directory_changed.notify_one();
    state.status.directory(position.version);
    state.status.alarm(AlarmKind::DirectoryRefused, None);
    state.status.alarm(AlarmKind::ReplicaDamaged, None);
    state.status.disk_full("replica", None);
    let version = u32::try_from(position.version).unwrap_or(u32::MAX);
    metrics::gauge!("umail_agent_directory_version").set(version);
    metrics::counter!("umail_agent_directory_changes_total").increment(1);
}

/// Takes the events of one stream in their order.
struct Intake<'a> {
    state: &'a State,
    snapshot: Option<(SnapshotWriter, u64)>,
}

impl Intake<'_> {
    /// Takes one event. Returns where the replica stands when that has changed.
    async fn take(
        &mut self,
        message: WatchDirectoryResponse,
    ) -> Result<Option<Position>, DirectoryError> {
        let event = message.event.ok_or(DirectoryError::Protocol("an unknown event"))?;
        match (event, self.snapshot.take()) {
            (Event::SnapshotBegin(begin), None) => {
                if uuid::Uuid::parse_str(&begin.epoch).is_err() {
                    return Err(DirectoryError::Protocol("a snapshot without an epoch"));
                }
                tracing::info!(version = begin.version, "a snapshot begins");
                self.snapshot = Some((self.state.replica.begin_snapshot(&begin)?, 0));
                Ok(None)
            }
            (Event::SnapshotChunk(chunk), Some((mut writer, rows))) => {
                let rows = rows + u64::try_from(chunk.rows.len()).unwrap_or(u64::MAX);
                if rows > self.state.pace.snapshot_rows_max {
                    return Err(DirectoryError::Protocol("a snapshot that is too large"));
                }
                writer.add(chunk.rows)?;
                self.snapshot = Some((writer, rows));
                Ok(None)
            }
            (Event::SnapshotEnd(end), Some((writer, _))) => Ok(Some(writer.finish(&end).await?)),
            (Event::Delta(delta), None) => {
                if delta.to_version < delta.from_version {
                    return Err(DirectoryError::Protocol("a delta that leads back"));
                }
                Ok(Some(self.state.replica.apply(&delta).await?))
            }
            _ => Err(DirectoryError::Protocol("an event out of its order")),
        }
    }
}
