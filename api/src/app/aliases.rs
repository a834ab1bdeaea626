//! Aliases: other addresses.

use std::collections::BTreeSet;

use umail_api_types::aliases::{AliasFilter, AliasPatch, NewAlias};
use umail_proto::{
    agent::RowKind,
    ids::{AliasId, DomainId},
};

use crate::{
    app::{
        allowances::{self, Given},
        audit::{self, Subject, shown},
        domains,
        fields::one,
        lists::counted,
        users,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        address::{EmailAddress, LocalPart},
        alias::{Alias, parse_targets},
        allowance::Amounts,
        domain::DomainRef,
        page::{Found, Page},
        revision::Precondition,
        search::Search,
        user::UserRef,
    },
    store,
    transaction::Transaction,
};

/// A page of the aliases of a domain.
pub async fn list(
    cx: &Context,
    domain: &DomainRef,
    filter: &AliasFilter,
    page: Page,
) -> Result<Found<Alias>> {
    let search = Search::parse_parameter(filter.search.as_deref())?;
    let domain = domains::find(cx, domain, |id| (Action::List, anybodys(id))).await?;
    let found = store::aliases::list(cx.pool(), &domain, search.as_ref(), page);
    let count = store::aliases::count(cx.pool(), &domain, search.as_ref());
    counted(found, filter.count, count).await
}

/// One alias.
pub async fn read(cx: &Context, id: AliasId) -> Result<Alias> {
    find(cx, id, Action::Read).await
}

async fn find(cx: &Context, id: AliasId, action: Action) -> Result<Alias> {
    let missing = || Error::not_found("alias", id);
    let found = store::aliases::find(cx.pool(), id).await?.ok_or_else(missing)?;
    match cx.authorize(action, anybodys(found.domain_id)) {
        Err(Error::NotFound { .. }) => Err(missing()),
        other => other.map(|()| found),
    }
}

