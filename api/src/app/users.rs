//! Users: people's accounts with an address.

use umail_api_types::{
    functions,
    status::Status,
    users::{NewPassword, NewUser, UserFilter, UserPatch},
};
use umail_proto::{
    agent::RowKind,
    functions::Functions,
    ids::{DomainId, NodeId, SessionId, UserId},
};

use crate::{
    app::{
        allowances::{self, Given},
        audit::{self, Subject, shown},
        departments, domains,
        fields::{Fields, given, one},
        nodes, plans,
    },
    authz::{self, Action, Resource, UserScope},
    context::Context,
    error::{Error, Result},
    model::{
        address::{EmailAddress, LocalPart},
        domain::DomainRef,
        page::Page,
        password::Password,
        plan::{Plan, parse_own_quota},
        revision::Precondition,
        sending::SendingLimits,
        user::{User, UserRef, parse_display_name},
    },
    store,
    transaction::Transaction,
};

/// A page of the users of a domain that are in the caller's scope.
pub async fn list(
    cx: &Context,
    domain: &DomainRef,
    filter: &UserFilter,
    page: Page,
) -> Result<Vec<User>> {
    let domain = domains::find(cx, domain, |id| (Action::List, Resource::Users(id))).await?;
    let wanted = authz::visible_among(cx.caller(), domain.id, filter.department_id);
    store::accounts::list(cx.pool(), domain.id, wanted.as_deref(), page).await
}

/// One user.
pub async fn read(cx: &Context, user: &UserRef) -> Result<User> {
    find(cx, user, |scope| (Action::Read, Resource::User(scope))).await
}

/// The user, if the caller may do this; what is out of scope looks like what is not there.
pub async fn find(
    cx: &Context,
    user: &UserRef,
    asked: impl FnOnce(UserScope) -> (Action, Resource),
) -> Result<User> {
    let missing = || match user {
        UserRef::Id(id) => Error::not_found("user", id),
        UserRef::Address(address) => Error::not_found("user", address),
    };
    let found = store::accounts::find(cx.pool(), user).await?.ok_or_else(missing)?;
    let (action, resource) = asked(found.scope());
    match cx.authorize(action, resource) {
        Err(Error::NotFound { .. }) => Err(missing()),
        other => other.map(|()| found),
    }
}

/// Locks a user, and reads what holds now: the caller may do this still.
pub(super) async fn lock(
    tx: &mut Transaction,
    cx: &Context,
    id: UserId,
    asked: impl FnOnce(UserScope) -> (Action, Resource),
) -> Result<User> {
    store::accounts::lock(&mut **tx, id).await?;
    let user = store::accounts::find(&mut **tx, &UserRef::Id(id)).await?;
    let user = user.ok_or_else(|| Error::not_found("user", id))?;
    let (action, resource) = asked(user.scope());
    cx.authorize(action, resource)?;
    Ok(user)
}

