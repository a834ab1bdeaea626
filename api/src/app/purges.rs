//! Purges: what was deleted and whose grace time is over is removed, from its nodes first. Each step
//! is a transaction of its own and may be taken again: a server that dies in between leaves nothing
//! half done, and a node that is away delays what it holds and nothing else.

use time::Duration;
use umail_proto::{
    agent::{PurgeMailbox, RowKind, action::Verb},
    ids::{DomainId, UserId},
};

use crate::{
    app::{
        actions,
        allowances::{self, Given},
        audit::{self, Subject, shown},
        domain_aliases, groups, plans,
    },
    authz::Action,
    context::Context,
    error::{Error, Result},
    model::{
        allowance::Amounts,
        deletion::Deletion,
        domain::{Domain, DomainRef},
        user::{User, UserRef},
    },
    store::{self, mailbox_removals},
    transaction::Transaction,
};

/// Users, or aliases and groups of a domain, that one step takes.
const AT_ONCE: i64 = 100;
/// How long a node has for what it is asked; one that is away for longer is asked anew.
const WINDOW: Duration = Duration::hours(6);

/// Takes every step that can be taken now. What cannot go on does not hold up the others.
pub async fn carry_on(cx: &Context) -> Result<u64> {
    let mut done = mailbox_removals::hear(cx.pool(), cx.now()).await?;
    for id in mailbox_removals::list_due(cx.pool(), cx.now(), AT_ONCE).await? {
        done += taken(begin(cx, id).await, id);
    }
    done += ask(cx).await?;
    for id in mailbox_removals::list_done(cx.pool(), AT_ONCE).await? {
        done += taken(remove_user(cx, id).await, id);
    }
    for id in mailbox_removals::list_empty_domains(cx.pool(), cx.now()).await? {
        done += taken(remove_domain(cx, id).await, id);
    }
    Ok(done)
}

fn taken(step: Result<bool>, id: impl Into<uuid::Uuid>) -> u64 {
    let id = id.into();
    match step {
        Ok(is_done) => is_done.into(),
        Err(error) => {
            tracing::warn!(%id, %error, "a purge does not get on");
            0
        }
    }
}

/// From here on nothing brings the user back. A mailbox that is being moved is waited for.
async fn begin(cx: &Context, id: UserId) -> Result<bool> {
    let mut tx = cx.begin().await?;
    store::accounts::lock(&mut *tx, id).await?;
    let Some(user) = store::accounts::find_any(&mut *tx, &UserRef::Id(id)).await? else {
        tx.commit().await?;
        return Ok(false);
    };
    let domain = store::domains::find_any(&mut *tx, &DomainRef::Id(user.domain_id)).await?;
    let is_due = is_due(cx, user.deletion) || is_due(cx, domain.and_then(|one| one.deletion));
    let move_mailbox = umail_api_types::operations::OperationKind::MoveMailbox.name();
    let is_moving =
        user.moving || store::operations::is_running_for(&mut *tx, move_mailbox, id.uuid()).await?;
    if is_due && !is_moving {
        mailbox_removals::begin(&mut *tx, id, &user.nodes(), cx.now()).await?;
    }
    tx.commit().await?;
    Ok(is_due && !is_moving)
}

fn is_due(cx: &Context, deletion: Option<Deletion>) -> bool {
    deletion.is_some_and(|one| one.purge_at <= cx.now())
}

/// Asks nodes to remove mailboxes, again those who refused.
async fn ask(cx: &Context) -> Result<u64> {
    let mut tx = cx.begin().await?;
    let wanted = mailbox_removals::lock_wanted(&mut *tx, cx.now(), AT_ONCE).await?;
    for (user, node) in &wanted {
        let verb = Verb::PurgeMailbox(PurgeMailbox { user_id: user.to_string() });
        let action = actions::issue(&mut tx, (*node, verb), None, WINDOW, cx.now()).await?;
        mailbox_removals::update_asked(&mut *tx, (*user, *node), action, cx.now()).await?;
    }
    tx.commit().await?;
    for (_, node) in &wanted {
        cx.state().fleet().registry().actions_changed(*node);
    }
    Ok(u64::try_from(wanted.len()).unwrap_or_default())
}

/// Removes a user whose mailbox is on no node any more: the address is free, what the user took of
/// allowances is given back.
async fn remove_user(cx: &Context, id: UserId) -> Result<bool> {
    let mut tx = cx.begin().await?;
    if !mailbox_removals::lock_done(&mut *tx, id).await? {
        tx.commit().await?;
        return Ok(false);
    }
    let user = store::accounts::find_any(&mut *tx, &UserRef::Id(id)).await?;
    let user = user.ok_or_else(|| Error::corrupt("account", id, "is missing"))?;
    let plan = plans::hold_for(&mut tx, Some(user.plan_id), None).await?;
    let aliases = remove_aliases(&mut tx, cx, &user).await?;
    groups::leave_all(&mut tx, id).await?;
    let nodes = user.nodes();
    for credential in store::directory::credentials_of(&mut *tx, &[id.uuid()]).await? {
        store::changes::insert(&mut *tx, RowKind::Credential, credential, Some(&nodes)).await?;
    }
    store::changes::insert(&mut *tx, RowKind::User, id.uuid(), Some(&nodes)).await?;
    store::addresses::delete(&mut *tx, id.uuid()).await?;
    store::accounts::delete(&mut *tx, id).await?;
    let subject = Subject::of_user(&user, "user purge", id);
    audit::record(&mut tx, cx, Action::Delete, subject, shown(&user)?, None).await?;
    let given = [Given::user(&user, &plan).back(), back(Amounts { aliases, ..Amounts::default() })];
    allowances::give(&mut tx, user.domain_id, &given).await?;
    tx.commit().await?;
    cx.state().changes().notify_one();
    Ok(true)
}

