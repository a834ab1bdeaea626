//! What users of this node have sent: counters on the disk, which outlive the agent.
//!
//! A window slides in steps. A step counts for as long as anything in it may lie in the window, so
//! that in no hour, whenever it begins, more is sent than the limit of an hour.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{layout::Layout, replica::statement};

/// Steps that are kept at the same time, of all users; the oldest are forgotten first.
const MAX_STEPS: i64 = 1_000_000;
/// Seconds between two times that what is over is forgotten.
const FORGET_EVERY: i64 = 300;
/// How long a statement waits for the file.
const BUSY_LIMIT: Duration = Duration::from_millis(500);

/// A window that is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// What people call it.
    pub(super) name: &'static str,
    seconds: i64,
    step: i64,
}

/// The windows there are, the shorter one first.
pub(super) const WINDOWS: [Window; 2] = [
    Window { name: "hour", seconds: 3_600, step: 300 },
    Window { name: "day", seconds: 86_400, step: 3_600 },
];

/// What somebody sent in one step of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    seconds: i64,
    began: i64,
    sent: [i64; 2],
}

/// What somebody has sent, up to now.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    steps: Vec<Step>,
    now: i64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Messages.
    Messages,
    /// Their recipients.
    Recipients,
}

impl Sent {
    /// When so many more, not more than the limit by themselves, are within this limit again, in
    /// seconds since 1970; none: they are now.
    pub(super) fn room_at(&self, window: Window, kind: Kind, more: i64, most: i64) -> Option<i64> {
        let (begin, now) = (self.now - window.seconds - window.step, self.now);
        let steps = self.steps.iter().filter(|one| one.seconds == window.seconds);
        let counted = steps.filter(|one| one.began > begin && one.began <= now);
        let counted = counted.map(|one| {
            let [messages, recipients] = one.sent;
            let sent = if kind == Kind::Messages { messages } else { recipients };
            (one.began, sent)
        });
        let mut used: i64 = counted.clone().map(|(_, sent)| sent).sum();
        let mut room_at = None;
        for (began, sent) in counted {
            if used + more <= most {
                break;
            }
            used -= sent;
            room_at = Some(began + window.seconds + window.step);
        }
        room_at
    }
}

/// The counters.
pub(super) struct Counts {
    connection: SqliteConnection,
    forgotten_at: i64,
}

impl Counts {
    /// Goes on where the last agent stopped. A damaged file is forgotten: nobody is to be kept from
    /// sending because of it.
    pub(super) async fn open(layout: &Layout) -> Result<Self, sqlx::Error> {
        let path = layout.agent().join("sent.sqlite");
        let connection = match connect(&path).await {
            Ok(connection) => connection,
            Err(error) if is_damaged(&error) => {
                tracing::warn!(%error, "what was sent is counted anew");
                for suffix in ["", "-wal", "-shm"] {
                    let file = format!("{}{suffix}", path.display());
                    // Those that are not there need not be removed.
                    std::fs::remove_file(file).ok();
                }
                connect(&path).await?
            }
            Err(error) => return Err(error),
        };
        Ok(Self { connection, forgotten_at: 0 })
    }

    /// What this user has sent.
    pub(super) async fn sent(&mut self, user_id: &str, now: i64) -> Result<Sent, sqlx::Error> {
        let rows = statement(
            "SELECT seconds, began, messages, recipients FROM sent WHERE user_id = ? ORDER BY began",
        );
        let rows = rows.bind(user_id.to_owned()).fetch_all(&mut self.connection).await?;
        let step = |row: &sqlx::sqlite::SqliteRow| -> Result<Step, sqlx::Error> {
            let sent = [row.try_get(2)?, row.try_get(3)?];
            Ok(Step { seconds: row.try_get(0)?, began: row.try_get(1)?, sent })
        };
        Ok(Sent { steps: rows.iter().map(step).collect::<Result<_, _>>()?, now })
    }

    /// Counts one message to so many recipients.
    pub(super) async fn add(
        &mut self,
        user_id: &str,
        recipients: i64,
        now: i64,
    ) -> Result<(), sqlx::Error> {
        let [hour, day] = WINDOWS;
        statement(
            "INSERT INTO sent (user_id, seconds, began, messages, recipients)
             VALUES (?1, ?2, ?3, 1, ?6), (?1, ?4, ?5, 1, ?6)
             ON CONFLICT (user_id, seconds, began) DO UPDATE
                SET messages = messages + 1, recipients = recipients + excluded.recipients",
        )
        .bind(user_id.to_owned())
        .bind(hour.seconds)
        .bind(now - now.rem_euclid(hour.step))
        .bind(day.seconds)
        .bind(now - now.rem_euclid(day.step))
        .bind(recipients)
        .execute(&mut self.connection)
        .await?;
        if (now - self.forgotten_at).abs() >= FORGET_EVERY {
            self.forget(now, MAX_STEPS).await?;
            self.forgotten_at = now;
        }
        Ok(())
    }

