//! What moves have to remember across a crash: whom this node expects, and what it verified.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use umail_proto::agent::PrepareMove;

use crate::{durable, layout::Layout};

/// Moves that one node takes part in at a time; the server asks for far fewer.
const LIMIT: usize = 10_000;
/// How long after its deadline an expected move is kept: its copies have deadlines of their own.
const KEPT: Duration = Duration::days(7);

/// The file of records.
pub(super) struct Records {
    path: PathBuf,
    content: Mutex<Content>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Content {
    /// By move: as the destination.
    expected: BTreeMap<String, Expected>,
    /// By move: as source or destination.
    verified: BTreeMap<String, Verified>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Expected {
    user_id: String,
    source_node_id: String,
    /// Seconds since 1970.
    until: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Verified {
    user_id: String,
    digest: String,
}

impl Records {
    /// Reads the file, if there is one.
    pub(super) fn open(layout: &Layout) -> io::Result<Self> {
        let path = layout.agent().join("moves.json");
        let content = match durable::read(&path)? {
            Some(text) => serde_json::from_slice(&text).map_err(io::Error::other)?,
            None => Content::default(),
        };
        Ok(Self { path, content: Mutex::new(content) })
    }

    /// Notes that this mailbox may come from this node until then.
    pub(super) fn expect(
        &self,
        step: &PrepareMove,
        until: OffsetDateTime,
        now: OffsetDateTime,
    ) -> io::Result<()> {
        let PrepareMove { move_id, user_id, source_node_id } = step.clone();
        let until = until.unix_timestamp();
        let long_ago = (now - KEPT).unix_timestamp();
        self.change(|content| {
            content.expected.retain(|_move_id, one| one.until > long_ago);
            content.expected.insert(move_id, Expected { user_id, source_node_id, until });
        })
    }

    /// Whether this node may send this mailbox now.
    pub(super) fn is_expected(
        &self,
        move_id: &str,
        user_id: &str,
        source_node_id: &str,
        now: OffsetDateTime,
    ) -> bool {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.expected.get(move_id).is_some_and(|one| {
            one.user_id == user_id
                && one.source_node_id == source_node_id
                && one.until > now.unix_timestamp()
        })
    }

    /// Ends the expectation.
    pub(super) fn forget_expected(&self, move_id: &str) -> io::Result<()> {
        self.change(|content| {
            content.expected.remove(move_id);
        })
    }

    /// Notes what the mailbox held.
    pub(super) fn verified(&self, move_id: &str, user_id: &str, digest: &[u8]) -> io::Result<()> {
        let record = Verified { user_id: user_id.to_owned(), digest: hex::encode(digest) };
        self.change(|content| {
            content.verified.insert(move_id.to_owned(), record);
        })
    }

    /// The digest that was noted for this move of this user.
    pub(super) fn digest(&self, move_id: &str, user_id: &str) -> Option<Vec<u8>> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let record = content.verified.get(move_id).filter(|one| one.user_id == user_id)?;
        hex::decode(&record.digest).ok()
    }

    /// Forgets it.
    pub(super) fn forget_verified(&self, move_id: &str) -> io::Result<()> {
        self.change(|content| {
            content.verified.remove(move_id);
        })
    }

    /// Changes the content, on the disk first.
    fn change(&self, change: impl FnOnce(&mut Content)) -> io::Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = content.clone();
        change(&mut next);
        // Ids are random to us; the first ones of a UUIDv7 order are the oldest.
        while next.expected.len() > LIMIT {
            next.expected.pop_first();
        }
        while next.verified.len() > LIMIT {
            next.verified.pop_first();
        }
        let text = serde_json::to_vec(&next).map_err(io::Error::other)?;
        durable::write(&self.path, &text, 0o600)?;
        *content = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_told_is_expected_and_a_restart_forgets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        std::fs::create_dir(layout.agent()).unwrap();
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let step = PrepareMove {
            move_id: "m".to_owned(),
            user_id: "u".to_owned(),
            source_node_id: "s".to_owned(),
        };
        let records = Records::open(&layout).unwrap();
        records.expect(&step, now + Duration::hours(1), now).unwrap();
        records.verified("m", "u", &[1, 2]).unwrap();
        let records = Records::open(&layout).unwrap();
        assert!(records.is_expected("m", "u", "s", now));
        assert!(!records.is_expected("m", "u", "other", now));
        assert!(!records.is_expected("m", "other", "s", now));
        assert!(!records.is_expected("m", "u", "s", now + Duration::hours(2)));
        assert_eq!(records.digest("m", "u").unwrap(), [1, 2]);
        assert!(records.digest("m", "other").is_none());
        records.forget_expected("m").unwrap();
        records.forget_verified("m").unwrap();
        let records = Records::open(&layout).unwrap();
        assert!(!records.is_expected("m", "u", "s", now));
        assert!(records.digest("m", "u").is_none());
    }
}
