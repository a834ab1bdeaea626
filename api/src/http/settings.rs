//! `/v1/settings`

use umail_api_types::settings::{Settings, SettingsPatch};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app,
    context::{Context, State},
    error::Result,
    http::extract::{IfMatch, Json, Tagged},
    model,
};

pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(read_settings, update_settings))
}

fn tagged(settings: model::settings::Settings) -> Tagged<Settings> {
    let shown = Settings {
        postmaster_address: settings.postmaster_address.map(|address| address.to_string()),
        message_size_limit_bytes: settings.message_size_limit_bytes,
        password_min_length: settings.password_policy.min_length,
        password_min_strength: settings.password_policy.min_strength,
        suspended_defer_days: settings.suspended_defer_days,
        deleted_grace_days: settings.deleted_grace_days,
    };
    Tagged(settings.revision, shown)
}

/// Read the settings
#[utoipa::path(get, path = "/v1/settings", tag = "settings",
    responses((status = 200, description = "The settings", body = Settings)))]
async fn read_settings(cx: Context) -> Result<Tagged<Settings>> {
    Ok(tagged(app::settings::read(&cx).await?))
}

/// Change the settings
#[utoipa::path(patch, path = "/v1/settings", tag = "settings", params(IfMatch),
    request_body(content = SettingsPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Changed", body = Settings)))]
async fn update_settings(
    cx: Context,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<SettingsPatch>,
) -> Result<Tagged<Settings>> {
    Ok(tagged(app::settings::update(&cx, precondition, patch).await?))
}
