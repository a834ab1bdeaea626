//! Login links: made by whoever may set a user's password, redeemed by whoever is shown as that user.

use umail_api_types::{
    functions::FunctionName,
    login_links::{LoginLinkRedemption, NewLoginLink},
    me::CallerKind,
    sessions::Session,
};
use umail_proto::{functions::Function, ids::LoginLinkId};

use crate::{
    app::{
        audit::{self, Subject, shown},
        entitlements,
        fields::one,
        lockouts, security_events,
        sessions::{self, Begin},
        totp, users,
    },
    authn::{callers::Credential, random},
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        allowance::Exceeded,
        login_link::{LoginLink, MAX_LINKS, MadeWith, PREFIX, SESSION_LIFETIME, parse_lifetime},
        session::{Client, LinkMaker},
        user::{User, UserRef},
    },
    store,
};

/// The same whatever is wrong: a thief learns nothing.
const REFUSED: Error =
    Error::Unauthenticated("the login link is unknown, used, or not good any more");

/// Makes a link for somebody else, and returns it with its secret, which is not stored.
pub async fn create(
    cx: &Context,
    user: &UserRef,
    new: &NewLoginLink,
) -> Result<(LoginLink, String)> {
    let made_with = made_with(cx)?;
    let asked = |scope| (Action::Update, Resource::User(scope));
    let user = users::find(cx, user, asked).await?;
    let lifetime = one("/lifetime_seconds", parse_lifetime(new.lifetime_seconds))?;
    let secret = random::secret(PREFIX)?;
    let mut tx = cx.begin().await?;
    let user = users::lock(&mut tx, cx, user.id, asked).await?;
    entitlements::require(&mut tx, &user, FunctionName::Sso).await?;
    if store::accounts::find_sign_in_domain(&mut *tx, user.id).await?.is_none() {
        let text = format!("user {} may not sign in: status of user or domain", user.address);
        return Err(Error::Conflict(text));
    }
    if store::login_links::count(&mut *tx, user.id, cx.now()).await? >= MAX_LINKS {
        return Err(Exceeded::of_user(&user.address, "login links", MAX_LINKS).into());
    }
    let link = LoginLink {
        id: LoginLinkId::generate(cx.now()),
        user_id: user.id,
        made_with,
        created_at: cx.now(),
        expires_at: cx.now() + lifetime,
        redeemed_at: None,
    };
    store::login_links::insert(&mut *tx, &link, &random::hash(&secret)).await?;
    let subject = Subject::of_user(&user, "login link", link.id);
    audit::record(&mut tx, cx, Action::Create, subject, None, shown(&link)?).await?;
    tx.commit().await?;
    Ok((link, secret))
}

/// By what the caller makes a link: nobody who was let in by one makes the next.
fn made_with(cx: &Context) -> Result<MadeWith> {
    let Some(found) = cx.key() else {
        cx.require_person()?;
        return cx.session().map(MadeWith::Session).ok_or(Error::Unauthenticated("sign in first"));
    };
    if !found.key.scope.login_links {
        let text = "this with an API key that was made without login_links";
        return Err(Error::Forbidden(text.to_owned()));
    }
    Ok(MadeWith::ApiKey(found.key.id))
}

/// Signs in the user of a link, once. A second factor is asked for as after a password.
pub async fn redeem(cx: &Context, client: &Client, asked: &LoginLinkRedemption) -> Result<Session> {
    let hash = random::hash(&asked.login_link);
    let found = store::login_links::find_by_hash(cx.pool(), &hash).await?;
    let Some(link) = found else { return refuse(cx, None).await };
    let Some((user, made_by)) = good(cx, &link).await? else {
        return refuse(cx, Some(&link)).await;
    };
    pass_second_factor(cx, &user, asked.totp.as_deref()).await?;
    let mut tx = cx.begin().await?;
    // The user first, as whoever ends the sessions of the user does; then the key, as whoever removes
    // it does.
    store::accounts::hold(&mut *tx, user.id).await?;
    let is_held = match link.made_with {
        MadeWith::ApiKey(key) => store::api_keys::hold(&mut *tx, key).await?,
        MadeWith::Session(_) => true,
    };
    if !is_held || !store::login_links::redeem(&mut *tx, link.id, cx.now()).await? {
        drop(tx);
        return refuse(cx, Some(&link)).await;
    }
    let by_link = Some((link.id, made_by));
    let begin = Begin { owner: user.id.into(), lifetime: SESSION_LIFETIME, by_link };
    sessions::begin_in(tx, cx, begin, client).await
}

async fn refuse(cx: &Context, link: Option<&LoginLink>) -> Result<Session> {
    security_events::link_refused(cx, link).await?;
    Err(REFUSED)
}

/// Whom a link lets in, and who made it: if it is open, the user may sign in and has the function,
/// and the maker may still do this.
async fn good(cx: &Context, link: &LoginLink) -> Result<Option<(User, LinkMaker)>> {
    if !link.is_open(cx.now()) {
        return Ok(None);
    }
    let user = store::accounts::find(cx.pool(), &UserRef::Id(link.user_id)).await?;
    let home = store::accounts::find_sign_in_domain(cx.pool(), link.user_id).await?;
    let functions = store::accounts::find_functions(cx.pool(), link.user_id).await?;
    let is_let_in = functions.is_some_and(|has| has.contains(Function::Sso));
    let (Some(user), Some(_), true) = (user, home, is_let_in) else { return Ok(None) };
    let Some(maker) = maker(cx, link).await? else { return Ok(None) };
    if maker.authorize(Action::Update, Resource::User(user.scope())).is_err() {
        return Ok(None);
    }
    let api_key_id = maker.key().map(|found| found.key.id);
    let owner = maker.key().map(|found| found.owner).or_else(|| maker.caller().owner());
    Ok(owner.map(|owner| {
        let by_operator = owner.operator_id.is_some();
        let kind = if by_operator { CallerKind::Operator } else { CallerKind::User };
        (user, LinkMaker { kind, id: owner.id(), api_key_id })
    }))
}

/// Whoever made a link, as the session or the key is good for now; nothing if it is not.
async fn maker(cx: &Context, link: &LoginLink) -> Result<Option<Context>> {
    let credential = match link.made_with {
        MadeWith::Session(id) => Credential::Session(id),
        MadeWith::ApiKey(id) => {
            let hash = store::api_keys::find_hash(cx.pool(), id).await?;
            let Some(Ok(hash)) = hash.map(TryInto::try_into) else { return Ok(None) };
            Credential::Key(hash)
        }
    };
    match Context::of(cx.state().clone(), credential, cx.request_id().into()).await {
        Ok(maker) => Ok(Some(maker).filter(|maker| maker.confinement().is_none())),
        Err(Error::Unauthenticated(_)) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Asks for a code if the user has a second factor. Guesses count as those after a password do, and
/// a code that is right forgets none of them.
async fn pass_second_factor(cx: &Context, user: &User, code: Option<&str>) -> Result<()> {
    if !totp::is_enrolled(cx, user.id.uuid()).await? {
        return Ok(());
    }
    let name = user.address.to_string();
    lockouts::check(cx, &name).await?;
    let attempt = lockouts::count(cx, &name).await?;
    sessions::check_factor(cx, (user.id.into(), &name), code, attempt).await?;
    lockouts::take_back(cx, &name).await
}
