//! Signing in, staying signed in, signing out, here and everywhere.

use time::Duration;
use umail_api_types::sessions::{NewSession, Session};
use umail_proto::{
    agent::RowKind,
    ids::{LoginLinkId, OperatorId, SessionId},
};

use crate::{
    app::{
        audit::{self, Subject},
        lockouts, security_events, totp, users,
    },
    authn::{passwords::is_foreign, random, tokens},
    authz::{Action, Resource},
    context::{Caller, Context},
    error::{Error, Result},
    model::{
        address::EmailAddress,
        lockout::Lockout,
        operator::OperatorName,
        page::Page,
        password::Password,
        session::{Client, LinkMaker, SignIn},
        user::UserRef,
    },
    store::{self, sessions::Owner},
    transaction::Transaction,
};

/// How long somebody stays signed in without giving the password again.
const LIFETIME: Duration = Duration::days(30);
const WRONG: Error = Error::Unauthenticated("the name or the password is wrong");

/// Signs in. A wrong name and a wrong password look the same and take the same time.
pub async fn create(cx: &Context, client: &Client, new: NewSession) -> Result<Session> {
    let password =
        Password::any(&new.password).map_err(|reason| Error::invalid("/password", reason))?;
    let name = canonical(&new.name);
    if let Some(name) = &name {
        lockouts::check(cx, name).await?;
    }
    let found = match &name {
        Some(name) => find(cx, name).await?,
        None => None,
    };
    let (owner, hash) = found.unzip();
    let verified = cx.state().passwords().verify(password.clone(), hash.clone()).await?;
    let Some(name) = &name else { return Err(WRONG) };
    let attempt = lockouts::count(cx, name).await?;
    let Some(owner) = owner.filter(|_| verified) else {
        security_events::failed(cx, name, owner, attempt).await?;
        return Err(WRONG);
    };
    check_factor(cx, (owner, name), new.totp.as_deref(), attempt).await?;
    lockouts::forget(cx, name).await?;
    renew_hash(cx, owner, password, hash.as_deref().unwrap_or_default()).await?;
    let begin = Begin { owner, lifetime: LIFETIME, by_link: None };
    begin_in(cx.begin().await?, cx, begin, client).await
}

/// Refuses whoever has a second factor and does not prove it; a code that is wrong stays counted.
pub(super) async fn check_factor(
    cx: &Context,
    (owner, name): (Owner, &str),
    code: Option<&str>,
    attempt: Lockout,
) -> Result<()> {
    match totp::is_passed(cx, owner, name, code).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            security_events::failed(cx, name, Some(owner), attempt).await?;
            Err(Error::invalid("/totp", "is wrong, or was used"))
        }
        Err(cause) => {
            lockouts::take_back(cx, name).await?;
            Err(cause)
        }
    }
}

/// A session that begins.
pub(super) struct Begin {
    pub(super) owner: Owner,
    pub(super) lifetime: Duration,
    /// The login link that it is begun with, and who made that.
    pub(super) by_link: Option<(LoginLinkId, LinkMaker)>,
}

/// Begins a session of somebody who has proved to be who it is, in this transaction, and commits.
pub(super) async fn begin_in(
    mut tx: Transaction,
    cx: &Context,
    Begin { owner, lifetime, by_link }: Begin,
    client: &Client,
) -> Result<Session> {
    let (id, refresh_token) = (SessionId::generate(cx.now()), random::secret("umr_")?);
    let new = store::sessions::New {
        id,
        owner,
        made_by: by_link.map(|(_, maker)| maker),
        created_at: cx.now(),
        expires_at: cx.now() + lifetime,
    };
    store::sessions::insert(&mut *tx, &new, &random::hash(&refresh_token), client).await?;
    security_events::signed_in(&mut tx, cx, (owner, id), by_link, client).await?;
    tx.commit().await?;
    answer(cx, id, refresh_token)
}

/// Replaces the hash of a password that came from elsewhere by one of ours. The password stays what
/// it is, so that nothing else changes.
async fn renew_hash(cx: &Context, owner: Owner, password: Password, before: &str) -> Result<()> {
    let Some(user) = owner.user_id.filter(|_| is_foreign(before)) else { return Ok(()) };
    let after = cx.state().passwords().hash(password).await?;
    let mut tx = cx.begin().await?;
    store::accounts::lock(&mut *tx, user).await?;
    let found = store::accounts::find(&mut *tx, &UserRef::Id(user)).await?;
    let hashes = (before, after.as_str());
    if let (Some(found), Some(credential)) =
        (found, store::credentials::rehash(&mut *tx, user, hashes).await?)
    {
        let (kind, key) = (RowKind::Credential, credential.uuid());
        store::changes::insert(&mut *tx, kind, key, Some(&found.nodes())).await?;
    }
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(())
}

/// Gets the next tokens. A refresh token that is shown again ends the session: somebody stole it.
pub async fn refresh(cx: &Context, client: &Client, refresh_token: &str) -> Result<Session> {
    const ENDED: Error = Error::Unauthenticated("the session has ended; sign in again");
    let hash = random::hash(refresh_token);
    // Before the token is used up: who is refused for now comes back with it. And before the session
    // is locked, since the look at it notes that it is used.
    if let Some(id) = store::sessions::find_by_refresh_hash(cx.pool(), &hash).await? {
        crate::authn::callers::of_session(cx.state(), id).await?;
    }
    let mut tx = cx.begin().await?;
    let found = store::sessions::lock_by_refresh_hash(&mut *tx, &hash, cx.now()).await?;
    let session = found.ok_or(ENDED)?;
    if !session.is_current {
        store::sessions::revoke(&mut *tx, session.id, cx.now()).await?;
        security_events::token_reused(&mut tx, cx, session.owner, session.id).await?;
        tx.commit().await?;
        cx.state().callers().forget();
        return Err(ENDED);
    }
    let next = random::secret("umr_")?;
    let hash = random::hash(&next);
    store::sessions::rotate(&mut *tx, session.id, &hash, client, cx.now()).await?;
    tx.commit().await?;
    answer(cx, session.id, next)
}

