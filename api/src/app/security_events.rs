//! What is not a change and yet to be known: who signed in, who failed to, who was refused.

use serde_json::{Value, json};
use umail_proto::ids::{DepartmentId, DomainId, LoginLinkId, RoleAssignmentId, SessionId};
use uuid::Uuid;

use crate::{
    app::audit::{self, Subject},
    authn::{
        api_keys,
        repeats::Key,
        unseen::{Asked, Thing},
    },
    authz::{self, Action, Resource},
    context::{Caller, Context},
    database::pool::Pool,
    error::{Error, Result},
    model::{
        audit::{AuditEvent, Kind},
        lockout::Lockout,
        login_link::LoginLink,
        session::{Client, LinkMaker},
        user::UserRef,
    },
    store::{self, sessions::Owner},
    transaction::Transaction,
};

/// The action of who asked for what is there and was told that it is not.
const HIDE: &str = "hide";

/// Somebody has signed in, with the password or by a login link that somebody else made; written in
/// the transaction of the session.
pub(super) async fn signed_in(
    tx: &mut Transaction,
    cx: &Context,
    (owner, session): (Owner, SessionId),
    by_link: Option<(LoginLinkId, LinkMaker)>,
    client: &Client,
) -> Result<()> {
    let event = of_session(cx, "sign_in", owner, session).await?;
    let agent = &client.user_agent;
    let after = match by_link {
        Some((id, by)) => json!({"user_agent": agent, "login_link_id": id, "made_by": by}),
        None => json!({"user_agent": agent}),
    };
    let after = Some(after.to_string());
    store::audit_events::insert(&mut **tx, &AuditEvent { after, ..event }).await
}

/// A login link was shown that is not good; nothing if there never was one.
pub(super) async fn link_refused(cx: &Context, link: Option<&LoginLink>) -> Result<()> {
    let (subject, after) = match link {
        Some(link) => {
            let subject = subject(cx, link.user_id.into()).await?;
            (Some(subject), json!({"login_link_id": link.id}))
        }
        None => (None, Value::Null),
    };
    write_first(cx, "login_link_refused", subject, after).await
}

/// A refresh token was shown again, which ends the session: written in its transaction.
pub(super) async fn token_reused(
    tx: &mut Transaction,
    cx: &Context,
    owner: Owner,
    session: SessionId,
) -> Result<()> {
    let event = of_session(cx, "token_reused", owner, session).await?;
    let event = AuditEvent { actor_kind: "nobody".into(), actor_id: None, ..event };
    store::audit_events::insert(&mut **tx, &event).await
}

/// A password or a code was wrong. `owner` is whose, if there is somebody of this name.
pub(super) async fn failed(
    cx: &Context,
    name: &str,
    owner: Option<Owner>,
    lockout: Lockout,
) -> Result<()> {
    let subject = match owner {
        Some(owner) => Some(subject(cx, owner).await?),
        None => None,
    };
    let after = if subject.is_some() { Value::Null } else { json!({"name": name}) };
    write_first(cx, "sign_in_failed", subject, after).await?;
    if lockout.begins() {
        let after = json!({"name": name, "failures": lockout.failures});
        write_first(cx, "lock_out", subject, after).await?;
    }
    Ok(())
}

/// Somebody asked for something that the own roles do not allow.
pub async fn refused(cx: &Context, method: &str, path: &str, detail: &str) -> Result<()> {
    let Some(caller) = cx.caller().id() else { return Ok(()) };
    let mut subject = Subject::system("request", caller);
    if let Caller::User { domain_id, .. } = cx.caller() {
        subject.domain_id = Some(*domain_id);
    }
    let after = json!({"method": method, "path": path, "detail": detail});
    let event = audit::event(cx, Kind::Security, "refuse", subject);
    let event = AuditEvent { resource_id: None, after: Some(after.to_string()), ..event };
    write(cx, Key::new("refuse", Some(caller), cx.client_address()), event).await
}