/// Adds a user, on the storage node that was named, or else on the emptiest.
pub async fn create(cx: &Context, domain: &DomainRef, new: NewUser) -> Result<User> {
    let place = |id| UserScope {
        id: None,
        domain_id: id,
        department_id: new.department_id,
        grants: Vec::new(),
    };
    let domain =
        domains::find(cx, domain, |id| (Action::Create, Resource::User(place(id)))).await?;
    if new.storage_node.is_some() {
        cx.authorize(Action::Operate, Resource::User(place(domain.id)))?;
    }
    let mut fields = Fields::default();
    let local_part = fields.read("/local_part", LocalPart::parse(&new.local_part));
    let password = fields.read("/password", Password::new(&new.password));
    let display_name = fields.read("/display_name", parse_display_name(&new.display_name));
    fields.check()?;
    let hash = cx.state().passwords().hash(given(password)?).await?;
    let storage_node = place_user(cx, new.storage_node.as_deref()).await?;
    let mut tx = cx.begin().await?;
    let preset = match (new.plan_id, new.department_id) {
        (None, Some(id)) => departments::preset(&mut tx, domain.id, id).await?,
        _ => None,
    };
    let plan = plans::hold_for(&mut tx, new.plan_id, preset).await?;
    let local_part = given(local_part)?;
    let user = User {
        id: UserId::generate(cx.now()),
        address: EmailAddress::of(&local_part, &domain.name),
        local_part,
        domain_id: domain.id,
        department_id: new.department_id,
        display_name: given(display_name)?,
        status: Status::Active,
        functions: Functions::ALL,
        plan_id: plan.id,
        quota: own_quota(new.quota_bytes, &plan)?,
        sending: SendingLimits::default()
            .narrowed(new.sending().map(Some), &plan.sending)
            .map_err(Error::Invalid)?,
        storage_node,
        companion_node_id: None,
        moving: false,
        grants: Vec::new(),
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    insert(cx, tx, (&user, &plan), &hash).await?;
    Ok(user)
}

/// A quota of a user's own, if it has one.
fn own_quota(bytes: Option<i64>, plan: &Plan) -> Result<Option<i64>> {
    let own = bytes.map(|bytes| one("/quota_bytes", parse_own_quota(bytes, plan.quota)));
    own.transpose()
}

async fn insert(
    cx: &Context,
    mut tx: Transaction,
    (user, plan): (&User, &Plan),
    hash: &str,
) -> Result<()> {
    store::domains::hold(&mut *tx, user.domain_id).await?;
    let (owner, address) = (user.id.uuid(), &user.address);
    store::addresses::insert(&mut *tx, user.domain_id, &user.local_part, owner, address).await?;
    store::accounts::insert(&mut *tx, user).await?;
    let credential = store::credentials::upsert_password(&mut *tx, user.id, hash, cx.now()).await?;
    let nodes = user.nodes();
    store::changes::insert(&mut *tx, RowKind::User, owner, Some(&nodes)).await?;
    store::changes::insert(&mut *tx, RowKind::Credential, credential.uuid(), Some(&nodes)).await?;
    audit::record(&mut tx, cx, Action::Create, subject(user), None, shown(user)?).await?;
    allowances::give(&mut tx, user.domain_id, &[Given::user(user, plan)]).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(())
}

async fn place_user(cx: &Context, named: Option<&str>) -> Result<Option<(NodeId, String)>> {
    let Some(named) = named else {
        return store::nodes::find_emptiest(cx.pool()).await;
    };
    let node = nodes::find_storage(cx.pool(), named).await?;
    Ok(Some((node.id, node.name)))
}

/// Changes a user. The display name is the user's own; all else is set by administrators.
pub async fn update(
    cx: &Context,
    user: &UserRef,
    precondition: Precondition,
    patch: UserPatch,
) -> Result<User> {
    let of_name = UserPatch { display_name: patch.display_name.clone(), ..UserPatch::default() };
    let only_name = patch == of_name;
    let what = if only_name { Resource::Profile } else { Resource::User };
    let asked = |scope| (Action::Update, what(scope));
    let id = find(cx, user, asked).await?.id;
    let display_name = patch.display_name.as_deref().map(parse_display_name);
    let display_name = display_name.map(|name| one("/display_name", name)).transpose()?;
    let mut tx = cx.begin().await?;
    let before = lock(&mut tx, cx, id, asked).await?;
    precondition.check(before.revision)?;
    let mut user = before.clone();
    user.display_name = display_name.unwrap_or_else(|| before.display_name.clone());
    user.status = patch.status.unwrap_or(before.status);
    user.functions = patch.functions.as_deref().map_or(before.functions, functions::set);
    user.department_id = patch.department_id.unwrap_or(before.department_id);
    let plans = hold_plans(&mut tx, &before, &patch).await?;
    if let Some((_, plan)) = &plans {
        user.plan_id = plan.id;
        user.quota = match patch.quota_bytes {
            Some(bytes) => own_quota(bytes, plan)?,
            None => before.quota,
        };
        user.sending =
            before.sending.narrowed(patch.sending(), &plan.sending).map_err(Error::Invalid)?;
    }
    if user == before {
        tx.commit().await?;
        return Ok(before);
    }
    // Where the user goes must be in the caller's scope as well.
    let (action, resource) = asked(user.scope());
    if cx.authorize(action, resource).is_err() {
        return Err(Error::invalid("/department_id", "must be a department in your scope"));
    }
    user.revision += 1;
    user.updated_at = cx.now();
    store::accounts::update(&mut *tx, &user).await?;
    store::changes::insert(&mut *tx, RowKind::User, id.uuid(), Some(&user.nodes())).await?;
    audit::record(&mut tx, cx, Action::Update, subject(&user), shown(&before)?, shown(&user)?)
        .await?;
    let counts = |user: &User| (user.department_id, user.plan_id, user.quota);
    if let Some((from, to)) = &plans
        && counts(&user) != counts(&before)
    {
        let given = [Given::user(&before, from).back(), Given::user(&user, to)];
        allowances::give(&mut tx, user.domain_id, &given).await?;
    }
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(user)
}

/// The plan of a user, and the one that it is to have, if anything changes that is counted or
/// narrowed by it. A plan that is changed at the same time waits, or is waited for.
async fn hold_plans(
    tx: &mut Transaction,
    before: &User,
    patch: &UserPatch,
) -> Result<Option<(Plan, Plan)>> {
    if patch.plan_id.is_none()
        && patch.quota_bytes.is_none()
        && patch.department_id.is_none()
        && patch.sending().iter().all(Option::is_none)
    {
        return Ok(None);
    }
    let from = plans::hold_for(tx, Some(before.plan_id), None).await?;
    let to = match patch.plan_id {
        Some(id) if id != before.plan_id => plans::hold_for(tx, Some(id), None).await?,
        _ => from.clone(),
    };
    Ok(Some((from, to)))
}

/// Deletes a user: mail is refused, nobody signs in, the address stays taken for its grace time.
pub async fn delete(cx: &Context, user: &UserRef, precondition: Precondition) -> Result<()> {
    let asked = |scope| (Action::Delete, Resource::User(scope));
    let id = find(cx, user, asked).await?.id;
    let mut tx = cx.begin().await?;
    let before = lock(&mut tx, cx, id, asked).await?;
    precondition.check(before.revision)?;
    if before.moving {
        return Err(Error::Conflict("the mailbox is being moved; try again later".to_owned()));
    }
    store::accounts::delete(&mut *tx, id, cx.now()).await?;
    store::sessions::revoke_of_owner(&mut *tx, id.uuid(), None, cx.now()).await?;
    store::changes::insert(&mut *tx, RowKind::User, id.uuid(), Some(&before.nodes())).await?;
    audit::record(&mut tx, cx, Action::Delete, subject(&before), shown(&before)?, None).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(())
}

/// Sets the password of somebody else, and ends all sessions of the user.
pub async fn reset_password(cx: &Context, user: &UserRef, new: NewPassword) -> Result<()> {
    let user = find(cx, user, |scope| (Action::Update, Resource::User(scope))).await?;
    let password = one("/new_password", Password::new(&new.new_password))?;
    let hash = cx.state().passwords().hash(password).await?;
    store_password(cx, &user, &hash, None).await
}

/// Stores a new password, and ends all sessions of the user but this one.
pub(super) async fn store_password(
    cx: &Context,
    user: &User,
    hash: &str,
    except: Option<SessionId>,
) -> Result<()> {
    let mut tx = cx.begin().await?;
    let user =
        lock(&mut tx, cx, user.id, |scope| (Action::Update, Resource::Profile(scope))).await?;
    let credential = store::credentials::upsert_password(&mut *tx, user.id, hash, cx.now()).await?;
    let nodes = user.nodes();
    store::changes::insert(&mut *tx, RowKind::Credential, credential.uuid(), Some(&nodes)).await?;
    store::sessions::revoke_of_owner(&mut *tx, user.id.uuid(), except, cx.now()).await?;
    let subject = Subject::of(user.domain_id, "user password", user.id);
    audit::record(&mut tx, cx, Action::Update, subject, None, None).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(())
}

fn subject(user: &User) -> Subject {
    Subject::of(user.domain_id, "user", user.id)
}

/// The user that an alias with these targets stands for: its only target, in the same domain.
pub(super) async fn of_targets(
    tx: &mut Transaction,
    domain: (DomainId, &str),
    targets: &[EmailAddress],
) -> Result<Option<UserId>> {
    let [target] = targets else { return Ok(None) };
    let (local_part, name) = target.parts();
    if name != domain.1 {
        return Ok(None);
    }
    store::accounts::find_id(&mut **tx, domain.0, local_part).await
}
