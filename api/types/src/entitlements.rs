//! What a user really may, and which level says so.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    functions::FunctionName,
    limit::{Quota, SendingLimit},
    sending::SendingLimitName,
    status::Status,
};

/// What a user really may, each value with the level that set it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Entitlements {
    /// What mail and sign-in do.
    pub status: Status,
    /// Who says so: the domain or the user.
    pub status_set_by: Origin,
    /// How much the mailbox may hold.
    pub quota_bytes: Quota,
    /// Who says so: the plan or the user.
    pub quota_set_by: Origin,
    /// Every limit of what the user sends.
    pub sending: Vec<SendingEntitlement>,
    /// Every function there is.
    pub functions: Vec<FunctionEntitlement>,
}

/// How much a user may send.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SendingEntitlement {
    /// What is limited.
    pub limit: SendingLimitName,
    /// How much it may be.
    pub at_most: SendingLimit,
    /// Who says so: the system, the plan or the user.
    pub set_by: Origin,
}

/// Whether a user may use something.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FunctionEntitlement {
    /// The function.
    pub function: FunctionName,
    /// Whether the user may.
    pub allowed: bool,
    /// The highest level that does not allow it; null when all do.
    pub denied_by: Option<Origin>,
}

/// A level that sets something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Origin {
    /// What it is.
    pub level: OriginLevel,
    /// Which one; nil: the system.
    pub id: Uuid,
    /// Its name or address.
    pub name: String,
}

/// A level that sets something, from the highest down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginLevel {
    /// The settings of the system.
    System,
    /// The domain.
    Domain,
    /// A department, or one above it.
    Department,
    /// The plan.
    Plan,
    /// The user itself.
    User,
}
