//! Forwarding: an alias that has the address of its user.

use umail_api_types::users::Forwarding;
use umail_proto::{agent::RowKind, ids::AliasId};

use crate::{
    app::{
        aliases,
        audit::{self, Subject, shown},
        users,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        alias::{Alias, parse_targets},
        revision::Precondition,
        user::UserRef,
    },
    store,
};

/// Where mail of a user is forwarded to; nothing if it is not.
pub async fn read(cx: &Context, user: &UserRef) -> Result<Option<Alias>> {
    let user = users::find(cx, user, |scope| (Action::Read, Resource::Profile(scope))).await?;
    store::aliases::find_forwarding(cx.pool(), user.id, &user.local_part).await
}

/// Replaces the forwarding of a user. A forwarding that is not there has the revision 0.
pub async fn update(
    cx: &Context,
    user: &UserRef,
    precondition: Precondition,
    forwarding: Forwarding,
) -> Result<Option<Alias>> {
    let asked = |scope| (Action::Update, Resource::Profile(scope));
    let user = users::find(cx, user, asked).await?;
    let names = store::domain_aliases::list_all(cx.pool(), user.domain_id).await?;
    let targets = parse_targets(&forwarding.targets, &user.address, &names);
    let targets = targets.map_err(Error::Invalid)?;
    if !forwarding.keep_copy {
        aliases::check_end(cx, user.domain_id, &targets, &user.address).await?;
    }
    let mut tx = cx.begin().await?;
    let user = users::lock(&mut tx, cx, user.id, asked).await?;
    let before = store::aliases::find_forwarding(&mut *tx, user.id, &user.local_part).await?;
    precondition.check(before.as_ref().map_or(0, |one| one.revision))?;
    let after = (!targets.is_empty()).then(|| Alias {
        id: before.as_ref().map_or_else(|| AliasId::generate(cx.now()), |one| one.id),
        domain_id: user.domain_id,
        local_part: user.local_part.clone(),
        address: user.address.clone(),
        targets,
        user_id: Some(user.id),
        keep_copy: forwarding.keep_copy,
        revision: before.as_ref().map_or(1, |one| one.revision + 1),
        created_at: before.as_ref().map_or_else(|| cx.now(), |one| one.created_at),
        updated_at: cx.now(),
    });
    let Some(id) = after.as_ref().or(before.as_ref()).map(|one| one.id) else {
        tx.commit().await?;
        return Ok(None);
    };
    match (&before, &after) {
        (None, Some(alias)) => store::aliases::insert(&mut *tx, alias).await?,
        (Some(_), Some(alias)) => store::aliases::update(&mut *tx, alias).await?,
        (_, None) => store::aliases::delete(&mut *tx, id).await?,
    }
    store::changes::insert(&mut *tx, RowKind::Alias, id.uuid(), Some(&[])).await?;
    let subject = Subject::of_user(&user, "forwarding", user.id);
    audit::record(&mut tx, cx, Action::Update, subject, shown(&before)?, shown(&after)?).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(after)
}
