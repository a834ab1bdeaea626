//! Automatic replies: what a storage node answers for a user who is away.

use umail_api_types::autoreply as body;
use umail_proto::agent::RowKind;

use crate::{
    app::{
        audit::{self, Subject, shown},
        users,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{autoreply::Autoreply, revision::Precondition, user::UserRef},
    store,
};

/// What is answered for a user.
pub async fn read(cx: &Context, user: &UserRef) -> Result<Autoreply> {
    let user = users::find(cx, user, |scope| (Action::Read, Resource::Profile(scope))).await?;
    let found = store::autoreply::find(cx.pool(), user.id).await?;
    Ok(found.unwrap_or_else(|| Autoreply::none(user.id)))
}

/// Replaces what is answered for a user. Without the function it rests; it may be set nevertheless.
pub async fn update(
    cx: &Context,
    user: &UserRef,
    precondition: Precondition,
    new: body::Autoreply,
) -> Result<Autoreply> {
    let asked = |scope| (Action::Update, Resource::Profile(scope));
    let user = users::find(cx, user, asked).await?;
    let mut tx = cx.begin().await?;
    let user = users::lock(&mut tx, cx, user.id, asked).await?;
    let before = store::autoreply::find(&mut *tx, user.id).await?;
    let before = before.unwrap_or_else(|| Autoreply::none(user.id));
    precondition.check(before.revision)?;
    let mut after = before.changed(&new, cx.now()).map_err(Error::Invalid)?;
    if after == before {
        tx.commit().await?;
        return Ok(before);
    }
    after.revision += 1;
    after.updated_at = cx.now();
    store::autoreply::upsert(&mut *tx, &after).await?;
    let (key, nodes) = (user.id.uuid(), user.nodes());
    store::changes::insert(&mut *tx, RowKind::Autoreply, key, Some(&nodes)).await?;
    let subject = Subject::of_user(&user, "autoreply", user.id);
    audit::record(&mut tx, cx, Action::Update, subject, shown(&before)?, shown(&after)?).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(after)
}
