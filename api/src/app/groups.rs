//! Groups: distribution lists, and who is in them.

use umail_api_types::groups::{GroupFilter, GroupPatch, NewGroup};
use umail_proto::{
    agent::RowKind,
    ids::{DepartmentId, DomainId, GroupId, GroupMemberId, UserId},
};

use crate::{
    app::{
        allowances::{self, Given},
        audit::{self, Subject, shown},
        domains,
        fields::{Fields, given, one},
        lists::counted,
        users,
    },
    authz::{self, Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        address::{DomainName, EmailAddress},
        allowance::Amounts,
        domain::DomainRef,
        domain_alias::DomainAliasRef,
        group::{Group, GroupMember, GroupRef, MAX_MEMBERS, check_posting},
        page::{Found, Page},
        revision::Precondition,
        search::Search,
        user::{UserRef, parse_display_name},
    },
    store,
    transaction::Transaction,
};

/// A page of the groups of a domain that are in the caller's scope.
pub async fn list(
    cx: &Context,
    domain: &DomainRef,
    filter: &GroupFilter,
    page: Page,
) -> Result<Found<Group>> {
    let search = Search::parse_parameter(filter.search.as_deref())?;
    let domain = domains::find(cx, domain, |id| (Action::List, Resource::Groups(id))).await?;
    let among = authz::visible_among(cx.caller(), domain.id, filter.department_id);
    let (db, search) = (cx.pool(), search.as_ref());
    let found = store::groups::list(db, &domain, &among, search, page);
    counted(found, filter.count, store::groups::count(db, &domain, &among, search)).await
}

/// One group.
pub async fn read(cx: &Context, group: &GroupRef) -> Result<Group> {
    find(cx, group, Action::Read).await
}

/// The group, if the caller may do this; what is out of scope looks like what is not there.
async fn find(cx: &Context, group: &GroupRef, action: Action) -> Result<Group> {
    permitted(cx, group, store::groups::find(cx.pool(), group).await?, action)
}

/// What is asked about when somebody does something to the group.
pub(super) const fn resource(group: &Group) -> Resource {
    Resource::Group { domain_id: group.domain_id, department_id: group.department_id }
}

fn permitted(
    cx: &Context,
    group: &GroupRef,
    found: Option<Group>,
    action: Action,
) -> Result<Group> {
    let missing = || match group {
        GroupRef::Id(id) => Error::not_found("group", id),
        GroupRef::Address(address) => Error::not_found("group", address),
    };
    let found = found.ok_or_else(missing)?;
    match cx.authorize(action, resource(&found)) {
        Err(Error::NotFound { .. }) => Err(missing()),
        other => other.map(|()| found),
    }
}

/// Locks a group, and reads what holds now: the caller may do this still.
async fn lock(tx: &mut Transaction, cx: &Context, id: GroupId, action: Action) -> Result<Group> {
    store::groups::lock(&mut **tx, id).await?;
    let group = GroupRef::Id(id);
    let found = store::groups::find(&mut **tx, &group).await?;
    permitted(cx, &group, found, action)
}

