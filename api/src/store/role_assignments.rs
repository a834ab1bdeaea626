//! Roles of users beyond that of a user.

use sqlx::PgExecutor;
use umail_proto::ids::{DepartmentId, DomainId, UserId};

use crate::error::Result;

/// A role and where it is good: in a department, or in the whole domain.
#[derive(Clone, Copy, Debug)]
pub struct Assigned {
    /// The domain.
    pub domain_id: DomainId,
    /// The department; nothing for the administrator of the domain.
    pub department_id: Option<DepartmentId>,
}

/// All roles of a user.
pub async fn list(db: impl PgExecutor<'_>, user: UserId) -> Result<Vec<Assigned>> {
    Ok(sqlx::query_as!(
        Assigned,
        "SELECT domain_id, department_id FROM role_assignment
          WHERE account_id = $1 ORDER BY domain_id, department_id",
        user.uuid(),
    )
    .fetch_all(db)
    .await?)
}
