//! The caller itself.

use umail_api_types::me::{CallerKind, HeldRole, Me, PasswordChange};
use umail_proto::ids::{OperatorId, UserId};
use uuid::Uuid;

use crate::{
    app::{
        self,
        audit::{self, Subject},
    },
    authz::{Action, Role},
    context::{Assignment, Caller, Context},
    error::{Error, Result},
    model::{password::Password, user::UserRef},
    store,
};

/// Who the caller is.
pub async fn read(cx: &Context) -> Result<Me> {
    match cx.caller() {
        Caller::Operator { id, role } => {
            let operator = store::operators::find(cx.pool(), *id).await?.ok_or_else(ended)?;
            Ok(Me {
                id: id.uuid(),
                kind: CallerKind::Operator,
                name: operator.name.as_str().to_owned(),
                roles: vec![HeldRole {
                    role: role.name().to_owned(),
                    domain_id: None,
                    department_id: None,
                }],
            })
        }
        Caller::User { id, assignments, .. } => {
            let user = store::accounts::find(cx.pool(), &UserRef::Id(*id)).await?;
            let name = user.ok_or_else(ended)?.address.to_string();
            let roles = assignments.iter().map(assigned).collect();
            Ok(Me { id: id.uuid(), kind: CallerKind::User, name, roles })
        }
        Caller::Node(_) | Caller::System | Caller::Nobody => Err(ended()),
    }
}

/// Changes the caller's own password, and ends all other sessions of the caller.
pub async fn update_password(cx: &Context, change: PasswordChange) -> Result<()> {
    let new = Password::new(&change.new_password)
        .map_err(|reason| Error::invalid("/new_password", reason))?;
    let current = Password::any(&change.current_password)
        .map_err(|reason| Error::invalid("/current_password", reason))?;
    let (owner, stored) = match cx.caller() {
        Caller::Operator { id, .. } => {
            (id.uuid(), store::operators::find_hash(cx.pool(), *id).await?)
        }
        Caller::User { id, .. } => {
            (id.uuid(), store::credentials::find_password_hash(cx.pool(), *id).await?)
        }
        Caller::Node(_) | Caller::System | Caller::Nobody => return Err(ended()),
    };
    verify(cx, owner, current, stored).await?;
    let hash = cx.state().passwords().hash(new).await?;
    match cx.caller() {
        Caller::Operator { id, .. } => store_of_operator(cx, *id, &hash).await?,
        Caller::User { id, .. } => store_of_user(cx, *id, &hash).await?,
        Caller::Node(_) | Caller::System | Caller::Nobody => return Err(ended()),
    }
    cx.state().callers().forget();
    Ok(())
}

/// A stolen access token must not become a way to guess the password.
async fn verify(
    cx: &Context,
    owner: Uuid,
    current: Password,
    stored: Option<String>,
) -> Result<()> {
    let (throttle, name) = (cx.state().throttle(), owner.to_string());
    throttle.check(&name, cx.now())?;
    if cx.state().passwords().verify(current, stored).await? {
        throttle.succeeded(&name);
        return Ok(());
    }
    throttle.failed(&name, cx.now());
    Err(Error::invalid("/current_password", "is wrong"))
}

async fn store_of_operator(cx: &Context, id: OperatorId, hash: &str) -> Result<()> {
    let mut tx = cx.begin().await?;
    let mut operator = store::operators::lock(&mut *tx, id).await?;
    operator.revision += 1;
    operator.updated_at = cx.now();
    store::operators::update(&mut *tx, &operator, Some(hash)).await?;
    store::sessions::revoke_of_owner(&mut *tx, id.uuid(), cx.session(), cx.now()).await?;
    let subject = Subject::system("operator password", id);
    audit::record(&mut tx, cx, Action::Update, subject, None, None).await?;
    tx.commit().await
}

async fn store_of_user(cx: &Context, id: UserId, hash: &str) -> Result<()> {
    let user = store::accounts::find(cx.pool(), &UserRef::Id(id)).await?.ok_or_else(ended)?;
    app::users::store_password(cx, &user, hash, cx.session()).await
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
