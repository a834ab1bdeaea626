//! Departments: the tree inside a domain.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{DepartmentId, DomainId, PlanId};
use utoipa::{IntoParams, ToSchema};

use crate::{functions::FunctionName, patch::present};

/// Which departments of a domain are wanted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DepartmentFilter {
    /// Only those directly below this one.
    #[param(nullable = false)]
    pub parent_id: Option<DepartmentId>,
    /// Only those at the top, below none.
    #[param(nullable = false)]
    pub top: Option<bool>,
    /// Whether to say how many there are, up to 10,000.
    #[param(nullable = false)]
    pub count: Option<bool>,
}

/// A department.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Department {
    /// Identifies the department.
    pub id: DepartmentId,
    /// The domain.
    pub domain_id: DomainId,
    /// The department above; null at the top.
    pub parent_id: Option<DepartmentId>,
    /// The name, unique among its siblings.
    #[schema(example = "Sales")]
    pub name: String,
    /// What users of the department and of those below may use at most.
    pub functions: Vec<FunctionName>,
    /// The plan of new users; null: that of the department above, or the standard one.
    pub plan_id: Option<PlanId>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A department to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDepartment {
    /// The name, unique among its siblings.
    #[schema(example = "Sales", min_length = 1, max_length = 128)]
    pub name: String,
    /// The department above; absent or null at the top.
    #[serde(default)]
    pub parent_id: Option<DepartmentId>,
    /// The plan of new users; absent or null: that of the department above, or the standard one.
    #[serde(default)]
    pub plan_id: Option<PlanId>,
}

/// What of a department is to change (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DepartmentPatch {
    /// The name, unique among its siblings.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// The department above; null moves it to the top.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<DepartmentId>)]
    pub parent_id: Option<Option<DepartmentId>>,
    /// What users of the department and of those below may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub functions: Option<Vec<FunctionName>>,
    /// The plan of new users; null: that of the department above, or the standard one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<PlanId>)]
    pub plan_id: Option<Option<PlanId>>,
}
