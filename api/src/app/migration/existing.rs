//! Reads what there is already of all that a dump names.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use umail_proto::ids::{DomainId, GroupId, UserId};
use uuid::Uuid;

use crate::{
    app::migration::{AT_ONCE, BATCH},
    context::Context,
    error::{Error, Result},
    model::{
        address::{DomainName, EmailAddress, LocalPart},
        alias::Alias,
        department::Among,
        domain::{Domain, DomainRef},
        domain_alias::DomainAliasRef,
        group::{Group, MAX_MEMBERS},
        migration::{Existing, Held, HeldName, Options, Source},
        page::Page,
        plan::Plan,
        user::User,
    },
    store,
};

/// Reads what there is of all that a dump names.
pub(super) async fn load(cx: &Context, source: &Source, options: &Options) -> Result<Existing> {
    let names = stream::iter(source.names()).map(|name| async move {
        let held = held_name(cx, &name).await?;
        Ok::<_, Error>(held.map(|held| (name, held)))
    });
    let names: Vec<_> = names.buffer_unordered(AT_ONCE).try_collect().await?;
    let mut existing = Existing::default();
    let mut domains = HashMap::new();
    for (name, (held, domain)) in names.into_iter().flatten() {
        if let Some(domain) = domain {
            domains.insert(name.clone(), domain);
        }
        existing.names.insert(name, held);
    }
    let there: HashSet<_> = domains.keys().cloned().collect();
    let asked: Vec<_> = source
        .addresses(&there)
        .filter_map(|(part, name)| Some((domains.get(&name)?.id, part)))
        .collect();
    let (plans, forwarded) = (plans(cx).await?, source.forwarded());
    let names = domains.values().map(|one| (one.id, one.name.clone())).collect();
    let mut reader = Reader { cx, options, plans, names, forwarded, existing };
    for asked in asked.chunks(BATCH) {
        reader.addresses(asked).await?;
    }
    for domain in domains.values() {
        reader.aliases(domain).await?;
        reader.groups(domain).await?;
    }
    Ok(reader.existing)
}

async fn held_name(cx: &Context, name: &DomainName) -> Result<Option<(HeldName, Option<Domain>)>> {
    let domain = DomainRef::Name(name.clone());
    if let Some(domain) = store::domains::find_any(cx.pool(), &domain).await? {
        if domain.deletion.is_some() {
            return Ok(Some((HeldName::Deleted, None)));
        }
        let (status, catch_all) = (domain.status, domain.catch_all.clone());
        let allowance = store::allowances::find(cx.pool(), domain.id.uuid()).await?.into();
        return Ok(Some((HeldName::Domain { status, catch_all, allowance }, Some(domain))));
    }
    let alias = DomainAliasRef::Name(name.clone());
    let Some(alias) = store::domain_aliases::find(cx.pool(), &alias).await? else {
        return Ok(None);
    };
    let of = store::domains::find_any(cx.pool(), &DomainRef::Id(alias.domain_id)).await?;
    Ok(of.map(|of| (HeldName::DomainAlias(of.name), None)))
}

async fn plans(cx: &Context) -> Result<HashMap<Uuid, Plan>> {
    let all = store::plans::list(cx.pool(), Page { after: None, limit: i64::MAX }).await?;
    Ok(all.into_iter().map(|plan| (plan.id.uuid(), plan)).collect())
}

/// Reads what addresses are taken by.
struct Reader<'a> {
    cx: &'a Context,
    options: &'a Options,
    plans: HashMap<Uuid, Plan>,
    names: HashMap<DomainId, DomainName>,
    /// Whose forwarding matters.
    forwarded: HashSet<EmailAddress>,
    existing: Existing,
}

impl Reader<'_> {
    async fn addresses(&mut self, asked: &[(DomainId, LocalPart)]) -> Result<()> {
        let asked: Vec<_> = asked.iter().map(|(id, part)| (*id, part.as_str())).collect();
        let taken = store::addresses::list(self.cx.pool(), &asked).await?;
        let owners: Vec<_> = taken.iter().map(|one| one.owner_id).collect();
        let users = store::accounts::list_any(self.cx.pool(), &owners).await?;
        let ids: Vec<UserId> = users.iter().map(|one| one.id).collect();
        let mut hashes = if self.options.update {
            store::credentials::list_passwords(self.cx.pool(), &ids).await?
        } else {
            HashMap::new()
        };
        for user in users {
            let hash = hashes.remove(&user.id).map(|(hash, _)| hash);
            let (address, held) = (user.address.clone(), self.held(user, hash).await?);
            self.existing.addresses.insert(address, held);
        }
        Ok(())
    }

    async fn held(&self, user: User, hash: Option<String>) -> Result<Held> {
        if user.is_deleted() {
            return Ok(Held::Deleted);
        }
        let pool = self.cx.pool();
        let forwarding = if self.forwarded.contains(&user.address) {
            store::aliases::find_forwarding(pool, user.id, &user.local_part).await?
        } else {
            None
        };
        let whole = user.grants.iter().filter(|one| one.department_id.is_none());
        let administers = whole.filter_map(|one| self.names.get(&one.domain_id).cloned()).collect();
        let of_plan = self.plans.get(&user.plan_id.uuid()).and_then(|plan| plan.quota.number());
        Ok(Held::User {
            display_name: user.display_name,
            status: user.status,
            functions: user.functions,
            quota: user.quota.or(of_plan),
            hash,
            forwarding: forwarding.map(|one| (one.targets, one.keep_copy)),
            administers,
        })
    }

    async fn aliases(&mut self, domain: &Domain) -> Result<()> {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let mut after = None;
        loop {
            let page = Page { after, limit };
            let found = store::aliases::list(self.cx.pool(), domain, None, page).await?.rows;
            let Some(last) = found.last() else { return Ok(()) };
            after = Some(last.id.uuid());
            for Alias { address, targets, .. } in found {
                self.existing.addresses.insert(address, Held::Alias(targets));
            }
        }
    }

    async fn groups(&mut self, domain: &Domain) -> Result<()> {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let mut after = None;
        loop {
            let page = Page { after, limit };
            let found =
                store::groups::list(self.cx.pool(), domain, &Among::All, None, page).await?.rows;
            let Some(last) = found.last() else { return Ok(()) };
            after = Some(last.id.uuid());
            for Group { id, address, posting, .. } in found {
                let members = self.members(id).await?;
                self.existing.addresses.insert(address, Held::Group { posting, members });
            }
        }
    }

    async fn members(&self, id: GroupId) -> Result<Vec<EmailAddress>> {
        let page = Page { after: None, limit: MAX_MEMBERS };
        let members = store::group_members::list(self.cx.pool(), id, page).await?;
        Ok(members.into_iter().filter_map(|one| one.address).collect())
    }
}
