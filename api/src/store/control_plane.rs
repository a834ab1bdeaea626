//! The one row about the control plane itself.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::Result;

/// Mints a new epoch.
pub async fn begin_epoch(db: impl PgExecutor<'_>) -> Result<Uuid> {
    Ok(sqlx::query_scalar!("UPDATE control_plane SET epoch = gen_random_uuid() RETURNING epoch")
        .fetch_one(db)
        .await?)
}

/// What the control plane is set to.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// The life of this database.
    pub epoch: Uuid,
    /// Where mail for postmaster@ and abuse@ of domains without one goes.
    pub postmaster_address: String,
    /// The largest message that is accepted.
    pub message_size_limit_bytes: i64,
}

/// What the control plane is set to.
pub async fn get(db: impl PgExecutor<'_>) -> Result<ControlPlane> {
    Ok(sqlx::query_as!(
        ControlPlane,
        "SELECT epoch, postmaster_address, message_size_limit_bytes FROM control_plane"
    )
    .fetch_one(db)
    .await?)
}
