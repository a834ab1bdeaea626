//! Departments: the tree inside a domain.

use std::collections::HashMap;

use serde::Serialize;
use time::OffsetDateTime;
use umail_proto::{
    functions::Functions,
    ids::{DepartmentId, DomainId, PlanId},
};

use crate::model::{functions, text};

/// A department.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Department {
    /// Identifies the department.
    pub id: DepartmentId,
    /// The domain.
    pub domain_id: DomainId,
    /// The department above.
    pub parent_id: Option<DepartmentId>,
    /// The name, unique among its siblings.
    pub name: String,
    /// What its users may use at most.
    #[serde(serialize_with = "functions::serialize")]
    pub functions: Functions,
    /// The plan of new users; nothing: that of the department above.
    pub plan_id: Option<PlanId>,
    /// Counts the changes.
    pub revision: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Of which departments a list shows what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Among {
    /// Of all, and what is in none.
    All,
    /// Of these.
    These(Vec<DepartmentId>),
    /// Of these, and of all below them.
    Below(Vec<DepartmentId>),
}

impl Among {
    /// The departments, if they are named one by one.
    #[must_use]
    pub fn these(&self) -> Option<&[DepartmentId]> {
        match self {
            Self::These(these) => Some(these),
            Self::All | Self::Below(_) => None,
        }
    }

    /// The departments that all are below.
    #[must_use]
    pub fn tops(&self) -> Option<&[DepartmentId]> {
        match self {
            Self::Below(tops) => Some(tops),
            Self::All | Self::These(_) => None,
        }
    }
}

/// Departments are nested no deeper than this.
pub const MAX_DEPTH: usize = 16;

/// Reads the name of a department.
pub fn parse_name(name: &str) -> Result<String, String> {
    text::name(name, 128)
}

/// The path of a department: the names from the top, with `/` between them.
#[must_use]
#[expect(clippy::implicit_hasher, reason = "only ours are given")]
pub fn path(departments: &HashMap<DepartmentId, Department>, id: DepartmentId) -> String {
    let mut names = Vec::new();
    let mut next = departments.get(&id);
    while let Some(one) = next {
        names.push(one.name.as_str());
        next = one.parent_id.and_then(|id| departments.get(&id));
    }
    names.reverse();
    names.join("/")
}
