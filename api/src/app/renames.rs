//! Another address for a user: the mailbox is found by the user's id and stays as it is; whoever
//! names the old address names the new one from now on.

use umail_proto::{agent::RowKind, ids::AliasId};

use crate::{
    app::{
        aliases,
        allowances::Given,
        audit::{self, Subject, shown},
        domains,
        fields::one,
    },
    authz::Action,
    context::Context,
    error::{Error, Result},
    model::{alias::Alias, user::User},
    store,
    transaction::Transaction,
};

/// Exchanges the address of a user, if it is another one afterwards; the user's own row has
/// been written by who asks. Returns what it takes of the allowances.
pub(super) async fn apply(
    tx: &mut Transaction,
    cx: &Context,
    (before, after): (&User, &User),
    leave_alias: bool,
) -> Result<Vec<Given>> {
    if before.address == after.address {
        return Ok(Vec::new());
    }
    if before.moving {
        return Err(Error::Conflict("the mailbox is being moved; try again later".to_owned()));
    }
    let (domain, owner) = (after.domain_id, after.id.uuid());
    one("/local_part", domains::name(cx, domain, after.local_part.as_str()))?;
    store::domains::hold(&mut **tx, domain).await?;
    let forwarding =
        store::aliases::find_forwarding(&mut **tx, after.id, &before.local_part).await?;
    store::addresses::delete(&mut **tx, owner).await?;
    store::addresses::insert(&mut **tx, domain, &after.local_part, owner, &after.address).await?;
    if let Some(forwarding) = forwarding {
        store::aliases::rename(&mut **tx, forwarding.id, &after.local_part).await?;
        log(tx, forwarding.id).await?;
    }
    let addresses = (&before.address, &after.address);
    // Whoever renames the user may not see all in the domain that names the user.
    tx.reach_beyond().await?;
    let aliases = store::aliases::retarget(&mut **tx, domain, addresses, cx.now()).await?;
    let is_catch_all = store::domains::retarget(&mut **tx, domain, addresses, cx.now()).await?;
    tx.reach_within().await?;
    for id in aliases {
        log(tx, id).await?;
    }
    if is_catch_all {
        store::changes::insert(&mut **tx, RowKind::Domain, domain.uuid(), None).await?;
    }
    if !leave_alias {
        let settings = store::settings::get(&mut **tx).await?;
        if settings.postmaster_address.as_ref() == Some(&before.address) {
            let text = "the address is the postmaster_address of the settings: leave an alias";
            return Err(Error::Conflict(text.to_owned()));
        }
        return Ok(Vec::new());
    }
    leave(tx, cx, (before, after)).await?;
    Ok(vec![aliases::one_more()])
}

/// Makes the old address an alias of the user.
async fn leave(tx: &mut Transaction, cx: &Context, (before, after): (&User, &User)) -> Result<()> {
    let alias = Alias {
        id: AliasId::generate(cx.now()),
        domain_id: after.domain_id,
        local_part: before.local_part.clone(),
        address: before.address.clone(),
        targets: vec![after.address.clone()],
        user_id: Some(after.id),
        keep_copy: false,
        revision: 1,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let (domain, id) = (alias.domain_id, alias.id.uuid());
    store::addresses::insert(&mut **tx, domain, &alias.local_part, id, &alias.address).await?;
    store::aliases::insert(&mut **tx, &alias).await?;
    log(tx, alias.id).await?;
    store::changes::insert_of_user(&mut **tx, RowKind::Autoreply, after.id).await?;
    let subject = Subject::of_user(after, "alias", alias.id);
    audit::record(tx, cx, Action::Create, subject, None, shown(&alias)?).await
}

/// Storage nodes carry no aliases.
async fn log(tx: &mut Transaction, id: AliasId) -> Result<()> {
    store::changes::insert(&mut **tx, RowKind::Alias, id.uuid(), Some(&[])).await
}
