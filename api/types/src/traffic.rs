//! What nodes counted, what they carried, and what mailboxes take.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{NodeId, UserId};
use utoipa::{IntoParams, ToSchema};

/// Which time is asked for.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TimeQuery {
    /// From the minute of this time on; an hour before the end when absent.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[param(nullable = false)]
    pub from: Option<OffsetDateTime>,
    /// Before this time; now when absent. At most 7 days after the beginning.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[param(nullable = false)]
    pub to: Option<OffsetDateTime>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrafficKind {
    /// Accepted from outside.
    Received,
    /// Accepted from authenticated users.
    Submitted,
    /// Recipients handed on to a storage node or another server.
    Sent,
    /// Attempts that were deferred.
    Deferred,
    /// Recipients that bounced.
    Bounced,
    /// Refused in the SMTP dialogue.
    Rejected,
    /// Saved into mailboxes.
    Stored,
    /// POP3 sessions; bytes are those sent to clients.
    Pop3Session,
    /// IMAP sessions; bytes are those sent to clients.
    ImapSession,
    /// Logins that failed.
    LoginFailed,
}

/// What was counted of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrafficCount {
    /// What is counted.
    pub kind: TrafficKind,
    /// How many.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What was counted in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrafficMinute {
    /// The minute.
    #[serde(with = "time::serde::rfc3339")]
    pub minute: OffsetDateTime,
    /// What was counted, a kind that did not occur is left out.
    pub counts: Vec<TrafficCount>,
}

/// What a node counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// The node.
    pub node_id: NodeId,
    /// The first minute.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The end, not included.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// The sums.
    pub totals: Vec<TrafficCount>,
    /// Minutes in which something was counted.
    pub minutes: Vec<TrafficMinute>,
    /// Reports of this time that never arrived: so much is not counted. Those that the node still
    /// holds are not among them.
    pub missing_reports: u64,
}

/// Load and queues in one minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadMinute {
    /// The minute.
    #[serde(with = "time::serde::rfc3339")]
    pub minute: OffsetDateTime,
    /// Load average of a minute.
    pub load_1m: f64,
    /// Memory of the machine.
    pub memory_total_bytes: u64,
    /// Memory that programs can still get.
    pub memory_available_bytes: u64,
    /// Size of the file system of mailboxes or queue.
    pub disk_total_bytes: u64,
    /// What is left of it.
    pub disk_available_bytes: u64,
    /// Messages being delivered.
    pub queue_active: u64,
    /// Messages that wait for another attempt.
    pub queue_deferred: u64,
    /// Messages that wait for an operator.
    pub queue_hold: u64,
    /// Messages that have just arrived.
    pub queue_incoming: u64,
}

/// Load and queues of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadSeries {
    /// The node.
    pub node_id: NodeId,
    /// The first minute.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The end, not included.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// Minutes in which the node reported.
    pub minutes: Vec<LoadMinute>,
}

/// What the mailbox of a user takes, as its node saw it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The user.
    pub user_id: UserId,
    /// Bytes; null before the node has said so.
    pub bytes: Option<u64>,
    /// Messages; null before the node has said so.
    pub messages: Option<u64>,
    /// When; null before the node has said so.
    #[serde(with = "time::serde::rfc3339::option")]
    pub observed_at: Option<OffsetDateTime>,
}
