//! Settings of the whole system.

use umail_api_types::settings::SettingsPatch;
use uuid::Uuid;

use crate::{
    app::{
        audit::{self, Subject, shown},
        desired_state,
        fields::one,
    },
    authz::{Action, Resource},
    context::Context,
    error::Result,
    model::{
        address::EmailAddress,
        password::Policy,
        revision::Precondition,
        settings::{
            Settings, parse_deleted_grace_days, parse_message_size_limit,
            parse_suspended_defer_days,
        },
    },
    store,
};

/// The settings.
pub async fn read(cx: &Context) -> Result<Settings> {
    cx.authorize(Action::Read, Resource::Settings)?;
    store::settings::get(cx.pool()).await
}

/// Changes the settings. Every node learns of what concerns it by a new desired state.
pub async fn update(
    cx: &Context,
    precondition: Precondition,
    patch: SettingsPatch,
) -> Result<Settings> {
    cx.authorize(Action::Update, Resource::Settings)?;
    let read = |address: Option<String>| {
        address.map(|text| one("/postmaster_address", EmailAddress::parse(&text))).transpose()
    };
    let postmaster_address = patch.postmaster_address.map(read).transpose()?;
    let limit = patch.message_size_limit_bytes.map(parse_message_size_limit);
    let limit = limit.map(|limit| one("/message_size_limit_bytes", limit)).transpose()?;
    let length = patch.password_min_length.map(Policy::parse_min_length);
    let length = length.map(|length| one("/password_min_length", length)).transpose()?;
    let strength = patch.password_min_strength.map(Policy::parse_min_strength);
    let strength = strength.map(|strength| one("/password_min_strength", strength)).transpose()?;
    let defer_days = patch.suspended_defer_days.map(parse_suspended_defer_days);
    let defer_days = defer_days.map(|days| one("/suspended_defer_days", days)).transpose()?;
    let grace_days = patch.deleted_grace_days.map(parse_deleted_grace_days);
    let grace_days = grace_days.map(|days| one("/deleted_grace_days", days)).transpose()?;
    let mut tx = cx.begin().await?;
    // A node that joins at the same time must learn of it, too.
    store::nodes::lock_fleet(&mut *tx).await?;
    let before = store::settings::lock(&mut *tx).await?;
    precondition.check(before.revision)?;
    let mut settings = before.clone();
    settings.postmaster_address =
        postmaster_address.unwrap_or_else(|| before.postmaster_address.clone());
    settings.message_size_limit_bytes = limit.unwrap_or(before.message_size_limit_bytes);
    let policy = before.password_policy;
    settings.password_policy = Policy {
        min_length: length.unwrap_or(policy.min_length),
        min_strength: strength.unwrap_or(policy.min_strength),
    };
    settings.suspended_defer_days = defer_days.unwrap_or(before.suspended_defer_days);
    settings.deleted_grace_days = grace_days.unwrap_or(before.deleted_grace_days);
    if settings == before {
        tx.commit().await?;
        return Ok(before);
    }
    settings.revision += 1;
    store::settings::update(&mut *tx, &settings).await?;
    let concerns_nodes = settings.concern_nodes(&before);
    if concerns_nodes {
        store::nodes::raise_generations(&mut *tx).await?;
    }
    let subject = Subject::system("settings", Uuid::nil());
    audit::record(&mut tx, cx, Action::Update, subject, shown(&before)?, shown(&settings)?).await?;
    tx.commit().await?;
    if concerns_nodes {
        desired_state::all_changed(cx.state()).await?;
    }
    Ok(settings)
}
