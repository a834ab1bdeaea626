//! Second factors: enrolled and confirmed by whoever signs in, reset by whoever outranks them.

use umail_api_types::totp::{NewTotp, Totp, TotpConfirmation, TotpRemoval, TotpSecret};
use uuid::Uuid;

use crate::{
    app::{
        audit::{self, Subject},
        lockouts, me, security_events,
        sessions::Whose,
        users,
    },
    authn::random,
    authz::{Action, Resource},
    context::{Caller, Context},
    error::{Error, Result},
    model::{
        totp::{Code, Factor, RECOVERY_CODES, SECRET_LEN, spell_recovery_code},
        user::UserRef,
    },
    store::{self, sessions::Owner},
    transaction::Transaction,
};

/// The second factor of the caller.
pub async fn read(cx: &Context) -> Result<Totp> {
    let own = own(cx).await?;
    let stored = store::totps::find(cx.pool(), own.subject.id).await?;
    let confirmed_at = stored.and_then(|stored| stored.confirmed_at);
    let recovery_codes_left = store::recovery_codes::count(cx.pool(), own.subject.id).await?;
    Ok(Totp { enrolled: confirmed_at.is_some(), confirmed_at, recovery_codes_left })
}

/// Makes a secret for the caller, of no effect until it is confirmed.
pub async fn enrol(cx: &Context, new: &NewTotp) -> Result<TotpSecret> {
    let own = own(cx).await?;
    me::verify_password(cx, &new.current_password).await?;
    lockouts::forget(cx, &own.subject.id.to_string()).await?;
    let mut secret = [0; SECRET_LEN];
    getrandom::fill(&mut secret).map_err(Error::internal)?;
    let factor = Factor::new(&secret, &own.name)?;
    let sealed = cx.state().sealer().seal(&seal_name(own.subject.id), &secret)?;
    let mut tx = cx.begin().await?;
    if !store::totps::upsert(&mut *tx, own.owner, &sealed, cx.now()).await? {
        let text = "a second factor is enrolled already: remove it first";
        return Err(Error::Conflict(text.to_owned()));
    }
    audit::record(&mut tx, cx, Action::Create, own.subject, None, None).await?;
    tx.commit().await?;
    Ok(TotpSecret { secret: factor.secret(), uri: factor.uri()? })
}

/// Confirms the secret by its first code: from now on one is needed to sign in. All other sessions
/// of the caller end. Returns the recovery codes.
pub async fn confirm(cx: &Context, confirmation: &TotpConfirmation) -> Result<Vec<String>> {
    let own = own(cx).await?;
    let id = own.subject.id;
    lockouts::check(cx, &id.to_string()).await?;
    let stored = store::totps::find(cx.pool(), id).await?;
    let stored = stored.filter(|stored| stored.confirmed_at.is_none());
    let nothing = || Error::Conflict("there is no second factor to confirm: enrol one".to_owned());
    let factor = open(cx, id, &own.name, &stored.ok_or_else(nothing)?.sealed)?;
    let attempt = lockouts::count(cx, &id.to_string()).await?;
    let step = match Code::read(&confirmation.code) {
        Some(Code::Now(code)) => factor.step(&code, cx.now()),
        Some(Code::Recovery(_)) | None => None,
    };
    let Some(step) = step else {
        security_events::failed(cx, &id.to_string(), Some(own.owner), attempt).await?;
        return Err(Error::invalid("/code", "is wrong"));
    };
    lockouts::forget(cx, &id.to_string()).await?;
    let codes = recovery_codes()?;
    let hashes: Vec<_> = codes.iter().map(|code| random::hash(code)).collect();
    let mut tx = cx.begin().await?;
    if !store::totps::confirm(&mut *tx, id, step, cx.now()).await? {
        return Err(nothing());
    }
    store::recovery_codes::insert(&mut *tx, id, &hashes).await?;
    store::sessions::revoke_of_owner(&mut tx, id, cx.session(), cx.now()).await?;
    finish(tx, cx, Action::Update, own.subject).await?;
    Ok(codes)
}

/// Removes the second factor of the caller, who proves to have it.
pub async fn remove(cx: &Context, removal: &TotpRemoval) -> Result<()> {
    let own = own(cx).await?;
    let id = own.subject.id;
    me::verify_password(cx, &removal.current_password).await?;
    let stored = store::totps::find(cx.pool(), id).await?;
    if stored.is_none_or(|stored| stored.confirmed_at.is_none()) {
        return Err(Error::not_found("second factor", "of the caller"));
    }
    let attempt = lockouts::count(cx, &id.to_string()).await?;
    if !is_passed(cx, own.owner, &own.name, Some(&removal.code)).await? {
        security_events::failed(cx, &id.to_string(), Some(own.owner), attempt).await?;
        return Err(Error::invalid("/code", "is wrong, or was used"));
    }
    lockouts::forget(cx, &id.to_string()).await?;
    let mut tx = cx.begin().await?;
    store::totps::delete(&mut *tx, id).await?;
    finish(tx, cx, Action::Delete, own.subject).await
}