fn back(amounts: Amounts) -> Given {
    Given { amounts, ..Given::default() }.back()
}

/// Lets nothing in the domain lead to the address any more: whoever has it next gets none of the
/// mail that was meant for the user. Returns how many aliases are gone.
async fn remove_aliases(tx: &mut Transaction, cx: &Context, user: &User) -> Result<i64> {
    // Those of a domain that goes too are removed with it.
    let address = (!user.is_domain_deleted).then_some(&user.address);
    let mut gone = 0;
    for alias in store::aliases::list_leading_to(&mut **tx, user.id, address).await? {
        let targets: Vec<_> =
            alias.targets.iter().filter(|one| *one != user.address.as_str()).cloned().collect();
        if alias.is_held || targets.is_empty() {
            store::addresses::delete(&mut **tx, alias.id.uuid()).await?;
            store::aliases::delete(&mut **tx, alias.id).await?;
            gone += i64::from(alias.is_counted);
        } else {
            store::aliases::update_targets(&mut **tx, alias.id, &targets, cx.now()).await?;
        }
        store::changes::insert(&mut **tx, RowKind::Alias, alias.id.uuid(), Some(&[])).await?;
    }
    if let Some(address) = address
        && store::domains::clear_catch_all(&mut **tx, user.domain_id, address, cx.now()).await?
    {
        let key = user.domain_id.uuid();
        store::changes::insert(&mut **tx, RowKind::Domain, key, None).await?;
    }
    Ok(gone)
}

/// Removes a domain that has no users any more: first its aliases and groups, some at a time.
async fn remove_domain(cx: &Context, id: DomainId) -> Result<bool> {
    let mut tx = cx.begin().await?;
    let domain = store::domains::lock_any(&mut *tx, id).await?;
    let Some(domain) = domain.filter(|one| is_due(cx, one.deletion)) else {
        tx.commit().await?;
        return Ok(false);
    };
    let aliases = store::aliases::list_ids(&mut *tx, id, AT_ONCE).await?;
    let mut given = groups::remove_some(&mut tx, id, AT_ONCE).await?;
    if aliases.is_empty() && given.is_empty() {
        remove_empty_domain(&mut tx, cx, &domain).await?;
    } else {
        for alias in &aliases {
            store::addresses::delete(&mut *tx, alias.uuid()).await?;
            store::aliases::delete(&mut *tx, *alias).await?;
            store::changes::insert(&mut *tx, RowKind::Alias, alias.uuid(), Some(&[])).await?;
        }
        let aliases = i64::try_from(aliases.len()).unwrap_or_default();
        given.push(back(Amounts { aliases, ..Amounts::default() }));
        allowances::give(&mut tx, id, &given).await?;
    }
    tx.commit().await?;
    cx.state().callers().forget();
    cx.state().changes().notify_one();
    // There may be more to do.
    cx.state().fleet().progressed();
    Ok(true)
}

async fn remove_empty_domain(tx: &mut Transaction, cx: &Context, domain: &Domain) -> Result<()> {
    let id = domain.id;
    let departments = store::departments::list_ids(&mut **tx, id).await?;
    for department in &departments {
        let key = department.uuid();
        store::changes::insert(&mut **tx, RowKind::Department, key, None).await?;
    }
    store::changes::insert(&mut **tx, RowKind::Domain, id.uuid(), None).await?;
    let subject = Subject::of(id, "domain purge", id);
    audit::record(tx, cx, Action::Delete, subject, shown(domain)?, None).await?;
    let departments = i64::try_from(departments.len()).unwrap_or_default();
    let given = [back(Amounts { departments, ..Amounts::default() })];
    allowances::give(tx, id, &given).await?;
    store::role_assignments::delete_of_domain(&mut **tx, id).await?;
    store::departments::delete_all(&mut **tx, id).await?;
    store::allowances::delete_of_domain(&mut **tx, id).await?;
    for alias in store::domain_aliases::list_all(&mut **tx, id).await? {
        domain_aliases::remove(tx, cx, &alias).await?;
        store::domain_names::delete(&mut **tx, &alias.name).await?;
    }
    store::domains::delete(&mut **tx, id).await?;
    store::domain_names::delete(&mut **tx, &domain.name).await
}
