//! Users: people's accounts with an address.

use umail_api_types::{
    functions,
    users::{self, NewPassword, NewUser, UserPatch},
};
use umail_proto::{
    agent::RowKind,
    ids::{DomainId, NodeId, SessionId, UserId},
};

use crate::{
    app::{
        allowances::{self, Given},
        audit::{self, Subject, shown},
        departments, domains,
        fields::{Fields, given, one},
        lists::counted,
        nodes, plans, renames,
    },
    authz::{self, Action, Resource, UserScope},
    context::Context,
    error::{Error, Result},
    model::{
        address::{EmailAddress, LocalPart},
        deletion::Deletion,
        department::Among,
        domain::DomainRef,
        page::{Found, Page},
        plan::{Plan, parse_own_quota},
        profile::{self, Profile},
        revision::Precondition,
        sending::SendingLimits,
        user::{User, UserRef, parse_display_name},
        user_filter::UserFilter,
    },
    store,
    transaction::Transaction,
};

/// A page of the users of a domain that are in the caller's scope.
pub async fn list(
    cx: &Context,
    domain: &DomainRef,
    asked: &users::UserFilter,
    page: Page,
) -> Result<Found<User>> {
    let filter = UserFilter::parse(asked)?;
    let domain = domains::find(cx, domain, |id| (Action::List, Resource::Users(id))).await?;
    let among = &among(cx, domain.id, &filter).await?;
    let found = store::accounts::list_wanted(cx.pool(), &domain, among, &filter, page);
    let count = store::accounts::count_wanted(cx.pool(), &domain, among, &filter);
    counted(found, asked.count, count).await
}

/// The departments of those who are wanted, as far as they are in the caller's scope.
pub(super) async fn among(cx: &Context, domain: DomainId, filter: &UserFilter) -> Result<Among> {
    let seen = |wanted| authz::visible_among(cx.caller(), domain, wanted);
    let Some(id) = filter.department.filter(|_| filter.below) else {
        return Ok(seen(filter.department));
    };
    let one = vec![id];
    let Among::Below(mut tops) = seen(None) else { return Ok(Among::Below(one)) };
    if seen(Some(id)).these() == Some(&one) {
        return Ok(Among::Below(one));
    }
    // What is seen of a department that is not may be below it.
    let below = store::departments::subtree(cx.pool(), domain, id).await?;
    tops.retain(|top| below.contains(top));
    Ok(Among::Below(tops))
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
    let found = load(cx, user).await?.filter(|one| !one.is_deleted());
    permitted(cx, user, found, asked)
}

/// The user, deleted or not, if row-level security shows it.
async fn load(cx: &Context, user: &UserRef) -> Result<Option<User>> {
    match user {
        UserRef::Id(id) => cx.state().users().find(cx.pool(), *id).await,
        UserRef::Address(_) => store::accounts::find_any(cx.pool(), user).await,
    }
}

fn missing(user: &UserRef) -> Error {
    match user {
        UserRef::Id(id) => Error::not_found("user", id),
        UserRef::Address(address) => Error::not_found("user", address),
    }
}

/// The same, be the user deleted or not.
async fn find_any(
    cx: &Context,
    user: &UserRef,
    asked: impl FnOnce(UserScope) -> (Action, Resource),
) -> Result<User> {
    let found = load(cx, user).await?;
    permitted(cx, user, found, asked)
}