/// Somebody was told that there is no such thing. What is recorded of that, and whether, is decided
/// later by [`write_unseen`]: as much is done here for what is out of scope as for what is not there.
pub fn unseen(cx: &Context, thing: Thing, (method, path): (&str, &str)) {
    let Some(caller) = cx.caller().id() else { return };
    let event = audit::event(cx, Kind::Security, HIDE, Subject::system("request", caller));
    let after = json!({"method": method, "path": path}).to_string();
    cx.state().unseen().push(Asked {
        caller: cx.shared_caller(),
        address: cx.client_address(),
        thing,
        event: AuditEvent { after: Some(after), ..event },
    });
}

/// Records who asked for what is there, out of the scope. Whoever administers its place sees that;
/// who asked does not.
pub async fn write_unseen(cx: &Context) -> Result<u64> {
    let (mut written, repeats) = (0, cx.state().unseen().repeats());
    let mut asked = cx.state().unseen().take().into_iter();
    while let Some(Asked { caller, address, thing, event }) = asked.next() {
        let found = find(cx, &thing).await.inspect_err(|_away| {
            cx.state().unseen().lose(asked.len() + 1);
        })?;
        let Some((subject, resource)) = found else { continue };
        let answer = authz::authorize(&caller, Action::Read, resource);
        // Seen, then: it was something of it that is not there.
        if !matches!(answer, Err(Error::NotFound { .. })) {
            continue;
        }
        let place = subject.department_id.map(DepartmentId::uuid);
        let place = place.or_else(|| subject.domain_id.map(DomainId::uuid));
        let key = Key::new(subject.kind, event.actor_id, address).within(place);
        let event = AuditEvent {
            resource: subject.kind.into(),
            resource_id: Some(subject.id),
            domain_id: subject.domain_id,
            department_id: subject.department_id,
            user_id: subject.user_id,
            ..event
        };
        if repeats.is_first(key, &event) {
            store::audit_events::insert(cx.pool(), &event).await?;
            written += 1;
        }
    }
    Ok(written)
}

/// What there is of this name, whose scope ever it is in.
async fn find(cx: &Context, thing: &Thing) -> Result<Option<(Subject, Resource)>> {
    let pool = cx.state().pool();
    let of_domain =
        |domain: DomainId| (Subject::of(domain, "domain", domain), Resource::Domain(domain));
    Ok(match thing {
        Thing::Domain(domain) => {
            store::domains::find(pool, domain).await?.map(|found| of_domain(found.id))
        }
        Thing::DomainAlias(alias) => store::domain_aliases::find(pool, alias).await?.map(|found| {
            let subject = Subject::of(found.domain_id, "domain alias", found.id);
            (subject, Resource::DomainAlias(found.domain_id))
        }),
        Thing::Department(id) => store::departments::find(pool, *id).await?.map(|found| {
            let subject = Subject::of(found.domain_id, "department", *id).within(Some(*id));
            (subject, Resource::Department { domain_id: found.domain_id, id: Some(*id) })
        }),
        Thing::User(user) => store::accounts::find(pool, user).await?.map(|found| {
            (Subject::of_user(&found, "user", found.id), Resource::User(found.scope()))
        }),
        Thing::Alias(id) => store::aliases::find(pool, *id).await?.map(|found| {
            let domain_id = found.domain_id;
            (Subject::of(domain_id, "alias", *id), Resource::Alias { domain_id, holder: None })
        }),
        Thing::Group(group) => store::groups::find(pool, group).await?.map(|found| {
            let (domain_id, department_id) = (found.domain_id, found.department_id);
            let subject = Subject::of(domain_id, "group", found.id).within(department_id);
            (subject, Resource::Group { domain_id, department_id })
        }),
        Thing::RoleAssignment(id) => find_role(pool, *id).await?,
    })
}

