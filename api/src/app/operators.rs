//! Operators: staff accounts without mail.

use umail_api_types::operators::{NewOperator, OperatorPatch};
use umail_proto::ids::OperatorId;

use crate::{
    app::{
        audit::{self, Subject, shown},
        fields::{Fields, given, one},
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        operator::{Operator, OperatorName, OperatorRole},
        page::Page,
        revision::Precondition,
    },
    store,
    transaction::Transaction,
};

/// A page of all operators.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<Operator>> {
    cx.authorize(Action::List, Resource::Operators)?;
    store::operators::list(cx.pool(), page).await
}

/// One operator.
pub async fn read(cx: &Context, id: OperatorId) -> Result<Operator> {
    cx.authorize(Action::Read, Resource::Operators)?;
    let operator = store::operators::find(cx.pool(), id).await?;
    operator.ok_or_else(|| Error::not_found("operator", id))
}

/// Adds an operator.
pub async fn create(cx: &Context, new: NewOperator) -> Result<Operator> {
    cx.require_person()?;
    cx.authorize(Action::Create, Resource::Operators)?;
    let mut fields = Fields::default();
    let name = fields.read("/name", OperatorName::parse(&new.name));
    let policy = store::settings::get(cx.pool()).await?.password_policy;
    let password = fields.read("/password", policy.check(&new.password, &[&new.name]));
    fields.check()?;
    let hash = cx.state().passwords().hash(given(password)?).await?;
    let operator = Operator {
        id: OperatorId::generate(cx.now()),
        name: given(name)?,
        role: new.role,
        active: true,
        must_change_password: false,
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let mut tx = cx.begin().await?;
    store::operators::insert(&mut *tx, &operator, &hash).await?;
    let subject = Subject::system("operator", operator.id);
    audit::record(&mut tx, cx, Action::Create, subject, None, shown(&operator)?).await?;
    tx.commit().await?;
    Ok(operator)
}

/// Changes an operator. A new password, role or status ends the sessions of the operator.
pub async fn update(
    cx: &Context,
    id: OperatorId,
    precondition: Precondition,
    patch: OperatorPatch,
) -> Result<Operator> {
    cx.require_person()?;
    cx.authorize(Action::Update, Resource::Operators)?;
    let hash = match &patch.password {
        Some(password) => Some(hash(cx, id, password).await?),
        None => None,
    };
    let mut tx = cx.begin().await?;
    let before = lock(&mut tx, id, &precondition).await?;
    let mut operator = before.clone();
    operator.role = patch.role.unwrap_or(before.role);
    operator.active = patch.active.unwrap_or(before.active);
    if operator.role == before.role && operator.active == before.active && hash.is_none() {
        return Ok(before);
    }
    keep_an_admin(&mut tx, &before, Some(&operator)).await?;
    // The server itself speaks for the operator: the command line is the way back in.
    let is_of_another = cx.caller().id().is_some_and(|caller| caller != id.uuid());
    if hash.is_some() {
        operator.must_change_password = is_of_another;
    }
    operator.revision += 1;
    operator.updated_at = cx.now();
    store::operators::update(&mut *tx, &operator, hash.as_deref()).await?;
    if hash.is_some() || !operator.active {
        store::sessions::revoke_of_owner(&mut tx, id.uuid(), None, cx.now()).await?;
    }
    let subject = Subject::system("operator", id);
    audit::record(&mut tx, cx, Action::Update, subject, shown(&before)?, shown(&operator)?).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    Ok(operator)
}

/// The hash of a new password of an operator.
async fn hash(cx: &Context, id: OperatorId, password: &str) -> Result<String> {
    let operator = store::operators::find(cx.pool(), id).await?;
    let operator = operator.ok_or_else(|| Error::not_found("operator", id))?;
    let policy = store::settings::get(cx.pool()).await?.password_policy;
    let password = one("/password", policy.check(password, &[operator.name.as_str()]))?;
    cx.state().passwords().hash(password).await
}

/// Removes an operator; its sessions end.
pub async fn delete(cx: &Context, id: OperatorId, precondition: Precondition) -> Result<()> {
    cx.require_person()?;
    cx.authorize(Action::Delete, Resource::Operators)?;
    let mut tx = cx.begin().await?;
    let before = lock(&mut tx, id, &precondition).await?;
    keep_an_admin(&mut tx, &before, None).await?;
    store::operators::delete(&mut *tx, id).await?;
    let subject = Subject::system("operator", id);
    audit::record(&mut tx, cx, Action::Delete, subject, shown(&before)?, None).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    Ok(())
}

async fn lock(
    tx: &mut Transaction,
    id: OperatorId,
    precondition: &Precondition,
) -> Result<Operator> {
    // Everybody locks the administrators first: two of them cannot remove each other.
    store::operators::count_other_system_admins(&mut **tx, id).await?;
    let operator = store::operators::lock(&mut **tx, id).await?;
    precondition.check(operator.revision)?;
    Ok(operator)
}

/// Somebody must remain who can administer the system.
async fn keep_an_admin(
    tx: &mut Transaction,
    before: &Operator,
    after: Option<&Operator>,
) -> Result<()> {
    let is_admin = |one: &Operator| one.active && one.role == OperatorRole::SystemAdmin;
    if !is_admin(before) || after.is_some_and(is_admin) {
        return Ok(());
    }
    if store::operators::count_other_system_admins(&mut **tx, before.id).await? == 0 {
        return Err(Error::Conflict("this is the last active system_admin".to_owned()));
    }
    Ok(())
}