/// Signs out.
pub async fn delete_current(cx: &Context) -> Result<()> {
    cx.require_session()?;
    let id = cx.session().ok_or(Error::Unauthenticated("sign in first"))?;
    let owner = find_owner(cx, &Whose::Own, Action::Delete).await?;
    let mut tx = cx.begin().await?;
    store::sessions::revoke(&mut *tx, id, cx.now()).await?;
    finish(tx, cx, Subject { id: id.uuid(), kind: "session", ..owner }).await
}

/// Whose sessions are meant.
#[derive(Clone, Debug)]
pub enum Whose {
    /// Those of the caller.
    Own,
    /// Those of a user.
    User(UserRef),
    /// Those of an operator.
    Operator(OperatorId),
}

/// A page of the places where somebody is signed in.
pub async fn list(cx: &Context, whose: &Whose, page: Page) -> Result<Vec<SignIn>> {
    let owner = find_owner(cx, whose, Action::List).await?;
    store::sessions::list(cx.pool(), owner.id, page, cx.now()).await
}

/// Ends one session of somebody.
pub async fn delete(cx: &Context, whose: &Whose, id: SessionId) -> Result<()> {
    let owner = find_owner(cx, whose, Action::Delete).await?;
    let mut tx = cx.begin().await?;
    lock_owner(&mut tx, cx, whose, owner).await?;
    if !store::sessions::revoke_one_of_owner(&mut *tx, owner.id, id, cx.now()).await? {
        return Err(Error::not_found("session", id));
    }
    finish(tx, cx, Subject { id: id.uuid(), kind: "session", ..owner }).await
}

/// Ends all sessions of somebody: signs out everywhere.
pub async fn delete_all(cx: &Context, whose: &Whose) -> Result<()> {
    let owner = find_owner(cx, whose, Action::Delete).await?;
    let mut tx = cx.begin().await?;
    lock_owner(&mut tx, cx, whose, owner).await?;
    store::sessions::revoke_of_owner(&mut tx, owner.id, None, cx.now()).await?;
    finish(tx, cx, owner).await
}

/// The owner, if the caller may do this to the sessions.
async fn find_owner(cx: &Context, whose: &Whose, action: Action) -> Result<Subject> {
    match whose {
        Whose::Own => cx.require_session()?,
        Whose::User(_) | Whose::Operator(_) => cx.require_person()?,
    }
    match (whose, cx.caller()) {
        (Whose::Own, Caller::Operator { id, .. }) => Ok(Subject::system("sessions", *id)),
        (Whose::Own, Caller::User { id, domain_id, .. }) => {
            let user = store::accounts::find(cx.pool(), &UserRef::Id(*id)).await?;
            let department = user.and_then(|user| user.department_id);
            let subject = Subject::of(*domain_id, "sessions", *id).within(department);
            Ok(subject.about(Some(*id)))
        }
        (Whose::Own, Caller::Node(_) | Caller::System | Caller::Nobody) => {
            Err(Error::Unauthenticated("sign in first"))
        }
        (Whose::User(user), _) => {
            let user = users::find(cx, user, |scope| (action, Resource::Profile(scope))).await?;
            Ok(Subject::of_user(&user, "sessions", user.id))
        }
        (Whose::Operator(id), _) => {
            cx.authorize(action, Resource::Operators)?;
            let operator = store::operators::find(cx.pool(), *id).await?;
            let operator = operator.ok_or_else(|| Error::not_found("operator", id))?;
            Ok(Subject::system("sessions", operator.id))
        }
    }
}

/// Locks a user whose sessions somebody else ends: the caller may do this still. One's own are
/// nobody else's business.
async fn lock_owner(
    tx: &mut Transaction,
    cx: &Context,
    whose: &Whose,
    owner: Subject,
) -> Result<()> {
    if let Whose::User(_) = whose {
        let asked = |scope| (Action::Delete, Resource::Profile(scope));
        users::lock(tx, cx, owner.id.into(), asked).await?;
    }
    Ok(())
}

async fn finish(mut tx: Transaction, cx: &Context, subject: Subject) -> Result<()> {
    audit::record(&mut tx, cx, Action::Delete, subject, None, None).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    Ok(())
}

fn answer(cx: &Context, id: SessionId, refresh_token: String) -> Result<Session> {
    Ok(Session {
        access_token: cx.state().tokens().sign(id, cx.now())?,
        token_type: "Bearer".to_owned(),
        expires_in_seconds: tokens::LIFETIME.whole_seconds().try_into().unwrap_or_default(),
        refresh_token,
    })
}

/// One spelling of the name; nothing if nobody can have it.
fn canonical(name: &str) -> Option<String> {
    if name.contains('@') {
        EmailAddress::parse(name).ok().map(|address| address.to_string())
    } else {
        OperatorName::parse(name).ok().map(|name| name.as_str().to_owned())
    }
}

async fn find(cx: &Context, name: &str) -> Result<Option<(Owner, String)>> {
    let Some((local_part, domain)) = name.rsplit_once('@') else {
        let operator = store::operators::find_password(cx.pool(), name).await?;
        return Ok(operator.map(|(id, hash)| (id.into(), hash)));
    };
    let user = store::accounts::find_password(cx.pool(), local_part, domain).await?;
    Ok(user.map(|(id, hash)| (id.into(), hash)))
}
