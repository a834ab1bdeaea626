//! One caller and one request, and the handles that all requests share.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::Notify;
use umail_proto::{
    clock::Clock,
    ids::{DepartmentId, DomainId, NodeId, OperatorId, SessionId, UserId},
};
use uuid::Uuid;

use crate::{
    authn::{
        callers::{self, Callers},
        passwords::Passwords,
        rates::{Rate, Rates},
        throttle::Throttle,
        tokens::Tokens,
    },
    authz::{self, Action, Resource},
    database::pool::Pool,
    error::Result,
    fleet::Fleet,
    model::operator::OperatorRole,
    pki::Authority,
    sealer::Sealer,
    transaction::{Enclosing, Transaction},
};

/// What all requests share; cheap to clone.
#[derive(Clone, Debug)]
pub struct State(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Pool,
    clock: Clock,
    sealer: Sealer,
    tokens: Tokens,
    passwords: Passwords,
    throttle: Throttle,
    rates: Rates,
    callers: Callers,
    changes: Notify,
    authority: Arc<Authority>,
    fleet: Fleet,
}

impl State {
    /// The state of a server whose callers may ask as often as they like.
    pub async fn new(pool: Pool, clock: Clock, sealer: Sealer) -> Result<Self> {
        Self::limited(pool, clock, sealer, Rate::Unlimited).await
    }

    /// Loads the key of the access tokens, or makes it in a new database.
    pub async fn limited(pool: Pool, clock: Clock, sealer: Sealer, rate: Rate) -> Result<Self> {
        let tokens = Tokens::load(&pool, &sealer).await?;
        let authority = Arc::new(Authority::open(&pool, &sealer, clock.clone()).await?);
        Ok(Self(Arc::new(Shared {
            pool,
            clock,
            sealer,
            tokens,
            passwords: Passwords::new()?,
            throttle: Throttle::default(),
            rates: Rates::new(rate),
            callers: Callers::default(),
            changes: Notify::new(),
            authority,
            fleet: Fleet::default(),
        })))
    }

    /// Connections to the database, as the role `umail_app`.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Seals secrets before they are stored.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    /// Signs and reads access tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// Hashes and verifies passwords.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// Slows down the guessing of passwords.
    #[must_use]
    pub fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// Counts the requests of each caller.
    #[must_use]
    pub fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// Who is behind a session, remembered for a second.
    #[must_use]
    pub fn callers(&self) -> &Callers {
        &self.0.callers
    }

    /// Issues certificates.
    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.0.authority
    }

    /// The live agents of this instance.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.0.fleet
    }

    /// Wakes the sequencer of the change log; notify it after a commit that logged changes.
    #[must_use]
    pub fn changes(&self) -> &Notify {
        &self.0.changes
    }
}

/// Where a user has a role beyond that of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// Administers a domain.
    DomainAdmin(DomainId),
    /// Administers a department and everything below it.
    DepartmentAdmin {
        /// The domain of the department.
        domain_id: DomainId,
        /// The department that was assigned.
        department_id: DepartmentId,
        /// It and all below it.
        subtree: Vec<DepartmentId>,
    },
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Staff.
    Operator {
        /// Who.
        id: OperatorId,
        /// What the operator may do.
        role: OperatorRole,
    },
    /// A person with an address.
    User {
        /// Who.
        id: UserId,
        /// The domain of the address.
        domain_id: DomainId,
        /// Roles beyond that of a user.
        assignments: Vec<Assignment>,
    },
    /// A mail node, known by its certificate.
    Node(NodeId),
    /// The server itself: tasks and commands.
    System,
    /// Nobody is signed in; only the few public calls work.
    Nobody,
}

impl Caller {
    /// The operator or user that is signed in.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Operator { id, .. } => Some(id.uuid()),
            Self::User { id, .. } => Some(id.uuid()),
            Self::Node(_) | Self::System | Self::Nobody => None,
        }
    }
}

/// One caller and one request; cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    state: State,
    caller: Arc<Caller>,
    session: Option<SessionId>,
    request_id: Arc<str>,
    enclosing: Option<Enclosing>,
}

impl Context {
    /// A request of this caller.
    #[must_use]
    pub fn new(state: State, caller: Arc<Caller>, request_id: Arc<str>) -> Self {
        Self { state, caller, session: None, request_id, enclosing: None }
    }

    /// Work of the server itself.
    #[must_use]
    pub fn system(state: State) -> Self {
        Self::new(state, Arc::new(Caller::System), Arc::from("system"))
    }

    /// The same, as part of a session.
    #[must_use]
    pub fn in_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// The same, all its transactions being parts of this one.
    #[must_use]
    pub fn enclosed(mut self, enclosing: Enclosing) -> Self {
        self.enclosing = Some(enclosing);
        self
    }

    /// What all requests share.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The session that the request came in.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Finds the request in the logs.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.state.clock().now()
    }

    /// For reading outside a transaction.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        self.state.pool()
    }

    /// Refuses what the caller may not do.
    pub fn authorize(&self, action: Action, resource: Resource) -> Result<()> {
        authz::authorize(&self.caller, action, resource)
    }

    /// The same, of the caller as it is now: for requests that wait, each time they look again.
    pub async fn authorize_still(&self, action: Action, resource: Resource) -> Result<()> {
        let Some(session) = self.session else { return self.authorize(action, resource) };
        let caller = callers::of_session(&self.state, session).await?;
        authz::authorize(&caller, action, resource)
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Transaction> {
        Transaction::begin(self.pool(), self.enclosing.as_ref()).await
    }
}
