//! App passwords: long random ones, for programs that sign in all the time.

use umail_api_types::{app_passwords::NewAppPassword, functions::FunctionName};
use umail_proto::{agent::RowKind, ids::CredentialId};

use crate::{
    app::{
        audit::{self, Subject, shown},
        entitlements,
        fields::{Fields, given},
        users,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        allowance::Exceeded,
        credential::{AppPassword, hash, parse_label, parse_scope, reached, spell},
        page::Page,
        user::UserRef,
    },
    store,
};

/// A page of the app passwords of a user.
pub async fn list(cx: &Context, user: &UserRef, page: Page) -> Result<Vec<AppPassword>> {
    let user = users::find(cx, user, |scope| (Action::List, Resource::Profile(scope))).await?;
    store::credentials::list_app_passwords(cx.pool(), user.id, page).await
}

/// Makes an app password, and returns it with the password, which is not stored.
pub async fn create(
    cx: &Context,
    user: &UserRef,
    new: NewAppPassword,
) -> Result<(AppPassword, String)> {
    cx.require_person()?;
    let asked = |scope| (Action::Create, Resource::Profile(scope));
    let user = users::find(cx, user, asked).await?;
    let mut fields = Fields::default();
    let label = fields.read("/label", parse_label(&new.label));
    let expires_at = match new.expires_at {
        Some(time) if time <= cx.now() => Err("must be in the future".to_owned()),
        other => Ok(other),
    };
    let expires_at = fields.read("/expires_at", expires_at);
    let scope = fields.read("/functions", parse_scope(new.functions.as_deref()));
    fields.check()?;
    let (mut random, mut salt) = ([0; 28], [0; 16]);
    getrandom::fill(&mut random).map_err(Error::internal)?;
    getrandom::fill(&mut salt).map_err(Error::internal)?;
    let password = spell(&random);
    let app_password = AppPassword {
        id: CredentialId::generate(cx.now()),
        label: given(label)?,
        functions: given(scope)?,
        expires_at: given(expires_at)?,
        created_at: cx.now(),
        last_used_at: None,
        last_client_address: None,
    };
    let mut tx = cx.begin().await?;
    let user = users::lock(&mut tx, cx, user.id, asked).await?;
    entitlements::require(&mut tx, &user, FunctionName::AppPasswords).await?;
    let held = store::credentials::list_scopes(&mut *tx, user.id, cx.now()).await?;
    if let Some((kind, limit)) = reached(&held, app_password.functions) {
        return Err(Exceeded::of_user(&user.address, kind, limit).into());
    }
    let hash = hash(&password, salt);
    store::credentials::insert_app_password(&mut *tx, user.id, &app_password, &hash).await?;
    let (key, nodes) = (app_password.id.uuid(), user.nodes());
    store::changes::insert(&mut *tx, RowKind::Credential, key, Some(&nodes)).await?;
    let subject = Subject::of_user(&user, "app password", app_password.id);
    audit::record(&mut tx, cx, Action::Create, subject, None, shown(&app_password)?).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok((app_password, password))
}

/// Removes an app password.
pub async fn delete(cx: &Context, user: &UserRef, id: CredentialId) -> Result<()> {
    cx.require_person()?;
    let asked = |scope| (Action::Delete, Resource::Profile(scope));
    let user = users::find(cx, user, asked).await?;
    let mut tx = cx.begin().await?;
    let user = users::lock(&mut tx, cx, user.id, asked).await?;
    if !store::credentials::delete_app_password(&mut *tx, user.id, id).await? {
        return Err(Error::not_found("app password", id));
    }
    let nodes = user.nodes();
    store::changes::insert(&mut *tx, RowKind::Credential, id.uuid(), Some(&nodes)).await?;
    let subject = Subject::of_user(&user, "app password", id);
    audit::record(&mut tx, cx, Action::Delete, subject, None, None).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(())
}