/// The user that was found, if the caller may do this. With its domain a user is gone for everybody.
pub(super) fn permitted(
    cx: &Context,
    user: &UserRef,
    found: Option<User>,
    asked: impl FnOnce(UserScope) -> (Action, Resource),
) -> Result<User> {
    let found = found.filter(|one| !one.is_domain_deleted).ok_or_else(|| missing(user))?;
    let (action, resource) = asked(found.scope());
    match cx.authorize(action, resource) {
        Err(Error::NotFound { .. }) => Err(missing(user)),
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
    let found = store::accounts::find(&mut **tx, &UserRef::Id(id)).await?;
    permitted(cx, &UserRef::Id(id), found, asked)
}

/// The same, be the user deleted or not.
async fn lock_any(
    tx: &mut Transaction,
    cx: &Context,
    id: UserId,
    asked: impl FnOnce(UserScope) -> (Action, Resource),
) -> Result<User> {
    store::accounts::lock(&mut **tx, id).await?;
    let found = store::accounts::find_any(&mut **tx, &UserRef::Id(id)).await?;
    permitted(cx, &UserRef::Id(id), found, asked)
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
    let full_name = format!("{} {}", new.profile.given_name, new.profile.family_name);
    let mut fields = Fields::default();
    let local_part = fields.read("/local_part", domains::name(cx, domain.id, &new.local_part));
    let display_name = fields.read("/display_name", parse_display_name(&new.display_name));
    let profile = fields.read_all(Profile::new(new.profile.clone()));
    let policy = store::settings::get(cx.pool()).await?.password_policy;
    let address = format!("{}@{}", new.local_part, domain.name);
    let password = policy.check(&new.password, &[&address, &new.display_name, &full_name]);
    let password = fields.read("/password", password);
    fields.check()?;
    let hash = cx.state().passwords().hash(given(password)?).await?;
    let storage_node = place_user(cx, new.storage_node.as_deref()).await?;
    let mut tx = cx.begin().await?;
    let preset = match (new.plan_id, new.department_id) {
        (None, Some(id)) => departments::preset(&mut tx, domain.id, id).await?,
        _ => None,
    };
    let plan = plans::hold_for(&mut tx, new.plan_id, preset).await?;
    let user = User {
        department_id: new.department_id,
        display_name: given(display_name)?,
        profile: given(profile)?,
        quota: own_quota(new.quota_bytes, &plan)?,
        sending: SendingLimits::default()
            .narrowed(new.sending().map(Some), &plan.sending)
            .map_err(Error::Invalid)?,
        storage_node,
        ..User::new(given(local_part)?, (domain.id, &domain.name), plan.id, cx.now())
    };
    insert(cx, tx, (&user, &plan), (&hash, new.must_change_password)).await?;
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
    password: (&str, bool),
) -> Result<()> {
    store::domains::hold(&mut *tx, user.domain_id).await?;
    let (owner, address) = (user.id.uuid(), &user.address);
    store::addresses::insert(&mut *tx, user.domain_id, &user.local_part, owner, address).await?;
    store::accounts::insert(&mut *tx, user).await?;
    let credential =
        store::credentials::upsert_password(&mut *tx, user.id, password, cx.now()).await?;
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
        // All users count, in reach or not.
        let places = store::nodes::list_places(cx.state().pool()).await?;
        return Ok(places.into_iter().next().map(|place| (place.id, place.name)));
    };
    let node = nodes::find_storage(cx.pool(), named).await?;
    Ok(Some((node.id, node.name)))
}

/// What of a user is to change.
#[derive(Clone, Debug)]
pub struct Change {
    /// What the user must be like.
    pub precondition: Precondition,
    /// What is to change.
    pub patch: UserPatch,
    /// Whether the old address of a user who gets another one becomes an alias.
    pub leave_alias: bool,
}

/// Changes a user. Names, phone, locale and time zone are the user's own; all else is set by
/// administrators.
pub async fn update(cx: &Context, user: &UserRef, change: Change) -> Result<User> {
    let asked: Asked = if is_own(&change.patch) { ask_profile } else { ask_user };
    let seen = find(cx, user, asked).await?;
    let names = parse_names(&change.patch)?;
    let mut tx = cx.begin().await?;
    // As a rule nobody changes the user in between, and nothing need be locked and read again.
    let mut next = prepare((&mut tx, cx, asked), (seen, &names), &change).await?;
    if !next.is_written {
        let now = lock(&mut tx, cx, next.before.id, asked).await?;
        next = prepare((&mut tx, cx, asked), (now, &names), &change).await?;
    }
    let Next { before, user, plans, .. } = *next;
    if user == before {
        tx.commit().await?;
        return Ok(before);
    }
    let mut given = renames::apply(&mut tx, cx, (&before, &user), change.leave_alias).await?;
    let id = user.id.uuid();
    store::changes::insert(&mut *tx, RowKind::User, id, Some(&user.nodes())).await?;
    audit::record(&mut tx, cx, Action::Update, subject(&user), shown(&before)?, shown(&user)?)
        .await?;
    if let Some((from, to)) = &plans {
        given.extend(Given::change((&before, from), (&user, to)));
    }
    if !given.is_empty() {
        allowances::give(&mut tx, user.domain_id, &given).await?;
    }
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(user)
}

