//! How far the nodes have followed the directory.

use serde::{Deserialize, Serialize};
use umail_proto::ids::NodeId;
use utoipa::ToSchema;
use uuid::Uuid;

/// The directory, and how far the nodes have followed it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Directory {
    /// The life of the database; a restored one has another.
    pub epoch: Uuid,
    /// The newest version.
    pub version: u64,
    /// Whether every node that can be reached has applied all that was there when the request
    /// came.
    pub converged: bool,
    /// Every node that is not revoked, by name.
    pub nodes: Vec<DirectoryNode>,
}

/// How far a node has followed the directory.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DirectoryNode {
    /// The node.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it was heard of lately.
    pub reachable: bool,
    /// The version that it has applied; 0 when it has none.
    pub version: u64,
    /// How many changes it lacks.
    pub behind: u64,
}
