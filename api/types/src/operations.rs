//! Operations: tracked long work.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{BulkChangeId, ImportId, NodeId, OperationId, UserId};
use utoipa::{IntoParams, ToSchema};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Moves the mailbox of a user to another storage node.
    MoveMailbox,
    /// Delivers what waits in the queue of a node.
    FlushQueue,
    /// Ends all that a compromised account can be used for.
    SecureAccount,
    /// Adds and changes the users of an import.
    ImportUsers,
    /// Changes the users of a bulk change.
    ChangeUsers,
}

impl OperationKind {
    /// The name in the API and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MoveMailbox => "move_mailbox",
            Self::FlushQueue => "flush_queue",
            Self::SecureAccount => "secure_account",
            Self::ImportUsers => "import_users",
            Self::ChangeUsers => "change_users",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::MoveMailbox,
            Self::FlushQueue,
            Self::SecureAccount,
            Self::ImportUsers,
            Self::ChangeUsers,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// At work.
    Running,
    /// Done.
    Succeeded,
    /// Given up; whatever it had begun is undone.
    Failed,
    /// Ended on request; whatever it had begun is undone.
    Cancelled,
}

impl OperationState {
    /// The name in the API and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// Tracked long work.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Identifies the operation.
    pub id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// How far it is.
    pub state: OperationState,
    /// What it is at; null when it has ended.
    #[schema(example = "copy_first")]
    pub step: Option<String>,
    /// The user that it is about, if any.
    pub user_id: Option<UserId>,
    /// The node that it is about, if any: of a move, the destination.
    pub node_id: Option<NodeId>,
    /// Where it has to be done, and how far it is there; empty for operations that do not tell.
    #[serde(default)]
    pub nodes: Vec<OperationNode>,
    /// The import that it works on, if any.
    pub import_id: Option<ImportId>,
    /// The bulk change that it works on, if any.
    pub bulk_change_id: Option<BulkChangeId>,
    /// Whether somebody wants it to end.
    pub cancel_requested: bool,
    /// What came out, once it has succeeded.
    pub result: Option<OperationResult>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it took its last step.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// How far an operation is on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationNode {
    /// The node.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// Whether the node has done all of it.
    pub done: bool,
    /// Queued messages that were put on hold there.
    pub held_messages: u64,
    /// What it waits for, or why the last try failed; empty when all is well.
    pub detail: String,
}

/// What came out of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationResult {
    /// Messages that were moved, or put on hold.
    pub messages: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// What could not be done, and does not matter to the user.
    pub left_undone: Vec<String>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Answer when it has ended, or after this many seconds; at once when absent.
    #[param(minimum = 0, maximum = 60, nullable = false)]
    pub wait_seconds: Option<u16>,
}

/// Where a mailbox is to go.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMove {
    /// Id or name of the storage node.
    #[schema(example = "storage-2", max_length = 253)]
    pub storage_node: String,
}
