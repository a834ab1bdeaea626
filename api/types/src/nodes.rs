//! Mail nodes: what they are wanted to be, and what they say of themselves.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::NodeId;
use utoipa::ToSchema;

use crate::{patch::present, services::Service};

/// Declares an enum whose variants have names; they sort as they are written.
macro_rules! named {
    ($(#[$doc:meta])* $enum:ident { $($(#[$one:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, utoipa::ToSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $enum { $($(#[$one])* $variant,)* }

        impl $enum {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in the API and in the database.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Reads the name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}
pub(crate) use named;

named! {
    /// What a node is for.
    Role {
        /// Takes mail from outside and from submitters, and sends it on.
        Smtp = "smtp",
        /// Where users fetch mail: a proxy to the storage nodes.
        Pop = "pop",
        /// Keeps mailboxes.
        Storage = "storage",
    }
}

named! {
    /// How a node is, as observed.
    NodeStatus {
        /// It has not reported yet.
        Unknown = "unknown",
        /// It works.
        Ready = "ready",
        /// It works in part; `status_reason` says what does not.
        Degraded = "degraded",
        /// It has been silent for too long, or may not connect any more.
        Unreachable = "unreachable",
    }
}

/// A mail node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Identifies the node.
    pub id: NodeId,
    /// Its host name.
    #[schema(example = "mx-1")]
    pub name: String,
    /// Under which other nodes reach it.
    #[schema(value_type = String, example = "10.0.0.1")]
    pub address: IpAddr,
    /// What it is for.
    pub roles: Vec<Role>,
    /// Whether it may take new users.
    pub eligible: bool,
    /// When it lost the right to connect; null: it has not.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// How it is, as observed.
    pub status: NodeStatus,
    /// Why it is not ready; empty when it is.
    pub status_reason: String,
    /// Counts the changes of what is wanted; also the `ETag`.
    pub revision: i64,
    /// How far it has followed what is wanted of it.
    pub generation: Generation,
    /// The version of the directory that it has applied.
    pub directory_version: i64,
    /// The version of its agent; empty before its first report.
    pub agent_version: String,
    /// When it was heard of last; null: never.
    #[serde(with = "time::serde::rfc3339::option")]
    pub seen_at: Option<OffsetDateTime>,
    /// Its load; null before its first report.
    pub load: Option<Load>,
    /// Its mail queue; null before its first report.
    pub queue: Option<Queue>,
    /// Its daemons.
    pub services: Vec<Service>,
    /// What an operator should look at, worst first.
    pub alarms: Vec<Alarm>,
    /// When it enrolled first.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When what is wanted changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Generations of a node's desired state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Generation {
    /// What is wanted now.
    pub desired: i64,
    /// What the node has taken on; 0: nothing yet.
    pub accepted: i64,
    /// What the node has carried out; 0: nothing yet.
    pub applied: i64,
}

/// Load of a node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Load {
    /// Processes that ran or waited, averaged over a minute.
    pub load_1m: f64,
    /// Number of processors.
    pub cpus: u32,
    /// Memory.
    pub memory_total_bytes: u64,
    /// Memory that programs can have.
    pub memory_available_bytes: u64,
    /// Size of the file system of mail or queue.
    pub disk_total_bytes: u64,
    /// What of it is free.
    pub disk_available_bytes: u64,
}

/// Messages in the mail queue of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Being delivered.
    pub active: u64,
    /// Waiting for the next attempt.
    pub deferred: u64,
    /// Held until somebody releases them.
    pub hold: u64,
    /// Just arrived.
    pub incoming: u64,
}

/// What an operator should look at.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// For machines.
    pub kind: String,
    /// For people.
    pub detail: String,
}

/// What is to change of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePatch {
    /// Under which other nodes reach it: an IP address.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, example = "10.0.0.1")]
    pub address: Option<String>,
    /// Whether it may take new users.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub eligible: Option<bool>,
}
