//! Another name for a domain itself. No mail moves, since nothing is stored under a name.

use umail_proto::{agent::RowKind, ids::DomainAliasId};

use crate::{
    app::domain_aliases,
    context::Context,
    error::{Error, Result},
    model::{
        address::DomainName,
        domain::Domain,
        domain_alias::{DomainAlias, DomainAliasRef},
    },
    store,
    transaction::Transaction,
};

/// Takes the name that the domain is to have, and keeps or gives back the old one. What leads to
/// addresses of the domain from inside of it leads there under the new name.
pub(super) async fn rename(
    tx: &mut Transaction,
    cx: &Context,
    old: &DomainName,
    domain: &mut Domain,
    keep_old_name: bool,
) -> Result<()> {
    take(tx, cx, domain).await?;
    store::domains::update_name(&mut **tx, domain.id, &domain.name).await?;
    if keep_old_name {
        keep(tx, cx, old, domain).await?;
    } else {
        give_up(tx, old).await?;
    }
    domain.catch_all = domain.catch_all.take().map(|address| address.renamed(old, &domain.name));
    let names = (old, &domain.name);
    let aliases = store::aliases::update_renamed(&mut **tx, domain.id, names, cx.now()).await?;
    let keys: Vec<_> = aliases.iter().map(|id| id.uuid()).collect();
    store::changes::insert_all(&mut **tx, RowKind::Alias, &keys).await
}

/// Takes the name for the domain. Another name of its own becomes its name.
async fn take(tx: &mut Transaction, cx: &Context, domain: &Domain) -> Result<()> {
    let wanted = DomainAliasRef::Name(domain.name.clone());
    let alias = store::domain_aliases::find(&mut **tx, &wanted).await?;
    let (name, owner) = (&domain.name, domain.id.uuid());
    match alias.filter(|one| one.domain_id == domain.id) {
        Some(alias) => {
            domain_aliases::remove(tx, cx, &alias).await?;
            store::domain_names::update(&mut **tx, name, owner).await
        }
        None => store::domain_names::insert(&mut **tx, name, owner).await,
    }
}

/// Gives the old name back, unless the system itself writes to it.
async fn give_up(tx: &mut Transaction, old: &DomainName) -> Result<()> {
    let postmaster = store::settings::get(&mut **tx).await?.postmaster_address;
    if postmaster.is_some_and(|address| address.parts().1 == old.as_str()) {
        let text = "the postmaster_address of the settings is in the domain: keep the old name";
        return Err(Error::Conflict(text.to_owned()));
    }
    store::domain_names::delete(&mut **tx, old).await
}

/// Makes the old name another name of the domain.
async fn keep(tx: &mut Transaction, cx: &Context, old: &DomainName, domain: &Domain) -> Result<()> {
    let alias = DomainAlias {
        id: DomainAliasId::generate(cx.now()),
        domain_id: domain.id,
        name: old.clone(),
        created_at: cx.now(),
    };
    store::domain_names::update(&mut **tx, old, alias.id.uuid()).await?;
    domain_aliases::insert(tx, cx, &alias).await
}
