//! API keys: made, rotated and removed by whoever they act for, never by a key.

use umail_api_types::api_keys::{KeyRole, NewApiKey, Rotation};
use umail_proto::ids::{ApiKeyId, DepartmentId, DomainId};

use crate::{
    app::{
        audit::{self, Subject, shown},
        fields::{Fields, given, one},
    },
    authn::random,
    authz::{self, Action},
    context::{Caller, Context},
    error::{Error, Result},
    model::{
        api_key::{
            self, ApiKey, KeyScope, MAX_KEYS, PREFIX, parse_expiry, parse_name, parse_networks,
            parse_overlap,
        },
        operator::OperatorRole,
        page::Page,
        user::UserRef,
    },
    store::{self, sessions::Owner},
};

/// A page of the caller's keys.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<ApiKey>> {
    store::api_keys::list(cx.pool(), maker(cx)?.id(), page).await
}

/// One of the caller's keys.
pub async fn read(cx: &Context, id: ApiKeyId) -> Result<ApiKey> {
    let found = store::api_keys::find(cx.pool(), maker(cx)?.id(), id).await?;
    found.ok_or_else(|| Error::not_found("API key", id))
}

/// Makes a key, and returns it with its secret, which is not stored.
pub async fn create(cx: &Context, new: &NewApiKey) -> Result<(ApiKey, String)> {
    let owner = maker(cx)?;
    let mut fields = Fields::default();
    let name = fields.read("/name", parse_name(&new.name));
    let networks = fields.read("/networks", parse_networks(&new.networks));
    let expires_at = fields.read("/expires_at", parse_expiry(new.expires_at, cx.now()));
    let scope = match scope(cx, new).await? {
        Ok(scope) => Some(scope),
        Err((field, reason)) => fields.read(field, Err(reason.to_owned())),
    };
    fields.check()?;
    let secret = random::secret(PREFIX)?;
    let key = ApiKey {
        id: ApiKeyId::generate(cx.now()),
        name: given(name)?,
        prefix: api_key::shown(&secret),
        scope: given(scope)?,
        networks: given(networks)?,
        created_at: cx.now(),
        expires_at: given(expires_at)?,
        last_used_at: None,
        former_until: None,
    };
    let mut tx = cx.begin().await?;
    store::api_keys::lock_all(&mut *tx, owner.id()).await?;
    if store::api_keys::count(&mut *tx, owner.id()).await? >= MAX_KEYS {
        let text = format!("you have {MAX_KEYS} API keys: remove one");
        return Err(Error::Conflict(text));
    }
    store::api_keys::insert(&mut *tx, owner, &key, &random::hash(&secret)).await?;
    let subject = subject(cx, key.id).await?;
    audit::record(&mut tx, cx, Action::Create, subject, None, shown(&key)?).await?;
    tx.commit().await?;
    Ok((key, secret))
}

/// Gives a key a new secret; the one before stays good for a while.
pub async fn rotate(cx: &Context, id: ApiKeyId, wanted: &Rotation) -> Result<(ApiKey, String)> {
    let owner = maker(cx)?;
    let overlap = one("/overlap_seconds", parse_overlap(wanted.overlap_seconds))?;
    let secret = random::secret(PREFIX)?;
    let mut tx = cx.begin().await?;
    let before = store::api_keys::lock(&mut *tx, owner.id(), id).await?;
    let before = before.ok_or_else(|| Error::not_found("API key", id))?;
    let key = ApiKey {
        prefix: api_key::shown(&secret),
        former_until: Some(cx.now() + overlap),
        ..before.clone()
    };
    store::api_keys::rotate(&mut *tx, &key, &random::hash(&secret)).await?;
    if overlap.is_zero() {
        // Whoever has the old secret is to be kept out.
        store::sessions::revoke_of_key(&mut tx, id, cx.now()).await?;
    }
    let subject = subject(cx, id).await?;
    audit::record(&mut tx, cx, Action::Update, subject, shown(&before)?, shown(&key)?).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    Ok((key, secret))
}

