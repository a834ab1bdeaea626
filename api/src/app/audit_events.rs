//! The search of audit events.

use std::collections::HashMap;

use time::{Duration, OffsetDateTime};
use umail_api_types::audit_events::AuditEventFilter;
use umail_proto::ids::AuditEventId;
use uuid::Uuid;

use crate::{
    authz::{self, Action, Resource},
    context::{Caller, Context},
    error::{Error, Result},
    model::{
        audit::{AuditEvent, Named},
        domain::DomainRef,
        page::{Found, Page},
        user::UserRef,
    },
    store::{self, audit_events::Filter},
};

/// Events that an export reads at once.
const EXPORTED: i64 = 500;
/// An id is minted just before or after the time of its event is read.
const SLACK: Duration = Duration::seconds(2);

/// A page of the events in the caller's scope, the newest first.
pub async fn list(cx: &Context, filter: &AuditEventFilter, page: Page) -> Result<Found<Named>> {
    cx.authorize(Action::List, Resource::AuditEvents)?;
    let mut filter = read(cx, filter).await?;
    filter.limit = page.limit;
    filter.end = page.after.map_or(filter.end, |after| filter.end.min(after));
    find(cx, &filter).await
}

/// One event in the caller's scope.
pub async fn get(cx: &Context, id: AuditEventId) -> Result<Named> {
    cx.authorize(Action::List, Resource::AuditEvents)?;
    let scope = authz::audit_scope(cx.caller());
    let found = store::audit_events::find(cx.pool(), id).await?.filter(|event| scope.has(event));
    let event = found.ok_or_else(|| Error::not_found("audit event", id))?;
    let named = named(cx, vec![event]).await?.pop();
    named.ok_or_else(|| Error::not_found("audit event", id))
}

/// The events in the caller's scope that a filter wants, and what their actors are called.
async fn find(cx: &Context, filter: &Filter) -> Result<Found<Named>> {
    let scope = authz::audit_scope(cx.caller());
    let Found { rows, upto, total } = store::audit_events::list(cx.pool(), scope, filter).await?;
    Ok(Found { rows: named(cx, rows).await?, upto, total })
}

async fn named(cx: &Context, events: Vec<AuditEvent>) -> Result<Vec<Named>> {
    let mut ids: Vec<_> = events.iter().filter_map(|event| event.actor_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut names: HashMap<_, _> =
        store::audit_events::list_names(cx.pool(), &ids).await?.into_iter().collect();
    // Names of operators are for operators, whose connections see them.
    if matches!(cx.caller(), Caller::Operator { .. }) {
        names.extend(store::operators::list_names(cx.pool(), &ids).await?);
    }
    let name = |event: &AuditEvent| names.get(&event.actor_id?).cloned();
    Ok(events.into_iter().map(|event| Named { actor: name(&event), event }).collect())
}

/// All events that a filter wants, read one page after the other.
#[derive(Debug)]
pub struct Export {
    cx: Context,
    filter: Filter,
    is_over: bool,
}

/// Begins an export of the events in the caller's scope, the newest first.
pub async fn export(cx: &Context, filter: &AuditEventFilter) -> Result<Export> {
    cx.authorize(Action::List, Resource::AuditEvents)?;
    let filter = Filter { limit: EXPORTED, ..read(cx, filter).await? };
    Ok(Export { cx: cx.clone(), filter, is_over: false })
}

impl Export {
    /// The next events; none at the end. Whoever may see less meanwhile gets less.
    pub async fn next(&mut self) -> Result<Vec<Named>> {
        while !self.is_over {
            self.cx = self.cx.renewed().await?;
            let Found { rows, upto, .. } = find(&self.cx, &self.filter).await?;
            match upto {
                Some(end) => self.filter.end = end,
                None => self.is_over = true,
            }
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }
}

async fn read(cx: &Context, filter: &AuditEventFilter) -> Result<Filter> {
    let user = filter.user.as_deref();
    let domain = match filter.domain.as_deref() {
        Some(name) => Some(find_domain(cx, name).await?),
        None => None,
    };
    Ok(Filter {
        actor_id: find_user(cx, "actor", filter.actor.as_deref()).await?,
        user_id: find_user(cx, "user", user).await?,
        resource: word("resource", filter.resource.as_deref())?,
        resource_id: filter.resource_id,
        domain_id: domain,
        action: word("action", filter.action.as_deref())?,
        kind: filter.kind,
        from: filter.from,
        to: filter.to,
        first: filter.from.map_or_else(Uuid::nil, |from| floor(from - SLACK)),
        end: filter.to.map_or_else(Uuid::max, |to| floor(to + SLACK)),
        limit: 0,
    })
}

/// A word that events may have: names of actions and of kinds of things.
fn word(field: &str, text: Option<&str>) -> Result<Option<String>> {
    let is_word = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|one| one.is_ascii_alphabetic() || b"_ ".contains(&one))
    };
    match text {
        Some(text) if !is_word(text) => {
            Err(Error::invalid(field, "must be words of 1 to 64 letters"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// The smallest id of a time.
fn floor(time: OffsetDateTime) -> Uuid {
    let mut bytes = AuditEventId::generate(time).uuid().into_bytes();
    bytes[6..].fill(0);
    Uuid::from_bytes(bytes)
}

/// The id of a user that is named by id or address. Ids are taken as they are: whoever it was may be
/// gone, and what is out of scope is not shown anyway.
async fn find_user(cx: &Context, field: &str, name: Option<&str>) -> Result<Option<Uuid>> {
    let Some(name) = name else { return Ok(None) };
    if let Ok(id) = name.parse() {
        return Ok(Some(id));
    }
    let wrong = || Error::invalid(field, "must be an id, or the address of a user in your scope");
    let Ok(UserRef::Address(address)) = name.parse() else { return Err(wrong()) };
    let found = store::accounts::find_any(cx.pool(), &UserRef::Address(address)).await?;
    found.map(|user| Some(user.id.uuid())).ok_or_else(wrong)
}

async fn find_domain(cx: &Context, name: &str) -> Result<Uuid> {
    let wrong = || Error::invalid("domain", "must be an id, or the name of a domain in your scope");
    match name.parse() {
        Ok(DomainRef::Id(id)) => Ok(id.uuid()),
        Ok(domain) => {
            let found = store::domains::find(cx.pool(), &domain).await?;
            found.map(|domain| domain.id.uuid()).ok_or_else(wrong)
        }
        Err(_) => Err(wrong()),
    }
}
