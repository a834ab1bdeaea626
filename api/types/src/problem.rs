//! What every refusal looks like: RFC 9457 problem details.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::allowances::LevelKind;

/// Why a request was not done, as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem; stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:umail:problem:not-found")]
    pub kind: String,
    /// The kind of problem in words.
    #[schema(example = "there is no such thing")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// What is wrong with this request.
    #[schema(example = "domain example.com does not exist")]
    pub detail: String,
    /// Fields that break their rules; empty for other problems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
    /// The limit that does not allow it; absent for other problems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub exceeded: Option<ExceededLimit>,
    /// Finds the request in the logs of the server.
    pub trace_id: String,
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExceededLimit {
    /// What the limit is of.
    pub level: LevelKind,
    /// The name of the domain, department or user; empty: the system.
    pub name: String,
    /// What is limited.
    #[schema(example = "users")]
    pub kind: String,
    /// The most there may be.
    pub limit: i64,
    /// How much has been given away.
    pub allocated: i64,
    /// How much more was asked for.
    pub asked: i64,
}

/// A field that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// JSON pointer into the body, or the name of a parameter.
    #[schema(example = "/quota_bytes")]
    pub pointer: String,
    /// The rule.
    #[schema(example = "must be at least 1")]
    pub detail: String,
}