/// Adds a group without members.
pub async fn create(cx: &Context, domain: &DomainRef, new: NewGroup) -> Result<Group> {
    let department_id = new.department_id;
    let place = |domain_id| Resource::Group { domain_id, department_id };
    let domain = domains::find(cx, domain, |id| (Action::Create, place(id))).await?;
    let mut fields = Fields::default();
    let local_part = fields.read("/local_part", domains::name(cx, domain.id, &new.local_part));
    let display_name = fields.read("/display_name", parse_display_name(&new.display_name));
    let posting = match &local_part {
        Some(local_part) => fields.read("/posting", check_posting(local_part, new.posting)),
        None => None,
    };
    fields.check()?;
    let local_part = given(local_part)?;
    let group = Group {
        id: GroupId::generate(cx.now()),
        domain_id: domain.id,
        department_id,
        address: EmailAddress::of(&local_part, &domain.name),
        local_part,
        display_name: given(display_name)?,
        posting: given(posting)?,
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let mut tx = cx.begin().await?;
    store::domains::hold(&mut *tx, domain.id).await?;
    let (owner, address) = (group.id.uuid(), &group.address);
    store::addresses::insert(&mut *tx, domain.id, &group.local_part, owner, address).await?;
    store::groups::insert(&mut *tx, &group).await?;
    record(&mut tx, cx, Action::Create, None, Some(&group)).await?;
    allowances::give(&mut tx, domain.id, &[one_more(department_id)]).await?;
    commit(tx, cx).await?;
    Ok(group)
}

/// Changes a group.
pub async fn update(
    cx: &Context,
    group: &GroupRef,
    precondition: Precondition,
    patch: GroupPatch,
) -> Result<Group> {
    let id = find(cx, group, Action::Update).await?.id;
    let display_name = patch.display_name.as_deref().map(parse_display_name);
    let display_name = display_name.map(|name| one("/display_name", name)).transpose()?;
    let mut tx = cx.begin().await?;
    let before = lock(&mut tx, cx, id, Action::Update).await?;
    precondition.check(before.revision)?;
    let mut group = before.clone();
    group.display_name = display_name.unwrap_or_else(|| before.display_name.clone());
    let posting = patch.posting.unwrap_or(before.posting);
    group.posting = one("/posting", check_posting(&before.local_part, posting))?;
    group.department_id = patch.department_id.unwrap_or(before.department_id);
    if group == before {
        tx.commit().await?;
        return Ok(before);
    }
    // Where the group goes must be in the caller's scope as well.
    if cx.authorize(Action::Update, resource(&group)).is_err() {
        return Err(Error::invalid("/department_id", "must be a department in your scope"));
    }
    group.revision += 1;
    group.updated_at = cx.now();
    store::groups::update(&mut *tx, &group).await?;
    record(&mut tx, cx, Action::Update, Some(&before), Some(&group)).await?;
    if group.department_id != before.department_id {
        let moved = [one_more(before.department_id).back(), one_more(group.department_id)];
        allowances::give(&mut tx, group.domain_id, &moved).await?;
    }
    commit(tx, cx).await?;
    Ok(group)
}

/// Removes a group: its address is free.
pub async fn delete(cx: &Context, group: &GroupRef, precondition: Precondition) -> Result<()> {
    let id = find(cx, group, Action::Delete).await?.id;
    let mut tx = cx.begin().await?;
    let before = lock(&mut tx, cx, id, Action::Delete).await?;
    precondition.check(before.revision)?;
    store::addresses::delete(&mut *tx, id.uuid()).await?;
    store::groups::delete(&mut *tx, id).await?;
    record(&mut tx, cx, Action::Delete, Some(&before), None).await?;
    allowances::give(&mut tx, before.domain_id, &[one_more(before.department_id).back()]).await?;
    commit(tx, cx).await
}

/// A page of the members of a group. Whoever has the group sees how many they are, and the
/// addresses of those in reach.
pub async fn list_members(cx: &Context, group: &GroupRef, page: Page) -> Result<Vec<GroupMember>> {
    let group = find(cx, group, Action::Read).await?;
    store::group_members::list(cx.pool(), group.id, page).await
}

/// Adds a member to a group; who is one already stays it.
pub async fn add_member(cx: &Context, group: &GroupRef, member: &UserRef) -> Result<GroupMember> {
    let id = find(cx, group, Action::Update).await?.id;
    let mut tx = cx.begin().await?;
    let group = lock(&mut tx, cx, id, Action::Update).await?;
    let (user_id, address) = resolve(&mut tx, cx, member).await?;
    let known = user_id.map_or_else(|| UserRef::Address(address.clone()), UserRef::Id);
    if let Some(found) = store::group_members::find(&mut *tx, id, &known).await? {
        tx.commit().await?;
        return Ok(found);
    }
    if store::group_members::count(&mut *tx, id).await? >= MAX_MEMBERS {
        let text = format!("a group has at most {MAX_MEMBERS} members");
        return Err(Error::Conflict(text));
    }
    let member = GroupMember {
        id: GroupMemberId::generate(cx.now()),
        group_id: id,
        user_id,
        address: Some(address),
        created_at: cx.now(),
    };
    store::group_members::insert(&mut *tx, &member).await?;
    record_member(&mut tx, cx, &group, (None, Some(&member))).await?;
    commit(tx, cx).await?;
    Ok(member)
}

/// Takes a member out of a group. It takes the group alone: a group can be rid of anybody.
pub async fn remove_member(cx: &Context, group: &GroupRef, member: &UserRef) -> Result<()> {
    let id = find(cx, group, Action::Update).await?.id;
    let mut tx = cx.begin().await?;
    let group = lock(&mut tx, cx, id, Action::Update).await?;
    let member = at_home(&mut tx, member).await?;
    let Some(member) = store::group_members::find(&mut *tx, id, &member).await? else {
        tx.commit().await?;
        return Ok(());
    };
    store::group_members::delete(&mut *tx, member.id).await?;
    record_member(&mut tx, cx, &group, (Some(&member), None)).await?;
    commit(tx, cx).await
}

/// Whom it is about: a user in the caller's scope, or an address in no domain that the caller
/// belongs to. Of those no more is known than of any other address in the world.
async fn resolve(
    tx: &mut Transaction,
    cx: &Context,
    member: &UserRef,
) -> Result<(Option<UserId>, EmailAddress)> {
    let member = at_home(tx, member).await?;
    if let UserRef::Address(address) = &member {
        let domain = DomainName::parse(address.parts().1).map_err(Error::internal)?;
        if store::domains::find(&mut **tx, &DomainRef::Name(domain)).await?.is_none() {
            return Ok((None, address.clone()));
        }
    }
    let found = store::accounts::find(&mut **tx, &member).await?;
    let user = users::permitted(cx, &member, found, |scope| (Action::Read, Resource::User(scope)))?;
    Ok((Some(user.id), user.address))
}

/// An address under another name of a domain, under the name of the domain.
async fn at_home(tx: &mut Transaction, member: &UserRef) -> Result<UserRef> {
    let UserRef::Address(address) = member else { return Ok(member.clone()) };
    let (local_part, name) = address.parts();
    let alias = DomainAliasRef::Name(DomainName::parse(name).map_err(Error::internal)?);
    let Some(alias) = store::domain_aliases::find(&mut **tx, &alias).await? else {
        return Ok(member.clone());
    };
    let domain = store::domains::find(&mut **tx, &DomainRef::Id(alias.domain_id)).await?;
    let name = domain.map_or(alias.name, |domain| domain.name);
    let address = EmailAddress::parse(&format!("{local_part}@{name}"));
    address.map(UserRef::Address).map_err(Error::internal)
}

/// Takes a user who goes out of all groups.
pub(super) async fn leave_all(tx: &mut Transaction, user: UserId) -> Result<()> {
    let members = store::group_members::delete_of_user(&mut **tx, user).await?;
    store::changes::insert_all(&mut **tx, RowKind::GroupMember, &members).await
}

/// Removes some groups of a domain that goes, and returns what that gives back.
pub(super) async fn remove_some(
    tx: &mut Transaction,
    domain: DomainId,
    limit: i64,
) -> Result<Vec<Given>> {
    let mut given = Vec::new();
    for (id, department) in store::groups::list_ids(&mut **tx, domain, limit).await? {
        store::addresses::delete(&mut **tx, id.uuid()).await?;
        store::groups::delete(&mut **tx, id).await?;
        store::changes::insert(&mut **tx, RowKind::Group, id.uuid(), Some(&[])).await?;
        given.push(one_more(department).back());
    }
    Ok(given)
}

/// What a group takes of the allowances above.
fn one_more(department: Option<DepartmentId>) -> Given {
    let amounts = Amounts { groups: 1, ..Amounts::default() };
    Given { department, amounts, ..Given::default() }
}

/// Logs and records a change of a group. Storage nodes carry none.
async fn record(
    tx: &mut Transaction,
    cx: &Context,
    action: Action,
    before: Option<&Group>,
    after: Option<&Group>,
) -> Result<()> {
    let Some(group) = after.or(before) else { return Ok(()) };
    store::changes::insert(&mut **tx, RowKind::Group, group.id.uuid(), Some(&[])).await?;
    let subject = Subject::of(group.domain_id, "group", group.id);
    let (before, after) = (before.map(shown).transpose()?, after.map(shown).transpose()?);
    audit::record(tx, cx, action, subject, before.flatten(), after.flatten()).await
}

/// Logs and records that a group has gained or lost a member. The group is logged as well, so that
/// its convergence is that of its members.
async fn record_member(
    tx: &mut Transaction,
    cx: &Context,
    group: &Group,
    (before, after): (Option<&GroupMember>, Option<&GroupMember>),
) -> Result<()> {
    let Some(member) = after.or(before) else { return Ok(()) };
    let (member, group_key) = (member.id.uuid(), group.id.uuid());
    store::changes::insert(&mut **tx, RowKind::GroupMember, member, Some(&[])).await?;
    store::changes::insert(&mut **tx, RowKind::Group, group_key, Some(&[])).await?;
    let action = if after.is_some() { Action::Create } else { Action::Delete };
    let subject = Subject::of(group.domain_id, "group member", group.id);
    let (before, after) = (before.map(shown).transpose()?, after.map(shown).transpose()?);
    audit::record(tx, cx, action, subject, before.flatten(), after.flatten()).await
}

async fn commit(tx: Transaction, cx: &Context) -> Result<()> {
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(())
}
