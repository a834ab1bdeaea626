//! Who is behind a session or an API key: looked up at each request, remembered for a second at most.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use umail_api_types::{me::CallerKind, status::Status};
use umail_proto::{
    functions::Function,
    ids::{DomainId, OperatorId, SessionId, UserId},
};

use crate::{
    authn::api_keys,
    authz::{self, Action, Resource},
    context::{Assignment, Caller, State},
    error::{Error, Result},
    model::{
        session::{Confinement, LinkMaker},
        user::UserRef,
    },
    store::{self, api_keys::Found, sessions::Owner},
};

/// With this and the time after which a request that waits looks again (200 ms), a demotion or
/// revocation is effective everywhere within a second.
const REMEMBERED: Duration = Duration::from_millis(750);
/// The use of a session or a key is noted so often.
pub(super) const NOTED_EVERY: time::Duration = time::Duration::minutes(1);
/// Sessions and keys remembered at most.
const SESSIONS: usize = 20_000;

/// Callers seen within the last second.
#[derive(Debug, Default)]
pub struct Callers(Mutex<HashMap<Credential, (Instant, Known)>>);

/// By what somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A session.
    Session(SessionId),
    /// The SHA-256 hash of the secret of an API key.
    Key([u8; 32]),
}

/// Who is behind a session or key, and what it is good for, if not for everything.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who.
    pub caller: Arc<Caller>,
    /// For what.
    pub confinement: Option<Confinement>,
    /// The key, if it is one.
    pub key: Option<Arc<Found>>,
    /// Whether it is a session that was begun by a login link.
    pub is_by_link: bool,
}

impl Callers {
    fn recall(&self, credential: Credential) -> Option<Known> {
        let callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, known) = callers.get(&credential)?;
        (seen.elapsed() < REMEMBERED).then(|| known.clone())
    }

    fn remember(&self, credential: Credential, known: Known) {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= SESSIONS {
            callers.retain(|_, (seen, _)| seen.elapsed() < REMEMBERED);
        }
        if callers.len() < SESSIONS {
            callers.insert(credential, (Instant::now(), known));
        }
    }

    /// Looks everybody up again: a session, an operator or an account has changed.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The caller of a session that is still good.
pub async fn of_session(state: &State, session: SessionId) -> Result<Known> {
    find(state, Credential::Session(session)).await
}

/// The caller behind a session or a key that is still good.
pub async fn find(state: &State, credential: Credential) -> Result<Known> {
    if let Some(known) = state.callers().recall(credential) {
        return Ok(known);
    }
    let known = match credential {
        Credential::Session(session) => load(state, session).await?,
        Credential::Key(hash) => api_keys::load(state, hash).await?,
    };
    state.callers().remember(credential, known.clone());
    Ok(known)
}

const ENDED: Error = Error::Unauthenticated("the session has ended; sign in again");

async fn load(state: &State, session: SessionId) -> Result<Known> {
    let now = state.clock().now();
    let good = store::sessions::find_good(state.pool(), session, now).await?.ok_or(ENDED)?;
    if now - good.last_used_at >= NOTED_EVERY {
        store::sessions::touch(state.pool(), session, now).await?;
    }
    let caller = Arc::new(of_owner(state, good.owner).await?);
    let mut must_change_password = good.must_change_password;
    if let Some(maker) = good.made_by {
        may_be_let_in(state, good.owner, maker).await?;
        // The password that somebody else set was not used, and cannot be changed by this session.
        must_change_password = false;
    }
    let confinement = confinement(state, good.owner, must_change_password, good.has_totp);
    Ok(Known { caller, confinement, key: None, is_by_link: good.made_by.is_some() })
}

/// Refuses a session that was begun by a login link, while its owner lacks the function, or whoever
/// made the link could make none now: it neither outlives the maker's rights nor rises above them.
async fn may_be_let_in(state: &State, owner: Owner, maker: LinkMaker) -> Result<()> {
    let id = owner.user_id.ok_or(ENDED)?;
    let functions = store::accounts::find_functions(state.pool(), id).await?;
    functions.filter(|has| has.contains(Function::Sso)).ok_or(ENDED)?;
    let user = store::accounts::find(state.pool(), &UserRef::Id(id)).await?.ok_or(ENDED)?;
    let maker = match (maker.api_key_id, maker.kind) {
        (Some(key), _) => api_keys::find(state, key).await,
        (None, CallerKind::Operator) => of_owner(state, OperatorId::from(maker.id).into()).await,
        (None, CallerKind::User) => of_owner(state, UserId::from(maker.id).into()).await,
    };
    let maker = maker.map_err(|error| match error {
        Error::Unauthenticated(_) => ENDED,
        other => other,
    })?;
    authz::authorize(&maker, Action::Update, Resource::User(user.scope())).map_err(|_less| ENDED)
}

/// What somebody has to do before anything else.
pub(super) fn confinement(
    state: &State,
    owner: Owner,
    must_change_password: bool,
    has_totp: bool,
) -> Option<Confinement> {
    let needs_totp = owner.operator_id.is_some() && state.operators_need_totp();
    if must_change_password {
        return Some(Confinement::PasswordChange);
    }
    (needs_totp && !has_totp).then_some(Confinement::TotpEnrolment)
}

/// An operator or user with all roles, who may sign in.
pub async fn of_owner(state: &State, owner: Owner) -> Result<Caller> {
    if let Some(id) = owner.operator_id {
        let operator = store::operators::find(state.pool(), id).await?;
        let operator = operator.filter(|one| one.active).ok_or(ENDED)?;
        return Ok(Caller::Operator { id, role: operator.role });
    }
    let id = owner.user_id.ok_or(ENDED)?;
    let home = store::accounts::find_sign_in_domain(state.pool(), id).await?.ok_or(ENDED)?;
    let (mut assignments, mut resting) = (Vec::new(), Vec::from_iter(rests(home.0, home.1)));
    for (row, status) in store::role_assignments::list_effective(state.pool(), id).await? {
        resting.extend(rests(row.domain_id, status));
        assignments.push(match row.department_id {
            None => Assignment::DomainAdmin(row.domain_id),
            Some(department_id) => Assignment::DepartmentAdmin {
                domain_id: row.domain_id,
                department_id,
                subtree: store::departments::subtree(state.pool(), row.domain_id, department_id)
                    .await?,
            },
        });
    }
    Ok(Caller::User { id, domain_id: home.0, assignments, resting })
}

/// The domain, if there is nothing to be changed in it.
pub(super) fn rests(domain: DomainId, status: Status) -> Option<(DomainId, Status)> {
    matches!(status, Status::Suspended | Status::Closed).then_some((domain, status))
}
