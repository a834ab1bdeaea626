//! Which users of a domain are wanted.

use umail_api_types::{status::Status, users};
use umail_proto::ids::{DepartmentId, PlanId};

use crate::{
    error::{Error, Result},
    model::{profile, search::Search},
};

/// Users for which all of this holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// They are in this department, and not in one below it.
    pub department: Option<DepartmentId>,
    /// Another directory knows them by this.
    pub external_id: Option<String>,
    /// They were deleted; otherwise they were not.
    pub deleted: bool,
    /// They have this status.
    pub status: Option<Status>,
    /// They have this plan.
    pub plan: Option<PlanId>,
    /// Their address or their names have this.
    pub search: Option<Search>,
}

impl UserFilter {
    /// Reads a filter.
    pub fn parse(filter: &users::UserFilter) -> Result<Self> {
        let external_id = filter.external_id.as_deref().map(profile::external_id).transpose();
        Ok(Self {
            department: filter.department_id,
            external_id: external_id.map_err(|reason| Error::invalid("external_id", reason))?,
            deleted: filter.deleted == Some(true),
            status: filter.status,
            plan: filter.plan_id,
            search: Search::parse_parameter(filter.search.as_deref())?,
        })
    }
}
