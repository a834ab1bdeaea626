//! Hosted mail domains.

use futures_util::TryFutureExt as _;
use time::OffsetDateTime;
use umail_api_types::{
    domains::{DomainFilter, DomainPatch, NewDomain},
    functions,
    status::Status,
};
use umail_proto::{agent::RowKind, functions::Functions, ids::DomainId};

use crate::{
    app::{
        audit::{self, Subject, shown},
        domain_names,
        fields::{Fields, one},
        lists::counted,
    },
    authz::{self, Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        address::{DomainName, EmailAddress, LocalPart},
        deletion::Deletion,
        domain::{Domain, DomainRef},
        page::{Found, Page},
        revision::Precondition,
        search::Search,
    },
    store,
    transaction::Transaction,
};

/// A page of the domains in the caller's scope; or of those that were deleted, for who may
/// restore them.
pub async fn list(cx: &Context, filter: &DomainFilter, page: Page) -> Result<Found<Domain>> {
    cx.authorize(Action::List, Resource::Domains)?;
    let search = Search::parse_parameter(filter.search.as_deref())?;
    let (db, search) = (cx.pool(), search.as_ref());
    if filter.deleted == Some(true) {
        cx.authorize(Action::Delete, Resource::Domains)?;
        let found = store::domains::list_deleted(db, search, page).map_ok(Found::from);
        return counted(found, filter.count, store::domains::count_deleted(db, search)).await;
    }
    let among = authz::visible_domains(cx.caller());
    let among = among.as_deref();
    let found = store::domains::list(db, among, search, page);
    counted(found, filter.count, store::domains::count(db, among, search)).await
}

/// One domain.
pub async fn read(cx: &Context, domain: &DomainRef) -> Result<Domain> {
    find(cx, domain, |id| (Action::Read, Resource::Domain(id))).await
}

/// The domain, if the caller may do this in it; what is out of scope looks like what is not there.
pub async fn find(
    cx: &Context,
    domain: &DomainRef,
    asked: impl FnOnce(DomainId) -> (Action, Resource),
) -> Result<Domain> {
    let found = store::domains::find(cx.pool(), domain).await?;
    permitted(cx, domain, found, asked)
}

fn missing(domain: &DomainRef) -> Error {
    match domain {
        DomainRef::Id(id) => Error::not_found("domain", id),
        DomainRef::Name(name) => Error::not_found("domain", name),
    }
}

/// The same, be it deleted or not.
async fn find_any(
    cx: &Context,
    domain: &DomainRef,
    asked: impl FnOnce(DomainId) -> (Action, Resource),
) -> Result<Domain> {
    let found = store::domains::find_any(cx.pool(), domain).await?;
    permitted(cx, domain, found, asked)
}

fn permitted(
    cx: &Context,
    domain: &DomainRef,
    found: Option<Domain>,
    asked: impl FnOnce(DomainId) -> (Action, Resource),
) -> Result<Domain> {
    let found = found.ok_or_else(|| missing(domain))?;
    let (action, resource) = asked(found.id);
    match cx.authorize(action, resource) {
        Err(Error::NotFound { .. }) => Err(missing(domain)),
        other => other.map(|()| found),
    }
}

/// Adds a domain.
pub async fn create(cx: &Context, new: NewDomain) -> Result<Domain> {
    create_with(cx, &new.name, Status::Active).await
}

