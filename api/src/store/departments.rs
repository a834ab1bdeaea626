//! Departments: a tree inside each domain.

use sqlx::PgExecutor;
use umail_proto::ids::{DepartmentId, DomainId};

use crate::error::Result;

/// A department and all below it.
pub async fn subtree(
    db: impl PgExecutor<'_>,
    domain: DomainId,
    root: DepartmentId,
) -> Result<Vec<DepartmentId>> {
    let rows = sqlx::query_scalar!(
        r#"WITH RECURSIVE below AS (
               SELECT id FROM department WHERE domain_id = $1 AND id = $2
                UNION
               SELECT child.id FROM department child JOIN below ON child.parent_id = below.id
                WHERE child.domain_id = $1
           )
           SELECT id AS "id!: DepartmentId" FROM below"#,
        domain.uuid(),
        root.uuid(),
    );
    Ok(rows.fetch_all(db).await?)
}
