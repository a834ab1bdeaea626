//! The caller itself.

use umail_api_types::me::{CallerKind, HeldRole, Me, PasswordChange};
use umail_proto::ids::{OperatorId, UserId};

use crate::{
    app::{
        audit::{self, Subject},
        fields::one,
        lockouts, security_events, users,
    },
    authz::{Action, Role},
    context::{Assignment, Caller, Context},
    error::{Error, Result},
    model::{
        password::Password,
        session::Confinement,
        user::{User, UserRef},
    },
    store,
};

/// Who the caller is: of an API key its maker, with the roles that the key has of the maker's.
pub async fn read(cx: &Context) -> Result<Me> {
    let owner = cx.key().map(|found| found.owner).or_else(|| cx.caller().owner());
    let owner = owner.ok_or_else(ended)?;
    let (kind, name) = match (owner.operator_id, owner.user_id) {
        (Some(id), _) => {
            let operator = store::operators::find(cx.state().pool(), id).await?;
            (CallerKind::Operator, operator.ok_or_else(ended)?.name.as_str().to_owned())
        }
        (None, Some(id)) => {
            let user = store::accounts::find(cx.state().pool(), &UserRef::Id(id)).await?;
            (CallerKind::User, user.ok_or_else(ended)?.address.to_string())
        }
        (None, None) => return Err(ended()),
    };
    let roles = match cx.caller() {
        Caller::Operator { role, .. } => {
            let role = role.name().to_owned();
            vec![HeldRole { role, domain_id: None, department_id: None }]
        }
        Caller::User { assignments, .. } => assignments.iter().map(assigned).collect(),
        Caller::Node(_) | Caller::System | Caller::Nobody => return Err(ended()),
    };
    let api_key_id = cx.key().map(|found| found.key.id);
    Ok(Me { id: owner.id(), kind, name, roles, confined_to: cx.confinement(), api_key_id })
}

/// Changes the caller's own password, and ends all other sessions of the caller.
pub async fn update_password(cx: &Context, change: PasswordChange) -> Result<()> {
    cx.require_person()?;
    let policy = store::settings::get(cx.pool()).await?.password_policy;
    let user = match cx.caller() {
        Caller::User { id, .. } => store::accounts::find(cx.pool(), &UserRef::Id(*id)).await?,
        Caller::Operator { .. } | Caller::Node(_) | Caller::System | Caller::Nobody => None,
    };
    let own_name = read(cx).await?.name;
    let names = user.as_ref().map_or_else(|| vec![own_name.as_str()], User::names);
    let new = one("/new_password", policy.check(&change.new_password, &names))?;
    verify_password(cx, &change.current_password).await?;
    let must_change = cx.confinement() == Some(Confinement::PasswordChange);
    if must_change && change.new_password == change.current_password {
        return Err(Error::invalid("/new_password", "must not be the current one"));
    }
    let hash = cx.state().passwords().hash(new).await?;
    if let Some(id) = cx.caller().id() {
        lockouts::forget(cx, &id.to_string()).await?;
    }
    match cx.caller() {
        Caller::Operator { id, .. } => store_of_operator(cx, *id, &hash).await?,
        Caller::User { id, .. } => store_of_user(cx, *id, &hash).await?,
        Caller::Node(_) | Caller::System | Caller::Nobody => return Err(ended()),
    }
    cx.state().callers().forget();
    Ok(())
}

/// Refuses whoever does not know the caller's password: a stolen access token is not enough, and
/// must not become a way to guess it. Failures count until they are forgotten.
pub(super) async fn verify_password(cx: &Context, current: &str) -> Result<()> {
    let current = one("/current_password", Password::any(current))?;
    let (owner, stored) = match cx.caller() {
        Caller::Operator { id, .. } => {
            (id.uuid(), store::operators::find_hash(cx.pool(), *id).await?)
        }
        Caller::User { id, .. } => {
            (id.uuid(), store::credentials::find_password_hash(cx.pool(), *id).await?)
        }
        Caller::Node(_) | Caller::System | Caller::Nobody => return Err(ended()),
    };
    let name = owner.to_string();
    lockouts::check(cx, &name).await?;
    let verified = cx.state().passwords().verify(current, stored).await?;
    let attempt = lockouts::count(cx, &name).await?;
    if verified {
        return lockouts::take_back(cx, &name).await;
    }
    security_events::failed(cx, &name, cx.caller().owner(), attempt).await?;
    Err(Error::invalid("/current_password", "is wrong"))
}

async fn store_of_operator(cx: &Context, id: OperatorId, hash: &str) -> Result<()> {
    let mut tx = cx.begin().await?;
    let mut operator = store::operators::lock(&mut *tx, id).await?;
    operator.revision += 1;
    operator.updated_at = cx.now();
    operator.must_change_password = false;
    store::operators::update(&mut *tx, &operator, Some(hash)).await?;
    store::sessions::revoke_of_owner(&mut tx, id.uuid(), cx.session(), cx.now()).await?;
    let subject = Subject::system("operator password", id);
    audit::record(&mut tx, cx, Action::Update, subject, None, None).await?;
    tx.commit().await
}

async fn store_of_user(cx: &Context, id: UserId, hash: &str) -> Result<()> {
    let user = store::accounts::find(cx.pool(), &UserRef::Id(id)).await?.ok_or_else(ended)?;
    users::store_password(cx, &user, (hash, false), cx.session()).await
}

fn assigned(assignment: &Assignment) -> HeldRole {
    match assignment {
        Assignment::DomainAdmin(domain_id) => HeldRole {
            role: Role::DomainAdmin.name().to_owned(),
            domain_id: Some(*domain_id),
            department_id: None,
        },
        Assignment::DepartmentAdmin { domain_id, department_id, .. } => HeldRole {
            role: Role::DepartmentAdmin.name().to_owned(),
            domain_id: Some(*domain_id),
            department_id: Some(*department_id),
        },
    }
}

fn ended() -> Error {
    Error::Unauthenticated("the session has ended; sign in again")
}
