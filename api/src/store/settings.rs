//! Settings of the whole system: columns of the one row about the control plane.

use sqlx::PgExecutor;

use crate::{
    error::{Error, Result},
    model::{address::EmailAddress, password::Policy, settings::Settings},
};

struct Row {
    postmaster_address: String,
    message_size_limit_bytes: i64,
    password_min_length: i32,
    password_min_strength: i16,
    suspended_defer_days: i32,
    deleted_grace_days: i32,
    settings_revision: i64,
}

impl TryFrom<Row> for Settings {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let address = Some(row.postmaster_address).filter(|address| !address.is_empty());
        let address = address.as_deref().map(EmailAddress::parse).transpose();
        Ok(Self {
            postmaster_address: address
                .map_err(|cause| Error::corrupt("control_plane", "postmaster_address", cause))?,
            message_size_limit_bytes: row.message_size_limit_bytes,
            password_policy: Policy {
                min_length: row.password_min_length,
                min_strength: row.password_min_strength,
            },
            suspended_defer_days: row.suspended_defer_days,
            deleted_grace_days: row.deleted_grace_days,
            revision: row.settings_revision,
        })
    }
}

/// The settings.
pub async fn get(db: impl PgExecutor<'_>) -> Result<Settings> {
    let row = sqlx::query_as!(
        Row,
        "SELECT postmaster_address, message_size_limit_bytes, password_min_length,
                password_min_strength, suspended_defer_days, deleted_grace_days,
                settings_revision
           FROM control_plane",
    );
    row.fetch_one(db).await?.try_into()
}

/// The same, locked until the end of the transaction.
pub async fn lock(db: impl PgExecutor<'_>) -> Result<Settings> {
    let row = sqlx::query_as!(
        Row,
        "SELECT postmaster_address, message_size_limit_bytes, password_min_length,
                password_min_strength, suspended_defer_days, deleted_grace_days,
                settings_revision
           FROM control_plane FOR UPDATE",
    );
    row.fetch_one(db).await?.try_into()
}

/// Writes the settings back.
pub async fn update(db: impl PgExecutor<'_>, settings: &Settings) -> Result<()> {
    sqlx::query!(
        "UPDATE control_plane
            SET postmaster_address = $1, message_size_limit_bytes = $2, settings_revision = $3,
                password_min_length = $4, password_min_strength = $5, suspended_defer_days = $6,
                deleted_grace_days = $7",
        settings.postmaster_address.as_ref().map_or("", EmailAddress::as_str),
        settings.message_size_limit_bytes,
        settings.revision,
        settings.password_policy.min_length,
        settings.password_policy.min_strength,
        settings.suspended_defer_days,
        settings.deleted_grace_days,
    )
    .execute(db)
    .await?;
    Ok(())
}