/// What the caller must be allowed to do with a user.
type Asked = fn(UserScope) -> (Action, Resource);

fn ask_profile(scope: UserScope) -> (Action, Resource) {
    (Action::Update, Resource::Profile(scope))
}

fn ask_user(scope: UserScope) -> (Action, Resource) {
    (Action::Update, Resource::User(scope))
}

/// A change of a user, as far as the user's own row.
struct Next {
    before: User,
    user: User,
    plans: Option<(Plan, Plan)>,
    /// The row is as `user` says now; otherwise somebody was faster, and nothing is done yet.
    is_written: bool,
}

/// Changes a user that was seen like this, unless it is not like this any more.
async fn prepare(
    (tx, cx, asked): (&mut Transaction, &Context, Asked),
    (before, names): (User, &Names),
    change: &Change,
) -> Result<Box<Next>> {
    change.precondition.check(before.revision)?;
    let plans = hold_plans(tx, &before, &change.patch).await?;
    let plan = plans.as_ref().map(|(_, to)| to);
    let mut user = changed(&before, &change.patch, names, plan)?;
    if user == before {
        return Ok(Box::new(Next { before, user, plans, is_written: true }));
    }
    // Where the user goes must be in the caller's scope as well.
    let (action, resource) = asked(user.scope());
    if cx.authorize(action, resource).is_err() {
        return Err(Error::invalid("/department_id", "must be a department in your scope"));
    }
    user.revision += 1;
    user.updated_at = cx.now();
    let is_written = store::accounts::update(&mut **tx, &before, &user).await?;
    Ok(Box::new(Next { before, user, plans, is_written }))
}

/// A local part and a display name, as far as they change.
type Names = (Option<LocalPart>, Option<String>);

fn parse_names(patch: &UserPatch) -> Result<Names> {
    let local_part = patch.local_part.as_deref().map(LocalPart::parse);
    let local_part = local_part.map(|part| one("/local_part", part)).transpose()?;
    let display_name = patch.display_name.as_deref().map(parse_display_name);
    let display_name = display_name.map(|name| one("/display_name", name)).transpose()?;
    Ok((local_part, display_name))
}

/// The user as it is to be, with these names, and with this plan if that matters.
pub(super) fn changed(
    before: &User,
    patch: &UserPatch,
    (local_part, display_name): &Names,
    plan: Option<&Plan>,
) -> Result<User> {
    let mut user = before.clone();
    if let Some(local_part) = local_part {
        user.rename(local_part.clone());
    }
    if let Some(name) = display_name {
        user.display_name.clone_from(name);
    }
    if let Some(patch) = &patch.profile {
        user.profile = before.profile.changed(patch).map_err(Error::Invalid)?;
    }
    user.status = patch.status.unwrap_or(before.status);
    user.functions = patch.functions.as_deref().map_or(before.functions, functions::set);
    user.department_id = patch.department_id.unwrap_or(before.department_id);
    if let Some(plan) = plan {
        user.plan_id = plan.id;
        user.quota = match patch.quota_bytes {
            Some(bytes) => own_quota(bytes, plan)?,
            None => before.quota,
        };
        user.sending =
            before.sending.narrowed(patch.sending(), &plan.sending).map_err(Error::Invalid)?;
    }
    Ok(user)
}

/// Whether a user may change all this of itself.
fn is_own(patch: &UserPatch) -> bool {
    let (display_name, profile) = (patch.display_name.clone(), patch.profile.clone());
    let own = UserPatch { display_name, profile, ..UserPatch::default() };
    *patch == own && patch.profile.as_ref().is_none_or(profile::is_own)
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
    store::sessions::revoke_of_owner(&mut tx, id.uuid(), None, cx.now()).await?;
    let purge_at = store::settings::get(&mut *tx).await?.purge_at(cx.now());
    let deletion = Deletion { deleted_at: cx.now(), purge_at, is_purging: false };
    write(tx, cx, Action::Delete, &before, Some(deletion)).await.map(drop)
}