/// Adds a domain that has a status from the beginning.
pub(super) async fn create_with(cx: &Context, name: &str, status: Status) -> Result<Domain> {
    cx.authorize(Action::Create, Resource::Domains)?;
    let domain = Domain {
        id: DomainId::generate(cx.now()),
        name: one("/name", DomainName::parse_hosted(name))?,
        status,
        functions: Functions::ALL,
        catch_all: None,
        deferred_until: None,
        deletion: None,
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let mut tx = cx.begin().await?;
    store::domain_names::insert(&mut *tx, &domain.name, domain.id.uuid()).await?;
    store::domains::insert(&mut *tx, &domain).await?;
    store::allowances::insert(&mut *tx, domain.id.uuid(), domain.id).await?;
    store::changes::insert(&mut *tx, RowKind::Domain, domain.id.uuid(), None).await?;
    let subject = Subject::of(domain.id, "domain", domain.id);
    audit::record(&mut tx, cx, Action::Create, subject, None, shown(&domain)?).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(domain)
}

/// Changes a domain. Name, status and functions are set from above. One that is renamed can keep its
/// old name as a domain alias.
pub async fn update(
    cx: &Context,
    domain: &DomainRef,
    precondition: Precondition,
    patch: DomainPatch,
    keep_old_name: bool,
) -> Result<Domain> {
    let found = find(cx, domain, |id| (Action::Update, Resource::Domain(id))).await?;
    if patch.name.is_some() || patch.status.is_some() || patch.functions.is_some() {
        cx.authorize(Action::Operate, Resource::Domain(found.id))?;
    }
    let mut fields = Fields::default();
    let name = patch.name.as_deref().map(DomainName::parse_hosted);
    let name = name.and_then(|name| fields.read("/name", name));
    let catch_all = patch.catch_all.map(|address| {
        address.and_then(|text| fields.read("/catch_all", EmailAddress::parse(&text)))
    });
    fields.check()?;
    let mut tx = cx.begin().await?;
    let before = store::domains::lock(&mut *tx, found.id).await?;
    precondition.check(before.revision)?;
    let mut domain = before.clone();
    domain.name = name.unwrap_or_else(|| before.name.clone());
    domain.status = patch.status.unwrap_or(before.status);
    if domain.status != before.status {
        domain.deferred_until = deferred_until(&mut tx, cx, domain.status).await?;
    }
    domain.functions = patch.functions.as_deref().map_or(before.functions, functions::set);
    domain.catch_all = catch_all.unwrap_or_else(|| before.catch_all.clone());
    if domain == before {
        tx.commit().await?;
        return Ok(before);
    }
    if domain.name != before.name {
        domain_names::rename(&mut tx, cx, &before.name, &mut domain, keep_old_name).await?;
    }
    domain.revision += 1;
    domain.updated_at = cx.now();
    store::domains::update(&mut *tx, &domain).await?;
    store::changes::insert(&mut *tx, RowKind::Domain, domain.id.uuid(), None).await?;
    let subject = Subject::of(domain.id, "domain", domain.id);
    audit::record(&mut tx, cx, Action::Update, subject, shown(&before)?, shown(&domain)?).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(domain)
}

/// Until when mail is deferred for a domain that has this status from now on.
async fn deferred_until(
    tx: &mut Transaction,
    cx: &Context,
    status: Status,
) -> Result<Option<OffsetDateTime>> {
    match status {
        Status::Suspended => {
            let settings = store::settings::get(&mut **tx).await?;
            Ok(Some(settings.deferred_until(cx.now())))
        }
        _ => Ok(None),
    }
}

/// Deletes a domain with all in it: mail is refused, nobody signs in, the name stays taken.
pub async fn delete(cx: &Context, domain: &DomainRef, precondition: Precondition) -> Result<()> {
    let found = find(cx, domain, |id| (Action::Delete, Resource::Domain(id))).await?;
    let mut tx = cx.begin().await?;
    let before = store::domains::lock(&mut *tx, found.id).await?;
    precondition.check(before.revision)?;
    let purge_at = store::settings::get(&mut *tx).await?.purge_at(cx.now());
    let deletion = Deletion { deleted_at: cx.now(), purge_at, is_purging: false };
    write(tx, cx, Action::Delete, &before, Some(deletion)).await.map(drop)
}

/// Takes back the deletion of a domain, for as long as its grace time lasts. One that was not
/// deleted is left as it is.
pub async fn restore(cx: &Context, domain: &DomainRef) -> Result<Domain> {
    let found = find_any(cx, domain, |id| (Action::Delete, Resource::Domain(id))).await?;
    let mut tx = cx.begin().await?;
    let before = store::domains::lock_any(&mut *tx, found.id).await?;
    let before = before.ok_or_else(|| missing(domain))?;
    let Some(deletion) = before.deletion else {
        tx.commit().await?;
        return Ok(before);
    };
    if !deletion.is_in_grace(cx.now()) {
        let name = &before.name;
        return Err(Error::Conflict(format!("the grace time of domain {name} has ended")));
    }
    write(tx, cx, Action::Update, &before, None).await
}

/// Ends the grace time of a domain that was deleted: nothing brings it back.
pub async fn purge(cx: &Context, domain: &DomainRef) -> Result<Domain> {
    let found = find_any(cx, domain, |id| (Action::Operate, Resource::Domain(id))).await?;
    let mut tx = cx.begin().await?;
    let before = store::domains::lock_any(&mut *tx, found.id).await?;
    let before = before.ok_or_else(|| missing(domain))?;
    let Some(deletion) = before.deletion else {
        return Err(Error::Conflict("only what was deleted can be purged".to_owned()));
    };
    if deletion.purge_at <= cx.now() {
        tx.commit().await?;
        return Ok(before);
    }
    let deletion = Deletion { purge_at: cx.now(), ..deletion };
    let domain = write(tx, cx, Action::Operate, &before, Some(deletion)).await?;
    cx.state().fleet().progressed();
    Ok(domain)
}

/// Writes the domain with this deletion or none, and commits.
async fn write(
    mut tx: Transaction,
    cx: &Context,
    action: Action,
    before: &Domain,
    deletion: Option<Deletion>,
) -> Result<Domain> {
    let (revision, updated_at) = (before.revision + 1, cx.now());
    let domain = Domain { deletion, revision, updated_at, ..before.clone() };
    store::domains::update(&mut *tx, &domain).await?;
    store::changes::insert(&mut *tx, RowKind::Domain, domain.id.uuid(), None).await?;
    let subject = Subject::of(domain.id, "domain", domain.id);
    let after = if action == Action::Delete { None } else { shown(&domain)? };
    audit::record(&mut tx, cx, action, subject, shown(before)?, after).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(domain)
}

/// A name for a new address in a domain, for whoever may give it.
pub(super) fn name(cx: &Context, domain: DomainId, text: &str) -> Result<LocalPart, String> {
    let local_part = LocalPart::parse(text)?;
    if local_part.is_official() && !authz::administers(cx.caller(), domain, None) {
        return Err("speaks for the whole domain: its administrators give it".to_owned());
    }
    Ok(local_part)
}
