//! One caller and one request, and the handles that all requests share.

use std::{net::IpAddr, sync::Arc};

use futures_util::{FutureExt as _, TryFutureExt as _, future::BoxFuture};
use time::OffsetDateTime;
use tokio::sync::Notify;
use umail_api_types::status::Status;
use umail_proto::{
    clock::Clock,
    ids::{DepartmentId, DomainId, NodeId, OperatorId, SessionId, UserId},
};
use uuid::Uuid;

use crate::{
    authn::{
        callers::{self, Callers, Credential, Known},
        passwords::Passwords,
        rates::{Rate, Rates},
        repeats::Repeats,
        tokens::Tokens,
        unseen::Unseen,
    },
    authz::{self, Action, Resource},
    database::{
        gathered::Gathered,
        pool::{Pool, Reach},
    },
    error::{Error, Result},
    fleet::Fleet,
    model::{
        operator::OperatorRole,
        proxies::{Proxies, ProxyHeader},
        session::Confinement,
        user::User,
    },
    pki::Authority,
    sealer::Sealer,
    store::{self, api_keys::Found, sessions::Owner},
    transaction::{Enclosing, Transaction},
};

/// What all requests share; cheap to clone.
#[derive(Clone, Debug)]
pub struct State(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Pool,
    tenants: Pool,
    clock: Clock,
    sealer: Sealer,
    tokens: Tokens,
    passwords: Passwords,
    rates: Rates,
    repeats: Repeats,
    unseen: Unseen,
    operators_need_totp: bool,
    proxies: Proxies,
    import_bytes: i64,
    callers: Callers,
    users: Gathered<UserId, User>,
    changes: Notify,
    authority: Arc<Authority>,
    fleet: Fleet,
}

/// On which terms people are served.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How often a caller may ask.
    pub rate: Rate,
    /// Whether operators without a second factor can do nothing but enrol one.
    pub operators_need_totp: bool,
    /// Proxies that are believed when they say where a request comes from.
    pub proxies: Proxies,
    /// Bytes of an import at most.
    pub import_bytes: i64,
}

impl Terms {
    /// Everything is allowed that can be.
    pub const LAX: Self = Self {
        rate: Rate::Unlimited,
        operators_need_totp: false,
        import_bytes: i64::MAX,
        proxies: Proxies { trusted: Vec::new(), header: ProxyHeader::XForwardedFor },
    };
}

impl State {
    /// The state of a server with the terms of a test or a command.
    pub async fn new(pool: Pool, clock: Clock, sealer: Sealer) -> Result<Self> {
        Self::under(pool, clock, sealer, Terms::LAX).await
    }

    /// Loads the key of the access tokens, or makes it in a new database.
    pub async fn under(pool: Pool, clock: Clock, sealer: Sealer, terms: Terms) -> Result<Self> {
        let tokens = Tokens::load(&pool, &sealer).await?;
        let authority = Arc::new(Authority::open(&pool, &sealer, clock.clone()).await?);
        Ok(Self(Arc::new(Shared {
            tenants: pool.of_tenants(),
            pool,
            clock,
            sealer,
            tokens,
            passwords: Passwords::new()?,
            rates: Rates::new(terms.rate),
            repeats: Repeats::default(),
            unseen: Unseen::default(),
            operators_need_totp: terms.operators_need_totp,
            proxies: terms.proxies,
            import_bytes: terms.import_bytes,
            callers: Callers::default(),
            users: Gathered::new(list_users),
            changes: Notify::new(),
            authority,
            fleet: Fleet::default(),
        })))
    }

    /// Connections to the database, as the role `umail_app`, which sees all rows.
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

    /// Counts the requests of each caller.
    #[must_use]
    pub fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// Security events that were written once, and how often they happened again.
    #[must_use]
    pub fn repeats(&self) -> &Repeats {
        &self.0.repeats
    }

    /// What callers were told that there is no such thing.
    #[must_use]
    pub fn unseen(&self) -> &Unseen {
        &self.0.unseen
    }

    /// Whether operators without a second factor can do nothing but enrol one.
    #[must_use]
    pub fn operators_need_totp(&self) -> bool {
        self.0.operators_need_totp
    }

    /// Proxies that are believed when they say where a request comes from.
    #[must_use]
    pub fn proxies(&self) -> &Proxies {
        &self.0.proxies
    }

    /// Bytes of an import at most.
    #[must_use]
    pub fn import_bytes(&self) -> i64 {
        self.0.import_bytes
    }

    /// Who is behind a session, remembered for a second.
    #[must_use]
    pub fn callers(&self) -> &Callers {
        &self.0.callers
    }

    /// Users by id, deleted or not.
    #[must_use]
    pub fn users(&self) -> &Gathered<UserId, User> {
        &self.0.users
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

fn list_users(pool: Pool, ids: Vec<UserId>) -> BoxFuture<'static, Result<Vec<(UserId, User)>>> {
    let ids: Vec<_> = ids.into_iter().map(UserId::uuid).collect();
    let users = async move { store::accounts::list_any(&pool, &ids).await };
    users.map_ok(|users| users.into_iter().map(|one| (one.id, one)).collect()).boxed()
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
        /// The user's own domain and those of the roles, as far as they are suspended or closed:
        /// there the user looks and changes nothing.
        resting: Vec<(DomainId, Status)>,
    },
    /// A mail node, known by its certificate.
    Node(NodeId),
    /// The server itself: tasks and commands.
    System,
    /// Nobody is signed in; only the few public calls work.
    Nobody,
}