    /// Forgets what is over, what a clock that ran ahead has written, and what is too much.
    async fn forget(&mut self, now: i64, most: i64) -> Result<(), sqlx::Error> {
        for window in WINDOWS {
            statement("DELETE FROM sent WHERE seconds = ? AND (began <= ? OR began > ?)")
                .bind(window.seconds)
                .bind(now - window.seconds - window.step)
                .bind(now)
                .execute(&mut self.connection)
                .await?;
        }
        statement(
            "DELETE FROM sent WHERE began <
               (SELECT began FROM sent ORDER BY began DESC LIMIT 1 OFFSET ?)",
        )
        .bind(most)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}

/// Whether this is no database, or no longer: `SQLITE_CORRUPT`, `SQLITE_NOTADB`.
fn is_damaged(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["11", "26"].contains(&code.as_ref()))
}

async fn connect(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_LIMIT)
        .disable_statement_logging()
        .connect()
        .await?;
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS sent (
           user_id TEXT NOT NULL, seconds INTEGER NOT NULL, began INTEGER NOT NULL,
           messages INTEGER NOT NULL, recipients INTEGER NOT NULL,
           PRIMARY KEY (user_id, seconds, began)) WITHOUT ROWID",
    )
    .execute(&mut connection)
    .await?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Window = WINDOWS[0];
    const DAY: Window = WINDOWS[1];
    const NOON: i64 = 1_700_049_600;

    fn folder() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        std::fs::create_dir_all(layout.agent()).unwrap();
        (folder, layout)
    }

    #[tokio::test]
    async fn no_hour_has_more_than_its_limit_whenever_it_begins() {
        let (_folder, layout) = folder();
        let mut counts = Counts::open(&layout).await.unwrap();
        let mut sent_at = Vec::new();
        // Tries every 97 seconds, for three hours.
        for now in (NOON..NOON + 3 * 3_600).step_by(97) {
            let sent = counts.sent("anna", now).await.unwrap();
            match sent.room_at(HOUR, Kind::Messages, 1, 10) {
                None => {
                    counts.add("anna", 1, now).await.unwrap();
                    sent_at.push(now);
                }
                Some(then) => assert!(then > now && then <= now + 3_600 + 300, "{}", then - now),
            }
        }
        assert!(sent_at.len() >= 20, "{sent_at:?}");
        for (index, first) in sent_at.iter().enumerate() {
            let inside = sent_at.iter().skip(index).filter(|one| **one < first + 3_600).count();
            assert!(inside <= 10, "{inside} after {first}");
        }
    }

    #[tokio::test]
    async fn it_says_when_there_is_room_again_for_so_many() {
        let (_folder, layout) = folder();
        let mut counts = Counts::open(&layout).await.unwrap();
        counts.add("anna", 30, NOON).await.unwrap();
        counts.add("anna", 50, NOON + 600).await.unwrap();
        counts.add("bob", 99, NOON + 600).await.unwrap();
        let sent = counts.sent("anna", NOON + 900).await.unwrap();
        let room = |more| sent.room_at(HOUR, Kind::Recipients, more, 100);
        assert_eq!(room(20), None);
        assert_eq!(room(21), Some(NOON + 3_900));
        assert_eq!(room(60), Some(NOON + 4_500));
        assert_eq!(sent.room_at(HOUR, Kind::Messages, 1, 3), None);
        assert_eq!(sent.room_at(DAY, Kind::Messages, 1, 2), Some(NOON + 90_000));
    }

    #[tokio::test]
    async fn what_was_sent_outlives_the_agent_and_a_damaged_file_stops_nobody() {
        let (_folder, layout) = folder();
        let mut counts = Counts::open(&layout).await.unwrap();
        counts.add("anna", 1, NOON).await.unwrap();
        drop(counts);
        let mut counts = Counts::open(&layout).await.unwrap();
        let sent = counts.sent("anna", NOON).await.unwrap();
        assert!(sent.room_at(HOUR, Kind::Messages, 1, 1).is_some());
        drop(counts);
        std::fs::write(layout.agent().join("sent.sqlite"), vec![0xa5; 8_192]).unwrap();
        let mut counts = Counts::open(&layout).await.unwrap();
        counts.add("anna", 1, NOON).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_over_is_forgotten_and_the_rest_is_bounded() {
        let (_folder, layout) = folder();
        let mut counts = Counts::open(&layout).await.unwrap();
        let steps =
            async |counts: &mut Counts, user| counts.sent(user, NOON).await.unwrap().steps.len();
        counts.add("anna", 1, NOON).await.unwrap();
        // A clock that ran ahead, and was set back.
        counts.add("bob", 1, NOON + 900_000).await.unwrap();
        assert_eq!(steps(&mut counts, "anna").await, 0);
        counts.add("anna", 1, NOON).await.unwrap();
        assert_eq!((steps(&mut counts, "anna").await, steps(&mut counts, "bob").await), (2, 0));
        counts.add("anna", 1, NOON + 7_200).await.unwrap();
        assert_eq!(steps(&mut counts, "anna").await, 3, "the first hour is over, its day is not");
        for number in 0..10 {
            counts.add(&format!("user{number}"), 1, NOON + 10_000 + number).await.unwrap();
        }
        counts.forget(NOON + 10_020, 5).await.unwrap();
        assert_eq!(steps(&mut counts, "anna").await, 0, "the oldest are forgotten");
    }
}
