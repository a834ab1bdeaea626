//! Other names of domains. Whoever takes a name takes it from everybody else, so that only who adds
//! domains adds them.

use umail_api_types::domain_aliases::NewDomainAlias;
use umail_proto::{agent::RowKind, ids::DomainAliasId};

use crate::{
    app::{
        audit::{self, Subject, shown},
        domains,
        fields::one,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        address::DomainName,
        domain::DomainRef,
        domain_alias::{DomainAlias, DomainAliasRef},
        page::Page,
    },
    store,
    transaction::Transaction,
};

/// A page of the other names of a domain.
pub async fn list(cx: &Context, domain: &DomainRef, page: Page) -> Result<Vec<DomainAlias>> {
    let domain = domains::find(cx, domain, |id| (Action::List, Resource::DomainAlias(id))).await?;
    store::domain_aliases::list(cx.pool(), domain.id, page).await
}

/// One domain alias.
pub async fn read(cx: &Context, alias: &DomainAliasRef) -> Result<DomainAlias> {
    find(cx, alias, Action::Read).await
}

async fn find(cx: &Context, alias: &DomainAliasRef, action: Action) -> Result<DomainAlias> {
    let found = store::domain_aliases::find(cx.pool(), alias).await?;
    let found = found.ok_or_else(|| missing(alias))?;
    match cx.authorize(action, Resource::DomainAlias(found.domain_id)) {
        Err(Error::NotFound { .. }) => Err(missing(alias)),
        other => other.map(|()| found),
    }
}

fn missing(alias: &DomainAliasRef) -> Error {
    match alias {
        DomainAliasRef::Id(id) => Error::not_found("domain alias", id),
        DomainAliasRef::Name(name) => Error::not_found("domain alias", name),
    }
}

/// Adds another name to a domain.
pub async fn create(cx: &Context, domain: &DomainRef, new: NewDomainAlias) -> Result<DomainAlias> {
    let domain =
        domains::find(cx, domain, |id| (Action::Create, Resource::DomainAlias(id))).await?;
    let alias = DomainAlias {
        id: DomainAliasId::generate(cx.now()),
        domain_id: domain.id,
        name: one("/name", DomainName::parse_hosted(&new.name))?,
        created_at: cx.now(),
    };
    let mut tx = cx.begin().await?;
    store::domains::hold(&mut *tx, domain.id).await?;
    store::domain_names::insert(&mut *tx, &alias.name, alias.id.uuid()).await?;
    insert(&mut tx, cx, &alias).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(alias)
}

/// Removes a name: mail to it is refused, and the name is free.
pub async fn delete(cx: &Context, alias: &DomainAliasRef) -> Result<()> {
    let alias = find(cx, alias, Action::Delete).await?;
    let mut tx = cx.begin().await?;
    store::domains::hold(&mut *tx, alias.domain_id).await?;
    remove(&mut tx, cx, &alias).await?;
    store::domain_names::delete(&mut *tx, &alias.name).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(())
}

/// Adds a domain alias whose name was taken for it.
pub(super) async fn insert(tx: &mut Transaction, cx: &Context, alias: &DomainAlias) -> Result<()> {
    store::domain_aliases::insert(&mut **tx, alias).await?;
    record(tx, cx, Action::Create, alias).await
}

/// Removes a domain alias; its name is still to be given back, or to another.
pub(super) async fn remove(tx: &mut Transaction, cx: &Context, alias: &DomainAlias) -> Result<()> {
    if !store::domain_aliases::delete(&mut **tx, alias.id).await? {
        return Err(missing(&DomainAliasRef::Id(alias.id)));
    }
    record(tx, cx, Action::Delete, alias).await
}

async fn record(
    tx: &mut Transaction,
    cx: &Context,
    action: Action,
    alias: &DomainAlias,
) -> Result<()> {
    store::changes::insert(&mut **tx, RowKind::DomainAlias, alias.id.uuid(), None).await?;
    let subject = Subject::of(alias.domain_id, "domain alias", alias.id);
    let row = shown(alias)?;
    let (before, after) = if action == Action::Create { (None, row) } else { (row, None) };
    audit::record(tx, cx, action, subject, before, after).await
}