impl Caller {
    /// The operator or user that is signed in, as sessions know it.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Self::Operator { id, .. } => Some((*id).into()),
            Self::User { id, .. } => Some((*id).into()),
            Self::Node(_) | Self::System | Self::Nobody => None,
        }
    }

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
    pool: Pool,
    credential: Option<Credential>,
    confinement: Option<Confinement>,
    key: Option<Arc<Found>>,
    is_by_link: bool,
    request_id: Arc<str>,
    client_address: Option<IpAddr>,
    enclosing: Option<Enclosing>,
}

impl Context {
    /// A request of this caller.
    #[must_use]
    pub fn new(state: State, caller: Arc<Caller>, request_id: Arc<str>) -> Self {
        let pool = match reach(&caller) {
            Some(reach) => state.0.tenants.within(reach),
            None => state.pool().clone(),
        };
        Self {
            state,
            caller,
            pool,
            credential: None,
            confinement: None,
            key: None,
            is_by_link: false,
            request_id,
            client_address: None,
            enclosing: None,
        }
    }

    /// Work of the server itself.
    #[must_use]
    pub fn system(state: State) -> Self {
        Self::new(state, Arc::new(Caller::System), Arc::from("system"))
    }

    /// A request of whoever is behind this session or API key.
    pub async fn of(state: State, credential: Credential, request_id: Arc<str>) -> Result<Self> {
        let Known { caller, confinement, key, is_by_link } =
            callers::find(&state, credential).await?;
        let cx = Self::new(state, caller, request_id);
        Ok(Self { credential: Some(credential), confinement, key, is_by_link, ..cx })
    }

    /// The same, all its transactions being parts of this one.
    #[must_use]
    pub fn enclosed(mut self, enclosing: Enclosing) -> Self {
        self.enclosing = Some(enclosing);
        self
    }

    /// The same, from this address.
    #[must_use]
    pub fn from_address(mut self, address: Option<IpAddr>) -> Self {
        self.client_address = address;
        self
    }

    /// The same request of the caller as it is now: for answers that take their time.
    pub async fn renewed(&self) -> Result<Self> {
        let Some(credential) = self.credential else { return Ok(self.clone()) };
        let (state, request_id) = (self.state.clone(), Arc::clone(&self.request_id));
        let cx = Self::of(state, credential, request_id).await?;
        match cx.confinement {
            Some(confinement) => Err(Error::Confined(confinement)),
            None => Ok(cx.from_address(self.client_address)),
        }
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

    /// The same, for whoever keeps it.
    #[must_use]
    pub fn shared_caller(&self) -> Arc<Caller> {
        Arc::clone(&self.caller)
    }

    /// The session that the request came in.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        match self.credential {
            Some(Credential::Session(id)) => Some(id),
            Some(Credential::Key(_)) | None => None,
        }
    }

    /// The API key that the request came with, and who made it.
    #[must_use]
    pub fn key(&self) -> Option<&Found> {
        self.key.as_deref()
    }

    /// Refuses API keys, and sessions that others began by a login link: what follows is for whoever
    /// has signed in with the own password.
    pub fn require_person(&self) -> Result<()> {
        self.require_session()?;
        if self.is_by_link {
            let text = "this in a session of a login link: sign in with the password";
            return Err(Error::Forbidden(text.to_owned()));
        }
        Ok(())
    }

    /// Refuses API keys: what follows is about the caller's sessions.
    pub fn require_session(&self) -> Result<()> {
        match self.key {
            None => Ok(()),
            Some(_) => Err(Error::Forbidden("this with an API key: sign in".to_owned())),
        }
    }

    /// What the session or key is good for, if not for everything.
    #[must_use]
    pub fn confinement(&self) -> Option<Confinement> {
        self.confinement
    }

    /// Finds the request in the logs.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The address at the other end of the connection, if it is a request of a person.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.state.clock().now()
    }

    /// For reading outside a transaction: rows in the caller's reach.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Refuses what the caller may not do.
    pub fn authorize(&self, action: Action, resource: Resource) -> Result<()> {
        authz::authorize(&self.caller, action, resource)
    }

    /// The same, of the caller as it is now: for requests that wait, each time they look again.
    pub async fn authorize_still(&self, action: Action, resource: Resource) -> Result<()> {
        let Some(credential) = self.credential else { return self.authorize(action, resource) };
        let Known { caller, confinement, .. } = callers::find(&self.state, credential).await?;
        match confinement {
            Some(confinement) => Err(Error::Confined(confinement)),
            None => authz::authorize(&caller, action, resource),
        }
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Transaction> {
        Transaction::begin(self.pool(), self.enclosing.as_ref()).await
    }
}

/// What row-level security lets a user see. Operators, nodes and the server itself see all.
fn reach(caller: &Caller) -> Option<Reach> {
    let Caller::User { id, domain_id, assignments, .. } = caller else { return None };
    let (mut domains, mut homes) = (Vec::new(), vec![*domain_id]);
    let mut departments = Vec::new();
    for assignment in assignments {
        match assignment {
            Assignment::DomainAdmin(domain) => {
                domains.push(*domain);
                homes.push(*domain);
            }
            Assignment::DepartmentAdmin { domain_id, department_id, .. } => {
                departments.push(*department_id);
                homes.push(*domain_id);
            }
        }
    }
    Some(Reach {
        user: id.to_string(),
        domains: array(&domains),
        departments: array(&departments),
        homes: array(&homes),
    })
}

/// As PostgreSQL writes an array.
fn array(ids: &[impl ToString]) -> String {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    format!("{{{}}}", ids.join(","))
}