/// Removes a key: nobody acts by it any more.
pub async fn delete(cx: &Context, id: ApiKeyId) -> Result<()> {
    let owner = maker(cx)?;
    let mut tx = cx.begin().await?;
    let before = store::api_keys::lock(&mut *tx, owner.id(), id).await?;
    let before = before.ok_or_else(|| Error::not_found("API key", id))?;
    store::api_keys::delete(&mut *tx, id).await?;
    let subject = subject(cx, id).await?;
    audit::record(&mut tx, cx, Action::Delete, subject, shown(&before)?, None).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    Ok(())
}

/// Whose keys are meant: those of the caller, who has signed in.
fn maker(cx: &Context) -> Result<Owner> {
    cx.require_person()?;
    cx.caller().owner().ok_or(Error::Unauthenticated("sign in first"))
}

async fn subject(cx: &Context, id: ApiKeyId) -> Result<Subject> {
    let Caller::User { id: user, .. } = cx.caller() else {
        return Ok(Subject::system("API key", id));
    };
    let user = store::accounts::find(cx.pool(), &UserRef::Id(*user)).await?;
    Ok(user.map_or_else(
        || Subject::system("API key", id),
        |user| Subject::of_user(&user, "API key", id),
    ))
}

/// What is wrong with a field.
type Wrong = (&'static str, &'static str);

/// What a key is to be good for: no more than the caller may.
async fn scope(cx: &Context, new: &NewApiKey) -> Result<Result<KeyScope, Wrong>> {
    let scope = KeyScope {
        role: new.role,
        domain_id: new.domain_id,
        department_id: new.department_id,
        read_only: new.read_only,
        login_links: new.login_links,
    };
    if new.read_only && new.login_links {
        return Ok(Err(("/login_links", "is not for a key that only reads")));
    }
    let (of_domain, of_department) =
        (new.role == Some(KeyRole::DomainAdmin), new.role == Some(KeyRole::DepartmentAdmin));
    if new.department_id.is_some() != of_department {
        let reason = "is for a department_admin, who needs it";
        return Ok(Err(("/department_id", reason)));
    }
    if new.domain_id.is_some() != of_domain {
        return Ok(Err(("/domain_id", "is for a domain_admin, who needs it")));
    }
    match (new.role, new.domain_id, new.department_id) {
        (Some(_), Some(domain), None) => {
            let is_within = is_within(cx, domain, None).await?;
            let wrong = ("/domain_id", "must be a domain that you administer");
            Ok(if is_within { Ok(scope) } else { Err(wrong) })
        }
        (Some(_), None, Some(department)) => {
            let wrong = ("/department_id", "must be a department that you administer");
            let found = store::departments::find(cx.pool(), department).await?;
            let Some(found) = found else { return Ok(Err(wrong)) };
            let is_within = is_within(cx, found.domain_id, Some(department)).await?;
            let scope = KeyScope { domain_id: Some(found.domain_id), ..scope };
            Ok(if is_within { Ok(scope) } else { Err(wrong) })
        }
        (Some(role), _, _) if !is_held(cx.caller(), role) => {
            Ok(Err(("/role", "must not be more than yours")))
        }
        _ => Ok(Ok(scope)),
    }
}

/// Whether the caller administers all of this.
async fn is_within(
    cx: &Context,
    domain: DomainId,
    department: Option<DepartmentId>,
) -> Result<bool> {
    if store::domains::find(cx.pool(), &domain.into()).await?.is_none() {
        return Ok(false);
    }
    Ok(authz::administers(cx.caller(), domain, department))
}

/// Whether the caller has a role that is not of a place.
fn is_held(caller: &Caller, role: KeyRole) -> bool {
    match (caller, role) {
        (Caller::Operator { role, .. }, KeyRole::SystemAdmin) => *role == OperatorRole::SystemAdmin,
        (Caller::Operator { .. }, KeyRole::SuperDomainAdmin) => true,
        (Caller::User { .. }, KeyRole::User) => true,
        _ => false,
    }
}
