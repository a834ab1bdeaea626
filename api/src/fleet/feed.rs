//! What a node needs next to come closer to the directory: a delta, a snapshot, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use sqlx::PgConnection;
use umail_proto::{
    agent::{Delta, DirectoryKey, DirectoryRow, RowKind},
    ids::NodeId,
};
use uuid::Uuid;

use crate::{
    database::pool::Pool,
    error::Result,
    store::{
        changes::{self, Change, Watermark},
        directory::{self, Keys, View},
    },
};

/// Changes that go into one delta, and rows that go into one part of a snapshot.
pub const CHUNK: i64 = 1_000;

/// Bytes of rows in one message: agents take no message of more than 4 MiB.
const MESSAGE_BYTES: usize = 2 << 20;

/// Where a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The life of the database.
    pub epoch: Uuid,
    /// The version that the replica has.
    pub version: i64,
}

/// What a replica needs next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// These changes.
    Delta(Delta),
    /// Everything: it is new, of another life, too far behind, or its view has become another.
    Snapshot,
    /// Nothing at present.
    Nothing,
}

/// Where a walk over all rows of a view stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Place of the kind in `directory::KINDS`.
    pub kind: usize,
    /// The last row that was read; nil before the first.
    pub key: Uuid,
}

impl Cursor {
    /// Before the first row.
    pub const START: Self = Self { kind: 0, key: Uuid::nil() };
}

/// Finds out what a replica needs next. Bodies are those of one snapshot that is at least as
/// young as the version they are sent for: what is younger is sent again with its own version.
pub async fn next(pool: &Pool, node: NodeId, have: Option<Position>) -> Result<Next> {
    let mut tx = pool.begin_snapshot().await?;
    let mark = changes::watermark(&mut *tx).await?;
    let view = View::find(&mut *tx, node).await?;
    let Some(have) = have.filter(|have| can_resume(*have, mark)) else {
        return Ok(Next::Snapshot);
    };
    if have.version == mark.version {
        return Ok(Next::Nothing);
    }
    let mut news = if view.sees_everybody {
        changes::list(&mut *tx, have.version, CHUNK + 1).await?
    } else {
        changes::list_for_storage(&mut *tx, node, have.version, CHUNK + 1).await?
    };
    let to = cut(&mut news, mark.version);
    if news.iter().any(|one| one.kind == RowKind::Unspecified && one.key == node.uuid()) {
        return Ok(Next::Snapshot);
    }
    let mut delta = Delta {
        epoch: mark.epoch.to_string(),
        from_version: have.version.cast_unsigned(),
        to_version: to.cast_unsigned(),
        upserts: Vec::new(),
        removals: Vec::new(),
    };
    for (kind, keys) in touched(&mut tx, &view, &news).await? {
        fill(&mut tx, &view, kind, &keys, &mut delta).await?;
    }
    // A snapshot comes in parts; a delta cannot.
    Ok(if delta.encoded_len() > MESSAGE_BYTES { Next::Snapshot } else { Next::Delta(delta) })
}

/// Cuts rows into parts that fit a message.
#[must_use]
pub fn parts(rows: Vec<DirectoryRow>) -> Vec<Vec<DirectoryRow>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        let length = row.encoded_len();
        if bytes + length > MESSAGE_BYTES && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += length;
        part.push(row);
    }
    parts.push(part);
    parts
}

/// Reads the next rows of a node's view, sorted by kind and key; none at the end. Each call has
/// a snapshot of its own, so that no slow node holds one: rows that change during the walk are
/// sent again as changes after the version with which it began.
pub async fn rows(
    pool: &Pool,
    node: NodeId,
    mut cursor: Cursor,
    limit: i64,
) -> Result<(Vec<DirectoryRow>, Cursor)> {
    let mut db = pool.acquire().await?;
    let view = View::find(&mut *db, node).await?;
    let mut rows = Vec::new();
    while let Some(kind) = directory::KINDS.get(cursor.kind) {
        let room = limit - i64::try_from(rows.len()).unwrap_or(limit);
        if room <= 0 {
            break;
        }
        let page = directory::list(&mut db, &view, *kind, Keys::After(cursor.key, room)).await?;
        match page.last() {
            Some((key, _)) => cursor.key = *key,
            None => cursor = Cursor { kind: cursor.kind + 1, key: Uuid::nil() },
        }
        rows.extend(page.into_iter().map(|(_, row)| row));
    }
    Ok((rows, cursor))
}

/// Whether changes lead from where a replica stands to now.
fn can_resume(have: Position, mark: Watermark) -> bool {
    have.epoch == mark.epoch && (mark.trimmed..=mark.version).contains(&have.version)
}

/// Leaves what fits one delta, and returns the version that it leads to.
fn cut(news: &mut Vec<Change>, newest: i64) -> i64 {
    let chunk = usize::try_from(CHUNK).unwrap_or(usize::MAX);
    if news.len() <= chunk {
        return newest;
    }
    news.truncate(chunk);
    news.last().map_or(newest, |last| last.version)
}

/// The rows to look at, by kind. A user that enters or leaves the view of a storage node takes
/// credentials and automatic reply along, which have not changed themselves.
async fn touched(
    db: &mut PgConnection,
    view: &View,
    news: &[Change],
) -> Result<BTreeMap<RowKind, BTreeSet<Uuid>>> {
    let mut keys: BTreeMap<RowKind, BTreeSet<Uuid>> = BTreeMap::new();
    for one in news.iter().filter(|one| view.includes(one.kind)) {
        keys.entry(one.kind).or_default().insert(one.key);
    }
    let Some(users) = keys.get(&RowKind::User) else { return Ok(keys) };
    let users: Vec<_> = users.iter().copied().collect();
    if !view.sees_everybody {
        let credentials = directory::credentials_of(&mut *db, &users).await?;
        keys.entry(RowKind::Credential).or_default().extend(credentials);
    }
    if view.holds_mail {
        let replies = directory::autoreplies_of(&mut *db, &users).await?;
        keys.entry(RowKind::Autoreply).or_default().extend(replies);
    }
    Ok(keys)
}

/// Adds rows to a delta: as they are where the view has them, as removals where it does not.
async fn fill(
    db: &mut PgConnection,
    view: &View,
    kind: RowKind,
    keys: &BTreeSet<Uuid>,
    delta: &mut Delta,
) -> Result<()> {
    let ids: Vec<_> = keys.iter().copied().collect();
    let found = directory::list(db, view, kind, Keys::Of(&ids)).await?;
    let seen: BTreeSet<_> = found.iter().map(|(key, _)| *key).collect();
    delta.upserts.extend(found.into_iter().map(|(_, row)| row));
    let gone = keys.difference(&seen);
    delta.removals.extend(gone.map(|key| DirectoryKey { kind: kind.into(), id: key.to_string() }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use umail_proto::agent::{Alias, directory_row::Row};

    use super::*;

    fn alias(bytes: usize) -> DirectoryRow {
        let alias = Alias { targets: vec!["x".repeat(bytes)], ..Alias::default() };
        DirectoryRow { row: Some(Row::Alias(alias)) }
    }

    #[test]
    fn parts_fit_a_message_and_lose_nothing() {
        let rows: Vec<_> = (0..100).map(|place| alias(place * 1_000)).collect();
        let cut = parts(rows.clone());
        assert!(cut.len() > 1);
        for part in &cut {
            assert!(part.iter().map(Message::encoded_len).sum::<usize>() <= MESSAGE_BYTES);
        }
        assert_eq!(cut.concat(), rows);
        assert_eq!(parts(vec![alias(MESSAGE_BYTES + 1)]).len(), 1);
    }
}
