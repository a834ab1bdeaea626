//! Which users of a domain are wanted.

use umail_api_types::{bulk_changes::BulkFilter, status::Status, users};
use umail_proto::ids::{DepartmentId, PlanId};

use crate::{
    error::{Error, Result},
    model::{profile, search::Search},
};

/// Users for which all of this holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// They are in this department.
    pub department: Option<DepartmentId>,
    /// Or in one below it.
    pub below: bool,
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
    /// Reads the filter of a list.
    pub fn parse(filter: &users::UserFilter) -> Result<Self> {
        let bulk = BulkFilter {
            department_id: filter.department_id,
            include_subdepartments: filter.include_subdepartments == Some(true),
            external_id: filter.external_id.clone(),
            plan_id: filter.plan_id,
            status: filter.status,
            search: filter.search.clone(),
        };
        Ok(Self { deleted: filter.deleted == Some(true), ..Self::read(&bulk, "")? })
    }

    /// Reads the filter of a bulk change: that of lists, of users who were not deleted.
    pub fn parse_bulk(filter: &BulkFilter) -> Result<Self> {
        Self::read(filter, "/filter/")
    }

    /// Refusals name the fields with this before them.
    fn read(filter: &BulkFilter, place: &str) -> Result<Self> {
        let invalid =
            |field: &str, reason: String| Error::invalid(format!("{place}{field}"), reason);
        if filter.include_subdepartments && filter.department_id.is_none() {
            let reason = "must not be true without department_id".to_owned();
            return Err(invalid("include_subdepartments", reason));
        }
        let external_id = filter.external_id.as_deref().map(profile::external_id).transpose();
        let search = filter.search.as_deref().map(Search::parse).transpose();
        Ok(Self {
            department: filter.department_id,
            below: filter.include_subdepartments,
            external_id: external_id.map_err(|reason| invalid("external_id", reason))?,
            deleted: false,
            status: filter.status,
            plan: filter.plan_id,
            search: search.map_err(|reason| invalid("search", reason))?,
        })
    }
}
