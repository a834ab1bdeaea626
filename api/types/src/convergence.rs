//! How far the nodes have followed one resource.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many nodes have the last change of a resource.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Convergence {
    /// The version of the directory that holds the last change of the resource, or a later one
    /// when that was long ago; null for the few milliseconds until it has one.
    pub version: Option<u64>,
    /// How many nodes follow the directory.
    pub nodes: u64,
    /// How many of them are at this version or beyond it.
    pub applied: u64,
    /// How many were not heard of lately: mail goes on there by what they have.
    pub unreachable: u64,
    /// Whether every node that can be reached has the change.
    pub converged: bool,
}
