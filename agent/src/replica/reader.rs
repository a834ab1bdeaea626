//! Asking the replica as Postfix does: read-only, and without waiting for whoever writes it.

use std::{path::PathBuf, time::Duration};

use sqlx::{ConnectOptions as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use umail_proto::agent::GroupPosting;

use super::{ReplicaError, check::file_id, connection::statement};
use crate::layout::Layout;

/// How long a reader waits for a file that is being emptied.
const BUSY_LIMIT: Duration = Duration::from_millis(500);

/// Somebody who sends, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The user.
    pub user_id: String,
    /// The domain.
    pub domain_id: String,
    /// Whether the user may send to other domains.
    pub sends_outside: bool,
    /// The size of a message.
    pub message_size_bytes: Option<i64>,
    /// Messages in an hour and in a day.
    pub messages: [Option<i64>; 2],
    /// Recipients in an hour and in a day.
    pub recipients: [Option<i64>; 2],
}

/// An address of a domain of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// The domain, under whatever name.
    pub domain_id: String,
    /// Whether somebody in another domain may write to it.
    pub takes_from_outside: bool,
    /// Where an alias leads, or what falls to the catch-all; of a group the members that are not
    /// users of its domain, as far as they matter. Empty for a user, whose forwarding is the user's
    /// own affair.
    pub targets: Vec<String>,
}

/// A group that not everybody may write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedGroup {
    /// Identifies it.
    pub group_id: String,
    /// Its domain.
    pub domain_id: String,
    /// Who may write to it.
    pub posting: GroupPosting,
    /// Whether the user who was asked about is a member.
    pub has_member: bool,
}

/// A reader with a connection of its own.
pub struct Reader {
    path: PathBuf,
    /// The connection, and the file that it is to.
    open: Option<(SqliteConnection, Option<(u64, u64)>)>,
}

impl Reader {
    /// A reader of this node's replica; it connects when it is asked.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        Self { path: layout.directory_db(), open: None }
    }

    /// The user with this canonical address; none when the replica does not know it.
    pub async fn sender(&mut self, address: &str) -> Result<Option<Sender>, ReplicaError> {
        let Some((local_part, domain)) = address.rsplit_once('@') else { return Ok(None) };
        let row = statement(
            "SELECT s.user_id, a.domain_id, a.functions & 8 <> 0, message_size_bytes,
                    messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day
               FROM account a JOIN sending_limit s ON s.user_id = a.user_id
              WHERE a.local_part = ? AND a.domain = ?",
        )
        .bind(local_part.to_owned())
        .bind(domain.to_owned())
        .fetch_optional(self.connection().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Sender {
            user_id: row.try_get(0)?,
            domain_id: row.try_get(1)?,
            sends_outside: row.try_get(2)?,
            message_size_bytes: row.try_get(3)?,
            messages: [row.try_get(4)?, row.try_get(5)?],
            recipients: [row.try_get(6)?, row.try_get(7)?],
        }))
    }

    /// What is behind an address in lower case, without a tag; none when its domain is not of the
    /// fleet.
    pub async fn hosted(&mut self, address: &str) -> Result<Option<Hosted>, ReplicaError> {
        let Some((local_part, domain)) = address.rsplit_once('@') else { return Ok(None) };
        let (local_part, domain) = (local_part.to_owned(), domain.to_owned());
        let connection = self.connection().await?;
        let named = statement(
            "SELECT n.domain_id, n.canonical,
                    NOT EXISTS (SELECT 1 FROM narrow_recipient r
                                 WHERE r.domain = n.canonical AND r.local_part = ?1),
                    CASE WHEN ?1 NOT IN ('postmaster', 'abuse')
                          AND NOT EXISTS (SELECT 1 FROM known_address k
                                           WHERE k.domain = n.canonical AND k.local_part = ?1)
                         THEN nullif(n.catch_all, '') END
               FROM domain_name n WHERE n.name = ?2",
        );
        let row = named.bind(local_part.clone()).bind(domain).fetch_optional(&mut *connection);
        let Some(row) = row.await? else { return Ok(None) };
        let canonical: String = row.try_get(1)?;
        let targets = statement(
            "SELECT target FROM route r WHERE local_part = ?1 AND domain = ?2
                AND NOT EXISTS (SELECT 1 FROM account a
                                 WHERE a.local_part = ?1 AND a.domain = ?2)
                AND NOT EXISTS (SELECT 1 FROM group_address g
                                 WHERE g.local_part = ?1 AND g.domain = ?2)
             UNION ALL
             SELECT target FROM (SELECT target FROM group_target
                                  WHERE local_part = ?1 AND domain = ?2 AND NOT is_own LIMIT 101)",
        );
        let targets = targets.bind(local_part).bind(canonical).fetch_all(connection).await?;
        let catch_all: Option<String> = row.try_get(3)?;
        let targets = targets.iter().map(|row| row.try_get(0)).chain(catch_all.map(Ok));
        Ok(Some(Hosted {
            domain_id: row.try_get(0)?,
            takes_from_outside: row.try_get(2)?,
            targets: targets.collect::<Result<_, _>>()?,
        }))
    }

    /// The group with this address in lower case, without a tag, and whether this user is in it; none
    /// when everybody may write there.
    pub async fn closed_group(
        &mut self,
        address: &str,
        user_id: &str,
    ) -> Result<Option<ClosedGroup>, ReplicaError> {
        let Some((local_part, domain)) = address.rsplit_once('@') else { return Ok(None) };
        let row = statement(
            "SELECT group_id, domain_id, posting,
                    EXISTS (SELECT 1 FROM group_member m
                             WHERE m.group_id = c.group_id AND m.user_id = ?3)
               FROM closed_group c WHERE local_part = ?1 AND domain = ?2",
        )
        .bind(local_part.to_owned())
        .bind(domain.to_owned())
        .bind(user_id.to_owned())
        .fetch_optional(self.connection().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(ClosedGroup {
            group_id: row.try_get(0)?,
            domain_id: row.try_get(1)?,
            // What this agent does not know is closed to all.
            posting: GroupPosting::try_from(row.try_get::<i32, _>(2)?).unwrap_or_default(),
            has_member: row.try_get(3)?,
        }))
    }

    /// A connection to the file that is there now: it may have been lost and made anew.
    async fn connection(&mut self) -> Result<&mut SqliteConnection, ReplicaError> {
        let file = file_id(&self.path);
        let open = match self.open.take() {
            Some((connection, of)) if of == file && file.is_some() => (connection, of),
            _ => {
                let options = SqliteConnectOptions::new()
                    .filename(&self.path)
                    .read_only(true)
                    .busy_timeout(BUSY_LIMIT)
                    .disable_statement_logging();
                (options.connect().await?, file)
            }
        };
        Ok(&mut self.open.insert(open).0)
    }
}
