//! Signing in, staying signed in, signing out.

use time::Duration;
use umail_api_types::sessions::{NewSession, Session};
use umail_proto::ids::SessionId;

use crate::{
    authn::{random, tokens},
    context::Context,
    error::{Error, Result},
    model::{address::EmailAddress, operator::OperatorName, password::Password},
    store::{self, sessions::Owner},
};

/// How long somebody stays signed in without giving the password again.
const LIFETIME: Duration = Duration::days(30);
const WRONG: Error = Error::Unauthenticated("the name or the password is wrong");

/// Signs in. A wrong name and a wrong password look the same and take the same time.
pub async fn create(cx: &Context, new: NewSession) -> Result<Session> {
    let password =
        Password::any(&new.password).map_err(|reason| Error::invalid("/password", reason))?;
    let throttle = cx.state().throttle();
    let name = canonical(&new.name);
    if let Some(name) = &name {
        throttle.check(name, cx.now())?;
    }
    let found = match &name {
        Some(name) => find(cx, name).await?,
        None => None,
    };
    let (owner, hash) = found.unzip();
    let verified = cx.state().passwords().verify(password, hash).await?;
    let (Some(owner), Some(name)) = (owner.filter(|_| verified), &name) else {
        if let Some(name) = &name {
            throttle.failed(name, cx.now());
        }
        return Err(WRONG);
    };
    throttle.succeeded(name);
    let (id, refresh_token) = (SessionId::generate(cx.now()), random::secret("umr_")?);
    let hash = random::hash(&refresh_token);
    store::sessions::insert(cx.pool(), id, owner, &hash, cx.now(), cx.now() + LIFETIME).await?;
    answer(cx, id, refresh_token)
}

/// Gets the next tokens. A refresh token that is shown again ends the session: somebody stole it.
pub async fn refresh(cx: &Context, refresh_token: &str) -> Result<Session> {
    const ENDED: Error = Error::Unauthenticated("the session has ended; sign in again");
    let mut tx = cx.begin().await?;
    let hash = random::hash(refresh_token);
    let found = store::sessions::lock_by_refresh_hash(&mut *tx, &hash, cx.now()).await?;
    let session = found.ok_or(ENDED)?;
    if !session.is_current {
        store::sessions::revoke(&mut *tx, session.id, cx.now()).await?;
        tx.commit().await?;
        cx.state().callers().forget();
        return Err(ENDED);
    }
    let next = random::secret("umr_")?;
    store::sessions::rotate(&mut *tx, session.id, &random::hash(&next)).await?;
    tx.commit().await?;
    crate::authn::callers::of_session(cx.state(), session.id).await?;
    answer(cx, session.id, next)
}

/// Signs out.
pub async fn delete_current(cx: &Context) -> Result<()> {
    let id = cx.session().ok_or(Error::Unauthenticated("sign in first"))?;
    store::sessions::revoke(cx.pool(), id, cx.now()).await?;
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
        return Ok(
            operator.map(|(id, hash)| (Owner { operator_id: Some(id), user_id: None }, hash))
        );
    };
    let user = store::accounts::find_password(cx.pool(), local_part, domain).await?;
    Ok(user.map(|(id, hash)| (Owner { operator_id: None, user_id: Some(id) }, hash)))
}