/// Removes the second factor of somebody else, who has lost it; there may be none.
pub async fn reset(cx: &Context, whose: &Whose) -> Result<()> {
    cx.require_person()?;
    let mut tx = cx.begin().await?;
    let subject = match whose {
        Whose::User(user) => {
            let asked = |scope| (Action::Update, Resource::User(scope));
            let user = users::find(cx, user, asked).await?;
            users::lock(&mut tx, cx, user.id, asked).await?;
            Subject::of_user(&user, "totp", user.id)
        }
        Whose::Operator(id) => {
            cx.authorize(Action::Update, Resource::Operators)?;
            if cx.caller().id() == Some(id.uuid()) {
                let text = "this is your own second factor: remove it by POST /v1/me/totp/remove";
                return Err(Error::Conflict(text.to_owned()));
            }
            store::operators::lock(&mut *tx, *id).await?;
            Subject::system("totp", *id)
        }
        Whose::Own => return Err(Error::internal("one's own is removed by proof")),
    };
    if !store::totps::delete(&mut *tx, subject.id).await? {
        return tx.commit().await;
    }
    finish(tx, cx, Action::Delete, subject).await
}

/// Whether an operator or user has a second factor.
pub(super) async fn is_enrolled(cx: &Context, owner: Uuid) -> Result<bool> {
    let stored = store::totps::find(cx.pool(), owner).await?;
    Ok(stored.is_some_and(|stored| stored.confirmed_at.is_some()))
}

/// Whether somebody who signs in with this name may, as far as the second factor is concerned. A
/// code that was right is used up.
pub(super) async fn is_passed(
    cx: &Context,
    owner: Owner,
    name: &str,
    code: Option<&str>,
) -> Result<bool> {
    let id = owner.id();
    let stored = store::totps::find(cx.pool(), id).await?;
    let Some(stored) = stored.filter(|stored| stored.confirmed_at.is_some()) else {
        return Ok(true);
    };
    match Code::read(code.ok_or(Error::TotpRequired)?) {
        Some(Code::Now(code)) => match open(cx, id, name, &stored.sealed)?.step(&code, cx.now()) {
            Some(step) => store::totps::use_step(cx.pool(), id, step).await,
            None => Ok(false),
        },
        Some(Code::Recovery(code)) => {
            store::recovery_codes::delete(cx.pool(), id, &random::hash(&code)).await
        }
        None => Ok(false),
    }
}

/// The caller, as far as its own second factor is concerned.
struct Own {
    owner: Owner,
    subject: Subject,
    /// What it signs in with.
    name: String,
}

async fn own(cx: &Context) -> Result<Own> {
    const ENDED: Error = Error::Unauthenticated("the session has ended; sign in again");
    cx.require_person()?;
    match cx.caller() {
        Caller::Operator { id, .. } => {
            let operator = store::operators::find(cx.pool(), *id).await?.ok_or(ENDED)?;
            let name = operator.name.as_str().to_owned();
            Ok(Own { owner: (*id).into(), subject: Subject::system("totp", *id), name })
        }
        Caller::User { id, .. } => {
            let user = store::accounts::find(cx.pool(), &UserRef::Id(*id)).await?.ok_or(ENDED)?;
            let name = user.address.to_string();
            let subject = Subject::of_user(&user, "totp", *id);
            Ok(Own { owner: (*id).into(), subject, name })
        }
        Caller::Node(_) | Caller::System | Caller::Nobody => Err(ENDED),
    }
}

fn seal_name(owner: Uuid) -> String {
    format!("totp {owner}")
}

fn open(cx: &Context, owner: Uuid, name: &str, sealed: &[u8]) -> Result<Factor> {
    Factor::new(&cx.state().sealer().open(&seal_name(owner), sealed)?, name)
}

fn recovery_codes() -> Result<Vec<String>> {
    let code = |_| {
        let mut random = [0; 28];
        getrandom::fill(&mut random).map_err(Error::internal)?;
        Ok(spell_recovery_code(&random))
    };
    (0..RECOVERY_CODES).map(code).collect()
}

async fn finish(mut tx: Transaction, cx: &Context, action: Action, subject: Subject) -> Result<()> {
    audit::record(&mut tx, cx, action, subject, None, None).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    Ok(())
}
