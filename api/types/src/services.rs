//! Daemons on a node: what they are wanted to be, and what they are.

use serde::{Deserialize, Serialize};
use umail_proto::ids::NodeId;
use utoipa::ToSchema;

use crate::{
    nodes::{Generation, named},
    patch::present,
};

named! {
    /// A mail daemon.
    ServiceKind {
        /// Postfix.
        Postfix = "postfix",
        /// Dovecot.
        Dovecot = "dovecot",
    }
}

named! {
    /// A port that a service listens on and that can be stopped by itself.
    Listener {
        /// SMTP, from anybody.
        Smtp = "smtp",
        /// Submission, from users.
        Submission = "submission",
        /// POP3, with and without implicit TLS.
        Pop3 = "pop3",
        /// IMAP, with and without implicit TLS.
        Imap = "imap",
        /// LMTP, from nodes of the fleet.
        Lmtp = "lmtp",
    }
}

named! {
    /// How a daemon is, as observed.
    ServiceHealth {
        /// Not reported.
        Unknown = "unknown",
        /// It runs.
        Running = "running",
        /// It does not run, as is wanted.
        Stopped = "stopped",
        /// It does not run, or not well, though it should.
        Failed = "failed",
    }
}

/// A daemon on a node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// On which node.
    pub node_id: NodeId,
    /// Which daemon.
    pub kind: ServiceKind,
    /// Whether it shall run.
    pub running: bool,
    /// The listeners that shall be open.
    pub listeners: Vec<Listener>,
    /// The listeners that it can have, by the roles of the node.
    pub available_listeners: Vec<Listener>,
    /// It is restarted once whenever this has grown.
    pub restarts: i64,
    /// Counts the changes of what is wanted; also the `ETag`.
    pub revision: i64,
    /// How far the node has followed what is wanted of it.
    pub generation: Generation,
    /// What the node says of it; null before its first report.
    pub observed: Option<ObservedService>,
}

/// What a node says of a daemon.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ObservedService {
    /// How it is.
    pub health: ServiceHealth,
    /// The listeners that accept connections.
    pub listeners: Vec<Listener>,
    /// Its version.
    pub version: String,
    /// The restarts that have been carried out.
    pub restarts: u64,
    /// For people.
    pub detail: String,
}

/// What is to change of a service.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServicePatch {
    /// Whether it shall run.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub running: Option<bool>,
    /// The listeners that shall be open: some of those available.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub listeners: Option<Vec<Listener>>,
}