async fn find_role(pool: &Pool, id: RoleAssignmentId) -> Result<Option<(Subject, Resource)>> {
    let Some(found) = store::role_assignments::find(pool, id).await? else { return Ok(None) };
    let user = store::accounts::find(pool, &UserRef::Id(found.user_id)).await?;
    let subject = Subject::of(found.domain_id, "role assignment", id)
        .within(found.department_id)
        .about(Some(found.user_id));
    Ok(user.map(|user| {
        (subject, Resource::RoleAssignment { holder: user.scope(), grant: found.grant() })
    }))
}

/// Refuses an API key that is not good from where it is shown, or changes nothing.
pub async fn check_key(cx: &Context, is_look: bool) -> Result<()> {
    let Some(found) = cx.key() else { return Ok(()) };
    if !found.key.is_good_from(cx.client_address()) {
        let maker = subject(cx, found.owner).await?;
        let subject = Subject { kind: "API key", id: found.key.id.uuid(), ..maker };
        let event = audit::event(cx, Kind::Security, "key_refused", subject);
        let key = Key::new("key_refused", Some(subject.id), cx.client_address());
        write(cx, key, event).await?;
        return Err(api_keys::REFUSED);
    }
    if found.key.scope.read_only && !is_look {
        return Err(Error::Forbidden("the API key only reads".to_owned()));
    }
    Ok(())
}

/// Writes how often things happened again that were written once, and how many were not looked up.
pub async fn write_repeats(cx: &Context) -> Result<u64> {
    let (unseen, mut events) = (cx.state().unseen(), cx.state().repeats().take(cx.now()));
    events.extend(unseen.repeats().take(cx.now()));
    let lost = unseen.take_lost();
    if lost > 0 {
        let event = audit::event(cx, Kind::Security, HIDE, Subject::system("request", Uuid::nil()));
        let after = Some(json!({"lost": lost}).to_string());
        events.push(AuditEvent { resource_id: None, after, ..event });
    }
    for event in &events {
        store::audit_events::insert(cx.pool(), event).await?;
    }
    Ok(events.len() as u64)
}

async fn write_first(
    cx: &Context,
    action: &'static str,
    subject: Option<Subject>,
    after: Value,
) -> Result<()> {
    let key = Key::new(action, subject.map(|subject| subject.id), cx.client_address());
    let nobody = Subject::system("session", Uuid::nil());
    let event = audit::event(cx, Kind::Security, action, subject.unwrap_or(nobody));
    let after = (!after.is_null()).then(|| after.to_string());
    let resource_id = subject.map(|subject| subject.id);
    write(cx, key, AuditEvent { resource_id, after, ..event }).await
}

/// As the server itself: nobody is signed in, or sees no more than the own rows.
async fn write(cx: &Context, key: Key, event: AuditEvent) -> Result<()> {
    if cx.state().repeats().is_first(key, &event) {
        store::audit_events::insert(cx.state().pool(), &event).await?;
    }
    Ok(())
}

/// Whose account it is.
async fn subject(cx: &Context, owner: Owner) -> Result<Subject> {
    let Some(id) = owner.user_id else { return Ok(Subject::system("operator", owner.id())) };
    let user = store::accounts::find_any(cx.state().pool(), &UserRef::Id(id)).await?;
    Ok(user.map_or_else(|| Subject::system("user", id), |user| Subject::of_user(&user, "user", id)))
}

/// Something that the owner of a session did.
async fn of_session(
    cx: &Context,
    action: &'static str,
    owner: Owner,
    session: SessionId,
) -> Result<AuditEvent> {
    let of_owner = subject(cx, owner).await?;
    let subject = Subject { kind: "session", id: session.uuid(), ..of_owner };
    let event = audit::event(cx, Kind::Security, action, subject);
    Ok(AuditEvent { actor_kind: of_owner.kind.into(), actor_id: Some(of_owner.id), ..event })
}
