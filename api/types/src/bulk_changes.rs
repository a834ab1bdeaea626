//! Bulk changes: the same change of many users of a domain.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{BulkChangeId, DepartmentId, DomainId, OperationId, PlanId};
use utoipa::{IntoParams, ToSchema};

use crate::{
    functions::FunctionName, imports::ImportMode, operations::OperationState, patch::present,
    status::Status,
};

/// Which users of a domain a bulk change is about: all for whom everything is so that is said here,
/// as in lists of users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkFilter {
    /// Only users of this department; those below only with `include_subdepartments`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub department_id: Option<DepartmentId>,
    /// Whether users of the departments below that one are meant as well; false when absent.
    #[serde(default)]
    #[schema(required = false)]
    pub include_subdepartments: bool,
    /// Only the user that another directory knows by this.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub external_id: Option<String>,
    /// Only users who have this plan.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub plan_id: Option<PlanId>,
    /// Only users whose own status is this.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
    /// Only users whose address or names have this. Three characters or more may be anywhere in
    /// them, fewer begin the address or a word of the names; upper and lower case are the same. With
    /// an `@`, what is before it ends the local part, and what is behind it begins the domain.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 254)]
    pub search: Option<String>,
}

/// What is to be so of each of them; what is absent stays as it is (RFC 7396).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkPatch {
    /// The plan.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub plan_id: Option<PlanId>,
    /// The department; null: of the domain itself.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<DepartmentId>)]
    pub department_id: Option<Option<DepartmentId>>,
    /// What mail and sign-in do.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
    /// A quota of their own, narrower than that of the plan; null: the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub quota_bytes: Option<Option<i64>>,
    /// What they may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub functions: Option<Vec<FunctionName>>,
}

/// A bulk change to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBulkChange {
    /// Whose; `{}`: everybody in your scope.
    pub filter: BulkFilter,
    /// What is to be so.
    pub change: BulkPatch,
    /// What becomes of the others when some are refused; `skip_errors` when absent: they are
    /// changed.
    #[serde(default = "skip_errors")]
    #[schema(required = false)]
    pub mode: ImportMode,
}

const fn skip_errors() -> ImportMode {
    ImportMode::SkipErrors
}

/// How a bulk change is meant.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BulkChangeQuery {
    /// Whether nothing is to be changed, only said what would be.
    #[param(nullable = false)]
    pub dry_run: Option<bool>,
}

/// A change of many users.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BulkChange {
    /// Identifies the bulk change.
    pub id: BulkChangeId,
    /// The domain of its users.
    pub domain_id: DomainId,
    /// Whose.
    pub filter: BulkFilter,
    /// What is to be so of each of them.
    pub change: BulkPatch,
    /// What becomes of the others when some are refused.
    pub mode: ImportMode,
    /// Whether nothing is changed.
    pub dry_run: bool,
    /// How far it is.
    pub state: OperationState,
    /// Users who matched when the work began; null until then.
    pub matched: Option<i64>,
    /// Users of whom is known what becomes of them.
    pub done: i64,
    /// Users who were changed, or would be.
    pub changed: i64,
    /// Users of whom all this was so already.
    pub unchanged: i64,
    /// Users who were refused.
    pub refused: i64,
    /// The commonest reasons of the refusals that are kept, at most 20; null in lists.
    pub reasons: Option<Vec<BulkRefusal>>,
    /// The work on it: wait for its end, or cancel it, there.
    pub operation_id: Option<OperationId>,
    /// Why it failed as a whole.
    pub error: Option<String>,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it got on last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Why users were refused, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkRefusal {
    /// The field; empty: the user, or the change, as a whole.
    pub field: String,
    /// The reason.
    pub reason: String,
    /// How many users.
    pub users: i64,
}
