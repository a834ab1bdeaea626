//! Who is behind a session: looked up at each request, remembered for a second at most.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use umail_api_types::status::Status;
use umail_proto::ids::{DomainId, SessionId};

use crate::{
    context::{Assignment, Caller, State},
    error::{Error, Result},
    model::session::Confinement,
    store::{self, sessions::Owner},
};

/// With this and the time after which a request that waits looks again (200 ms), a demotion or
/// revocation is effective everywhere within a second.
const REMEMBERED: Duration = Duration::from_millis(750);
/// The use of a session is noted so often.
const NOTED_EVERY: time::Duration = time::Duration::minutes(1);
/// Sessions remembered at most.
const SESSIONS: usize = 20_000;

/// Callers seen within the last second.
#[derive(Debug, Default)]
pub struct Callers(Mutex<HashMap<SessionId, (Instant, Known)>>);

/// Who is behind a session, and what the session is good for, if not for everything.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who.
    pub caller: Arc<Caller>,
    /// For what.
    pub confinement: Option<Confinement>,
}

impl Callers {
    fn recall(&self, session: SessionId) -> Option<Known> {
        let callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, known) = callers.get(&session)?;
        (seen.elapsed() < REMEMBERED).then(|| known.clone())
    }

    fn remember(&self, session: SessionId, known: Known) {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= SESSIONS {
            callers.retain(|_, (seen, _)| seen.elapsed() < REMEMBERED);
        }
        if callers.len() < SESSIONS {
            callers.insert(session, (Instant::now(), known));
        }
    }

    /// Looks everybody up again: a session, an operator or an account has changed.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The caller of a session that is still good.
pub async fn of_session(state: &State, session: SessionId) -> Result<Known> {
    if let Some(known) = state.callers().recall(session) {
        return Ok(known);
    }
    let known = load(state, session).await?;
    state.callers().remember(session, known.clone());
    Ok(known)
}

const ENDED: Error = Error::Unauthenticated("the session has ended; sign in again");

async fn load(state: &State, session: SessionId) -> Result<Known> {
    let now = state.clock().now();
    let good = store::sessions::find_good(state.pool(), session, now).await?.ok_or(ENDED)?;
    if now - good.last_used_at >= NOTED_EVERY {
        store::sessions::touch(state.pool(), session, now).await?;
    }
    let needs_totp = good.owner.operator_id.is_some() && state.operators_need_totp();
    let confinement = if good.must_change_password {
        Some(Confinement::PasswordChange)
    } else {
        (needs_totp && !good.has_totp).then_some(Confinement::TotpEnrolment)
    };
    Ok(Known { caller: Arc::new(find(state, good.owner).await?), confinement })
}

/// An operator or a user, as far as that may sign in now.
pub async fn find(state: &State, owner: Owner) -> Result<Caller> {
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
fn rests(domain: DomainId, status: Status) -> Option<(DomainId, Status)> {
    matches!(status, Status::Suspended | Status::Closed).then_some((domain, status))
}