/// Adds an alias.
pub async fn create(cx: &Context, domain: &DomainRef, new: NewAlias) -> Result<Alias> {
    let domain = domains::find(cx, domain, |id| (Action::Create, anybodys(id))).await?;
    let local_part = one("/local_part", LocalPart::parse(&new.local_part))?;
    let address = EmailAddress::of(&local_part, &domain.name);
    let targets = read_targets(cx, domain.id, &new.targets, &address).await?;
    let id = AliasId::generate(cx.now());
    let mut tx = cx.begin().await?;
    store::domains::hold(&mut *tx, domain.id).await?;
    store::addresses::insert(&mut *tx, domain.id, &local_part, id.uuid(), &address).await?;
    let place = (domain.id, domain.name.as_str());
    let alias = Alias {
        id,
        domain_id: domain.id,
        local_part,
        address,
        user_id: users::of_targets(&mut tx, place, &targets).await?,
        targets,
        keep_copy: false,
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    check_holder(&mut tx, cx, Action::Create, &alias).await?;
    store::aliases::insert(&mut *tx, &alias).await?;
    allowances::give(&mut tx, alias.domain_id, &[one_more()]).await?;
    finish(tx, cx, Action::Create, None, Some(&alias)).await?;
    Ok(alias)
}

/// Changes an alias.
pub async fn update(
    cx: &Context,
    id: AliasId,
    precondition: Precondition,
    patch: AliasPatch,
) -> Result<Alias> {
    let found = find(cx, id, Action::Update).await?;
    let targets = match &patch.targets {
        Some(targets) => Some(read_targets(cx, found.domain_id, targets, &found.address).await?),
        None => None,
    };
    let mut tx = cx.begin().await?;
    let before = lock(&mut tx, cx, Action::Update, id).await?;
    precondition.check(before.revision)?;
    let mut alias = before.clone();
    alias.targets = targets.unwrap_or_else(|| before.targets.clone());
    let place = (alias.domain_id, before.address.parts().1);
    alias.user_id = users::of_targets(&mut tx, place, &alias.targets).await?;
    if alias == before {
        tx.commit().await?;
        return Ok(before);
    }
    check_holder(&mut tx, cx, Action::Update, &alias).await?;
    alias.revision += 1;
    alias.updated_at = cx.now();
    store::aliases::update(&mut *tx, &alias).await?;
    finish(tx, cx, Action::Update, Some(&before), Some(&alias)).await?;
    Ok(alias)
}

/// Removes an alias.
pub async fn delete(cx: &Context, id: AliasId, precondition: Precondition) -> Result<()> {
    find(cx, id, Action::Delete).await?;
    let mut tx = cx.begin().await?;
    let before = lock(&mut tx, cx, Action::Delete, id).await?;
    precondition.check(before.revision)?;
    store::addresses::delete(&mut *tx, id.uuid()).await?;
    store::aliases::delete(&mut *tx, id).await?;
    allowances::give(&mut tx, before.domain_id, &[one_more().back()]).await?;
    finish(tx, cx, Action::Delete, Some(&before), None).await
}

/// What an alias takes of the allowances above.
pub(super) fn one_more() -> Given {
    Given { amounts: Amounts { aliases: 1, ..Amounts::default() }, ..Given::default() }
}

/// An alias of the domain, whoever it stands for.
fn anybodys(domain_id: DomainId) -> Resource {
    Resource::Alias { domain_id, holder: None }
}

/// The other end of an alias: the user whom it stands for, who may send as it.
async fn check_holder(
    tx: &mut Transaction,
    cx: &Context,
    action: Action,
    alias: &Alias,
) -> Result<()> {
    let Some(user) = alias.user_id else { return Ok(()) };
    let holder = store::accounts::find(&mut **tx, &UserRef::Id(user)).await?;
    let holder = holder.map(|user| user.scope());
    cx.authorize(action, Resource::Alias { domain_id: alias.domain_id, holder })
}

async fn read_targets(
    cx: &Context,
    domain: DomainId,
    targets: &[String],
    own: &EmailAddress,
) -> Result<Vec<EmailAddress>> {
    if targets.is_empty() {
        return Err(Error::invalid("/targets", "must have at least one item"));
    }
    let names = store::domain_aliases::list_all(cx.pool(), domain).await?;
    let targets = parse_targets(targets, own, &names).map_err(Error::Invalid)?;
    check_end(cx, domain, &targets, own).await?;
    Ok(targets)
}

/// Mail for the targets comes to an end, and not back to this address, as far as the domain tells.
/// Two changes at the same time can close a circle: nodes then refuse its mail for now.
pub(super) async fn check_end(
    cx: &Context,
    domain: DomainId,
    targets: &[EmailAddress],
    own: &EmailAddress,
) -> Result<()> {
    let name = own.parts().1;
    let inside = targets.iter().map(EmailAddress::parts).filter(|parts| parts.1 == name);
    let inside: Vec<_> = inside.map(|(local_part, _)| local_part).collect();
    if inside.is_empty() {
        return Ok(());
    }
    // Whatever stands between belongs to the domain, and is not shown.
    let db = cx.state().pool();
    if store::aliases::leads_to(db, (domain, name), &inside, own.parts().0).await? {
        return Err(Error::invalid("/targets", "must not lead back to the address itself"));
    }
    Ok(())
}

/// Locks an alias, and reads what holds now: the caller may do this to who has it.
async fn lock(tx: &mut Transaction, cx: &Context, action: Action, id: AliasId) -> Result<Alias> {
    store::aliases::lock(&mut **tx, id).await?;
    let alias = store::aliases::find(&mut **tx, id).await?;
    let alias = alias.ok_or_else(|| Error::not_found("alias", id))?;
    check_holder(tx, cx, action, &alias).await?;
    Ok(alias)
}

async fn finish(
    mut tx: Transaction,
    cx: &Context,
    action: Action,
    before: Option<&Alias>,
    after: Option<&Alias>,
) -> Result<()> {
    let Some(alias) = after.or(before) else { return Ok(()) };
    // Storage nodes carry no aliases.
    store::changes::insert(&mut *tx, RowKind::Alias, alias.id.uuid(), Some(&[])).await?;
    let holders = [before, after].map(|one| one.and_then(|alias| alias.user_id));
    for holder in holders.into_iter().flatten().collect::<BTreeSet<_>>() {
        // Which mail it answers goes by the addresses of the user.
        store::changes::insert_of_user(&mut *tx, RowKind::Autoreply, holder).await?;
    }
    let subject = Subject::of(alias.domain_id, "alias", alias.id).about(alias.user_id);
    let (before, after) = (before.map(shown).transpose()?, after.map(shown).transpose()?);
    audit::record(&mut tx, cx, action, subject, before.flatten(), after.flatten()).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(())
}
