//! The stream of the directory: a snapshot where it is needed, then delta after delta.

use umail_proto::{
    agent::{
        ListDirectoryRowsRequest, ListDirectoryRowsResponse, SnapshotBegin, SnapshotChunk,
        SnapshotEnd, WatchDirectoryResponse, watch_directory_response::Event,
    },
    ids::NodeId,
};

use crate::{
    context::State,
    error::{Error, Result},
    fleet::feed::{self, CHUNK, Cursor, Next, Position},
    grpc::{convert, stream::Sender},
    store,
};

const DEFAULT_PAGE: u32 = 100;

/// Leads a node from the version that it has to the newest one, and on.
pub(super) async fn watch(
    state: State,
    node: NodeId,
    mut have: Option<Position>,
    updates: Sender<WatchDirectoryResponse>,
) -> Result<()> {
    let mut mark = state.fleet().watermark();
    let _open = state.fleet().registry().open(node);
    state.fleet().liveness().follow(node, have.map(|have| have.epoch));
    loop {
        mark.borrow_and_update();
        let next = {
            let _turn = turn(&state).await?;
            feed::next(state.pool(), node, have).await?
        };
        match next {
            Next::Delta(delta) => {
                let version = delta.to_version.cast_signed();
                have = have.map(|have| Position { version, ..have });
                send(&updates, Event::Delta(delta)).await;
            }
            Next::Snapshot => have = Some(snapshot(&state, node, &updates).await?),
            Next::Nothing => {
                // The sender lives as long as the state.
                if mark.changed().await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// One page of all rows that a node may see.
pub(super) async fn page(
    state: &State,
    node: NodeId,
    request: &ListDirectoryRowsRequest,
) -> Result<ListDirectoryRowsResponse> {
    let size = if request.page_size == 0 { DEFAULT_PAGE } else { request.page_size };
    let size = i64::from(size).min(CHUNK);
    let cursor = convert::cursor(&request.page_token)?;
    let (rows, cursor) = feed::rows(state.pool(), node, cursor, size).await?;
    let is_full = i64::try_from(rows.len()).unwrap_or(size) >= size;
    let next_page_token = if is_full { convert::page_token(cursor) } else { String::new() };
    Ok(ListDirectoryRowsResponse { rows, next_page_token })
}

/// Sends all rows in parts. Returns the version from which changes are to follow: rows that
/// changed while the parts were read come again with these.
async fn snapshot(
    state: &State,
    node: NodeId,
    updates: &Sender<WatchDirectoryResponse>,
) -> Result<Position> {
    let mark = store::changes::watermark(state.pool()).await?;
    let (epoch, version) = (mark.epoch.to_string(), mark.version.cast_unsigned());
    send(updates, Event::SnapshotBegin(SnapshotBegin { epoch, version })).await;
    let (mut cursor, mut count) = (Cursor::START, 0);
    loop {
        let (rows, next) = {
            let _turn = turn(state).await?;
            feed::rows(state.pool(), node, cursor, CHUNK).await?
        };
        if rows.is_empty() {
            break;
        }
        count += u64::try_from(rows.len()).unwrap_or_default();
        cursor = next;
        for rows in feed::parts(rows) {
            send(updates, Event::SnapshotChunk(SnapshotChunk { rows })).await;
        }
    }
    send(updates, Event::SnapshotEnd(SnapshotEnd { rows: count })).await;
    state.fleet().liveness().follow(node, Some(mark.epoch));
    Ok(Position { epoch: mark.epoch, version: mark.version })
}

async fn send(updates: &Sender<WatchDirectoryResponse>, event: Event) {
    updates.send(WatchDirectoryResponse { event: Some(event) }).await;
}

/// Waits for a place among those who read: ten thousand nodes that come back at once must not
/// take all connections to the database.
async fn turn(state: &State) -> Result<tokio::sync::SemaphorePermit<'_>> {
    state.fleet().readers().acquire().await.map_err(Error::internal)
}
