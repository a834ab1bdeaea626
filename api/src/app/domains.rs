//! Hosted mail domains.

use umail_api_types::{
    domains::{DomainPatch, NewDomain},
    functions,
    status::Status,
};
use umail_proto::{agent::RowKind, functions::Functions, ids::DomainId};

use crate::{
    app::{
        audit::{self, Subject, shown},
        fields::one,
    },
    authz::{self, Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        address::{DomainName, EmailAddress},
        domain::{Domain, DomainRef},
        page::Page,
        revision::Precondition,
    },
    store,
};

/// A page of the domains in the caller's scope.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<Domain>> {
    cx.authorize(Action::List, Resource::Domains)?;
    let among = authz::visible_domains(cx.caller());
    store::domains::list(cx.pool(), among.as_deref(), page).await
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
    let missing = || match domain {
        DomainRef::Id(id) => Error::not_found("domain", id),
        DomainRef::Name(name) => Error::not_found("domain", name),
    };
    let found = store::domains::find(cx.pool(), domain).await?.ok_or_else(missing)?;
    let (action, resource) = asked(found.id);
    match cx.authorize(action, resource) {
        Err(Error::NotFound { .. }) => Err(missing()),
        other => other.map(|()| found),
    }
}

/// Adds a domain.
pub async fn create(cx: &Context, new: NewDomain) -> Result<Domain> {
    cx.authorize(Action::Create, Resource::Domains)?;
    let domain = Domain {
        id: DomainId::generate(cx.now()),
        name: one("/name", DomainName::parse(&new.name))?,
        status: Status::Active,
        functions: Functions::ALL,
        catch_all: None,
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let mut tx = cx.begin().await?;
    store::domains::insert(&mut *tx, &domain).await?;
    store::allowances::insert(&mut *tx, domain.id.uuid(), domain.id).await?;
    store::changes::insert(&mut *tx, RowKind::Domain, domain.id.uuid(), None).await?;
    let subject = Subject::of(domain.id, "domain", domain.id);
    audit::record(&mut tx, cx, Action::Create, subject, None, shown(&domain)?).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(domain)
}

/// Changes a domain. Status and functions are set from above.
pub async fn update(
    cx: &Context,
    domain: &DomainRef,
    precondition: Precondition,
    patch: DomainPatch,
) -> Result<Domain> {
    let found = find(cx, domain, |id| (Action::Update, Resource::Domain(id))).await?;
    if patch.status.is_some() || patch.functions.is_some() {
        cx.authorize(Action::Operate, Resource::Domain(found.id))?;
    }
    let read = |address: Option<String>| {
        address.map(|text| one("/catch_all", EmailAddress::parse(&text))).transpose()
    };
    let catch_all = patch.catch_all.map(read).transpose()?;
    let mut tx = cx.begin().await?;
    let before = store::domains::lock(&mut *tx, found.id).await?;
    precondition.check(before.revision)?;
    let mut domain = before.clone();
    domain.status = patch.status.unwrap_or(before.status);
    domain.functions = patch.functions.as_deref().map_or(before.functions, functions::set);
    domain.catch_all = catch_all.unwrap_or_else(|| before.catch_all.clone());
    if domain == before {
        tx.commit().await?;
        return Ok(before);
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

/// Deletes a domain with all in it: mail is refused, nobody signs in, the name stays taken.
pub async fn delete(cx: &Context, domain: &DomainRef, precondition: Precondition) -> Result<()> {
    let found = find(cx, domain, |id| (Action::Delete, Resource::Domain(id))).await?;
    let mut tx = cx.begin().await?;
    let before = store::domains::lock(&mut *tx, found.id).await?;
    precondition.check(before.revision)?;
    store::domains::delete(&mut *tx, found.id, cx.now()).await?;
    store::changes::insert(&mut *tx, RowKind::Domain, found.id.uuid(), None).await?;
    let subject = Subject::of(found.id, "domain", found.id);
    audit::record(&mut tx, cx, Action::Delete, subject, shown(&before)?, None).await?;
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    Ok(())
}