/// Takes back the deletion of a user, for as long as the grace time lasts: mail arrives again, and
/// what was in the mailbox is there. Who was not deleted is left as is.
pub async fn restore(cx: &Context, user: &UserRef) -> Result<User> {
    let asked = |scope| (Action::Delete, Resource::User(scope));
    let id = find_any(cx, user, asked).await?.id;
    let mut tx = cx.begin().await?;
    let before = lock_any(&mut tx, cx, id, asked).await?;
    let Some(deletion) = before.deletion else {
        tx.commit().await?;
        return Ok(before);
    };
    if !deletion.is_in_grace(cx.now()) {
        let address = &before.address;
        return Err(Error::Conflict(format!("the grace time of user {address} has ended")));
    }
    store::domains::hold(&mut *tx, before.domain_id).await?;
    write(tx, cx, Action::Update, &before, None).await
}

/// Ends the grace time of a user who was deleted: nothing brings the mailbox back.
pub async fn purge(cx: &Context, user: &UserRef) -> Result<User> {
    let asked = |scope| (Action::Operate, Resource::User(scope));
    let id = find_any(cx, user, asked).await?.id;
    let mut tx = cx.begin().await?;
    let before = lock_any(&mut tx, cx, id, asked).await?;
    let Some(deletion) = before.deletion else {
        return Err(Error::Conflict("only who was deleted can be purged".to_owned()));
    };
    if deletion.purge_at <= cx.now() {
        tx.commit().await?;
        return Ok(before);
    }
    let deletion = Deletion { purge_at: cx.now(), ..deletion };
    let user = write(tx, cx, Action::Operate, &before, Some(deletion)).await?;
    cx.state().fleet().progressed();
    Ok(user)
}

/// Writes the user with this deletion or none, and commits.
async fn write(
    mut tx: Transaction,
    cx: &Context,
    action: Action,
    before: &User,
    deletion: Option<Deletion>,
) -> Result<User> {
    let (revision, updated_at) = (before.revision + 1, cx.now());
    let user = User { deletion, revision, updated_at, ..before.clone() };
    store::accounts::update_deletion(&mut *tx, &user).await?;
    let key = user.id.uuid();
    store::changes::insert(&mut *tx, RowKind::User, key, Some(&user.nodes())).await?;
    let after = if action == Action::Delete { None } else { shown(&user)? };
    audit::record(&mut tx, cx, action, subject(&user), shown(before)?, after).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(user)
}

/// Sets the password of somebody else, and ends all sessions of the user.
pub async fn reset_password(cx: &Context, user: &UserRef, new: NewPassword) -> Result<()> {
    cx.require_person()?;
    let user = find(cx, user, |scope| (Action::Update, Resource::User(scope))).await?;
    let policy = store::settings::get(cx.pool()).await?.password_policy;
    let password = one("/new_password", policy.check(&new.new_password, &user.names()))?;
    let hash = cx.state().passwords().hash(password).await?;
    store_password(cx, &user, (&hash, new.must_change), None).await
}

/// Stores a new password, given as its hash and whether it must be changed, and ends all sessions
/// of the user but this one.
pub(super) async fn store_password(
    cx: &Context,
    user: &User,
    password: (&str, bool),
    except: Option<SessionId>,
) -> Result<()> {
    let mut tx = cx.begin().await?;
    let user =
        lock(&mut tx, cx, user.id, |scope| (Action::Update, Resource::Profile(scope))).await?;
    let credential =
        store::credentials::upsert_password(&mut *tx, user.id, password, cx.now()).await?;
    let nodes = user.nodes();
    store::changes::insert(&mut *tx, RowKind::Credential, credential.uuid(), Some(&nodes)).await?;
    store::sessions::revoke_of_owner(&mut tx, user.id.uuid(), except, cx.now()).await?;
    let subject = Subject::of_user(&user, "user password", user.id);
    audit::record(&mut tx, cx, Action::Update, subject, None, None).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(())
}

fn subject(user: &User) -> Subject {
    Subject::of_user(user, "user", user.id)
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
