//! Lock-out: who failed too often waits, on every server, until an administrator lifts it.

use time::OffsetDateTime;

use crate::{
    app::{
        audit::{self, Subject},
        sessions::Whose,
        users,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::lockout::Lockout,
    store,
};

/// Refuses a name that failed too often lately.
pub(super) async fn check(cx: &Context, name: &str) -> Result<()> {
    let found = store::lockouts::find(cx.state().pool(), &[name.to_owned()]).await?;
    let Some(until) = found.and_then(|lockout| lockout.until(cx.now())) else { return Ok(()) };
    Err(wait(cx, until))
}

fn wait(cx: &Context, until: OffsetDateTime) -> Error {
    Error::TooManyRequests((until - cx.now()).whole_seconds().max(1).unsigned_abs())
}

/// Counts an attempt before anybody is told what came of it: of those at the same time, too, no
/// more are told than may fail. One that was right is taken back, or forgotten with all others.
pub(super) async fn count(cx: &Context, name: &str) -> Result<Lockout> {
    let lockout = store::lockouts::count(cx.state().pool(), name, cx.now()).await?;
    match lockout.until(cx.now()).filter(|_| lockout.is_beyond()) {
        Some(until) => Err(wait(cx, until)),
        None => Ok(lockout),
    }
}

/// Takes back an attempt that was no failure, and leaves those before it.
pub(super) async fn take_back(cx: &Context, name: &str) -> Result<()> {
    store::lockouts::take_back(cx.state().pool(), name).await
}

/// Forgets the failures of a name that signed in.
pub(super) async fn forget(cx: &Context, name: &str) -> Result<()> {
    store::lockouts::delete(cx.state().pool(), &[name.to_owned()]).await
}

/// The failures of a user or an operator.
pub async fn read(cx: &Context, whose: &Whose) -> Result<Option<Lockout>> {
    let (_, names) = find(cx, whose, Action::Read).await?;
    let found = store::lockouts::find(cx.state().pool(), &names).await?;
    Ok(found.filter(|lockout| !lockout.is_over(cx.now())))
}

/// Forgets the failures of a user or an operator, who may try again at once.
pub async fn delete(cx: &Context, whose: &Whose) -> Result<()> {
    cx.require_person()?;
    let (subject, names) = find(cx, whose, Action::Update).await?;
    // Failures are not rows of the user, so that row-level security has none for whoever asks.
    let mut tx = cx.begin().await?;
    tx.reach_beyond().await?;
    if let Whose::User(_) = whose {
        let asked = |scope| (Action::Update, Resource::User(scope));
        users::lock(&mut tx, cx, subject.id.into(), asked).await?;
    }
    store::lockouts::delete(&mut *tx, &names).await?;
    audit::record(&mut tx, cx, Action::Delete, subject, None, None).await?;
    tx.commit().await
}

/// Whom it is about, and the names that failures are counted for: signing in, and changing the
/// password or the second factor.
async fn find(cx: &Context, whose: &Whose, action: Action) -> Result<(Subject, Vec<String>)> {
    match whose {
        Whose::User(user) => {
            let what = if action == Action::Read { Resource::Profile } else { Resource::User };
            let user = users::find(cx, user, |scope| (action, what(scope))).await?;
            let names = vec![user.address.to_string(), user.id.to_string()];
            Ok((Subject::of_user(&user, "lockout", user.id), names))
        }
        Whose::Operator(id) => {
            cx.authorize(action, Resource::Operators)?;
            let operator = store::operators::find(cx.pool(), *id).await?;
            let operator = operator.ok_or_else(|| Error::not_found("operator", id))?;
            let names = vec![operator.name.as_str().to_owned(), operator.id.to_string()];
            Ok((Subject::system("lockout", operator.id), names))
        }
        Whose::Own => Err(Error::internal("whoever asks has signed in")),
    }
}
