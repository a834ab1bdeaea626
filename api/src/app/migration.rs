//! Taking over what another panel has: what is there already is read, what is to be done is decided
//! (`model/migration`), and done by the same functions as single requests, on behalf of whoever asks.
//! A run that was cut off is made up for by the next one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use umail_api_types::{
    aliases::{AliasPatch, NewAlias},
    domain_aliases::NewDomainAlias,
    domains::DomainPatch,
    functions,
    groups::NewGroup,
    imports::{Format, ImportMode, ImportState, NewImport},
    users::Forwarding,
};
use umail_proto::{
    functions::Functions,
    ids::{DomainId, GroupId, ImportId, UserId},
};
use uuid::Uuid;

use crate::{
    app::{
        aliases, domain_aliases, domains, forwarding, groups,
        imports::{self, Part},
    },
    authn::callers,
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        address::{DomainName, EmailAddress, LocalPart},
        alias::Alias,
        domain::{Domain, DomainRef},
        domain_alias::DomainAliasRef,
        group::{Group, GroupRef, MAX_MEMBERS},
        import::{Import, Refused},
        migration::{
            AliasStep, CatchAllStep, Do, DomainAliasStep, DomainStep, Existing, GroupStep, Held,
            HeldName, Kind, Options, Origin, Panel, Password, Refusal, Report, Source, Steps,
            UserStep, decide,
        },
        page::Page,
        plan::{self, Plan, PlanRef},
        revision::Precondition,
        user::{User, UserRef},
    },
    store::{self, sessions::Owner},
};

/// Things that are read or made at the same time.
pub const AT_ONCE: usize = 4;
/// Rows that are read together.
const BATCH: usize = 1_000;
/// Users of one import: so many refusals of one are kept.
const IMPORTED: usize = 10_000;
/// How often it is looked whether an import has ended that somebody else works on.
const LOOK: Duration = Duration::from_millis(100);

/// What the request ids of runs begin with: all audit events of one have it.
pub const REQUEST: &str = "migration-";

/// How it is to be done, before it is known what there is.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The plan of the users; nothing: the standard one.
    pub plan: Option<PlanRef>,
    /// Whether users whose password is not taken over are added without one.
    pub reset_weak: bool,
    /// Whether what is there already is changed to what the dump says.
    pub update: bool,
}

/// An operator who takes over what a panel has, with the rights of now.
pub async fn on_behalf_of(system: &Context, name: &str, panel: Panel) -> Result<Context> {
    let id = store::operators::find_id(system.pool(), name).await?;
    let id = id.ok_or_else(|| Error::not_found("operator", name))?;
    let caller = callers::of_owner(system.state(), Owner::from(id)).await;
    let caller = caller.map_err(|error| match error {
        Error::Unauthenticated(_) => Error::Conflict(format!("operator {name} is not active")),
        other => other,
    })?;
    let request = format!("{REQUEST}{}-{}", panel.name(), system.now().unix_timestamp());
    Ok(Context::new(system.state().clone(), Arc::new(caller), Arc::from(request)))
}

/// Says what would be done with all that a dump has, and changes nothing.
pub async fn prepare(cx: &Context, source: Source, wish: &Wish) -> Result<(Steps, Options)> {
    cx.authorize(Action::Create, Resource::Domains)?;
    cx.authorize(Action::Create, Resource::Imports(None))?;
    let wanted = wish.plan.clone().unwrap_or_else(|| PlanRef::Id(plan::standard()));
    let plan = store::plans::find(cx.pool(), &wanted).await?;
    let plan = plan.ok_or_else(|| Error::invalid("--plan", "must be a plan that there is"))?;
    let options = Options {
        plan,
        is_plan_named: wish.plan.is_some(),
        reset_weak: wish.reset_weak,
        update: wish.update,
    };
    let existing = load(cx, &source, &options).await?;
    Ok((decide(source, &options, &existing), options))
}

/// Reads what there is of all that a dump names.
async fn load(cx: &Context, source: &Source, options: &Options) -> Result<Existing> {
    let names = stream::iter(source.names()).map(|name| async move {
        let held = held_name(cx, &name).await?;
        Ok::<_, Error>(held.map(|held| (name, held)))
    });
    let names: Vec<_> = names.buffer_unordered(AT_ONCE).try_collect().await?;
    let mut existing = Existing::default();
    let mut domains = HashMap::new();
    for (name, (held, domain)) in names.into_iter().flatten() {
        if let Some(domain) = domain {
            domains.insert(name.clone(), domain.id);
        }
        existing.names.insert(name, held);
    }
    let there: HashSet<_> = domains.keys().cloned().collect();
    let asked: Vec<_> = source
        .addresses(&there)
        .filter_map(|(part, name)| Some((*domains.get(&name)?, part)))
        .collect();
    let mut reader = Reader { cx, options, plans: plans(cx).await?, existing };
    for asked in asked.chunks(BATCH) {
        reader.addresses(asked).await?;
    }
    for id in domains.into_values() {
        reader.aliases(id).await?;
        reader.groups(id).await?;
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
        return Ok(Some((HeldName::Domain { status, catch_all }, Some(domain))));
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
        let forwarding = store::aliases::find_forwarding(pool, user.id, &user.local_part).await?;
        let of_plan = self.plans.get(&user.plan_id.uuid()).and_then(|plan| plan.quota.number());
        Ok(Held::User {
            display_name: user.display_name,
            status: user.status,
            functions: user.functions,
            quota: user.quota.or(of_plan),
            hash,
            forwarding: forwarding.map(|one| (one.targets, one.keep_copy)),
        })
    }

    async fn aliases(&mut self, domain: DomainId) -> Result<()> {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let mut after = None;
        loop {
            let page = Page { after, limit };
            let found = store::aliases::list(self.cx.pool(), domain, page).await?;
            let Some(last) = found.last() else { return Ok(()) };
            after = Some(last.id.uuid());
            for Alias { address, targets, .. } in found {
                self.existing.addresses.insert(address, Held::Alias(targets));
            }
        }
    }

    async fn groups(&mut self, domain: DomainId) -> Result<()> {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let mut after = None;
        loop {
            let page = Page { after, limit };
            let found = store::groups::list(self.cx.pool(), domain, None, page).await?;
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

/// Does what was decided, and says what has become of it. `tell` hears of each kind how many are
/// done.
pub async fn apply(
    cx: &Context,
    steps: Steps,
    options: &Options,
    mut tell: impl FnMut(Kind, usize, usize),
) -> Result<Report> {
    cx.authorize(Action::Create, Resource::Domains)?;
    let Steps { domains, domain_aliases, users, forwardings, aliases, groups, catch_alls, .. } =
        steps;
    tidy(cx).await?;
    let mut done = Done { cx, report: steps.report, refused: HashSet::new() };
    let tell = &mut tell;
    done.each(Kind::Domain, domains, tell, domain).await?;
    done.each(Kind::DomainAlias, domain_aliases, tell, domain_alias).await?;
    done.users(users, options, tell).await?;
    // Groups lead to users alone, and aliases to whatever stands before them.
    done.each(Kind::Group, groups, tell, group).await?;
    done.each(Kind::Forwarding, forwardings, tell, forward).await?;
    done.each(Kind::Alias, aliases, tell, alias).await?;
    done.each(Kind::CatchAll, catch_alls, tell, catch_all).await?;
    done.report.sort();
    Ok(done.report)
}

/// Removes what a run that was cut off had begun to send: nobody goes on with it.
async fn tidy(cx: &Context) -> Result<()> {
    let page = Page { after: None, limit: 100 };
    for import in imports::list(cx, page).await? {
        let is_own = cx.caller().id() == Some(import.created_by);
        let is_ours = is_own && import.request_id.starts_with(REQUEST);
        if is_ours && import.state == ImportState::Receiving && import.request_id != cx.request_id()
        {
            imports::delete(cx, import.id).await?;
        }
    }
    Ok(())
}

/// What is done for one thing, and where it leads.
trait Step: Send + Sync {
    fn origin(&self) -> &Origin;
    fn kind(&self) -> Do;
    fn address(&self) -> Option<&EmailAddress> {
        None
    }
    fn targets(&self) -> &[EmailAddress] {
        &[]
    }
}

macro_rules! step {
    ($type:ty $(, $field:ident => $method:ident -> $result:ty = $value:expr)*) => {
        impl Step for $type {
            fn origin(&self) -> &Origin {
                &self.origin
            }
            fn kind(&self) -> Do {
                self.kind
            }
            $(fn $method(&self) -> $result {
                let $field = &self.$field;
                $value
            })*
        }
    };
}

step!(DomainStep);
step!(GroupStep, address => address -> Option<&EmailAddress> = Some(address),
    members => targets -> &[EmailAddress] = members);
step!(AliasStep, address => address -> Option<&EmailAddress> = Some(address),
    targets => targets -> &[EmailAddress] = targets);
step!(CatchAllStep, target => targets -> &[EmailAddress] = std::slice::from_ref(target));

impl Step for DomainAliasStep {
    fn origin(&self) -> &Origin {
        &self.origin
    }
    fn kind(&self) -> Do {
        Do::Add
    }
}

/// What is done so far.
struct Done<'a> {
    cx: &'a Context,
    report: Report,
    /// Addresses that were to be there, and were refused: nothing leads to them.
    refused: HashSet<EmailAddress>,
}

impl Done<'_> {
    async fn each<S: Step>(
        &mut self,
        kind: Kind,
        steps: Vec<S>,
        tell: &mut impl FnMut(Kind, usize, usize),
        make: impl AsyncFn(&Context, &S) -> Result<()>,
    ) -> Result<()> {
        let (all, make) = (steps.len(), &make);
        let mut count = 0;
        for some in steps.chunks(BATCH) {
            let (cx, refused) = (self.cx, &self.refused);
            // Aliases come behind what they lead to: what failed is known, if it is not among those
            // that are made at the same time.
            let made = stream::iter(some).map(|step| async move {
                let lost = step.targets().iter().find(|target| refused.contains(target));
                let refusal = match lost {
                    Some(target) => Some(("goto", format!("{target} is not taken over"))),
                    None => refusal(make(cx, step).await)?,
                };
                Ok::<_, Error>((step, refusal))
            });
            let made: Vec<_> = made.buffered(AT_ONCE).try_collect().await?;
            for (step, refusal) in made {
                if let Some((field, reason)) = refusal {
                    let refusal = Refusal { origin: step.origin().clone(), field, reason };
                    self.report.fail((kind, step.kind()), refusal);
                    let address = step.address().filter(|_| kind != Kind::Forwarding);
                    self.refused.extend(address.cloned());
                }
            }
            count += some.len();
            tell(kind, count, all);
        }
        Ok(())
    }

    /// Users go through imports, in parts of which every refusal is kept.
    async fn users(
        &mut self,
        users: Vec<UserStep>,
        options: &Options,
        tell: &mut impl FnMut(Kind, usize, usize),
    ) -> Result<()> {
        let all = users.len();
        let mut count = 0;
        for some in users.chunks(IMPORTED) {
            for (line, fault) in import(self.cx, some, options).await? {
                let at = usize::try_from(line - 1).ok();
                let Some(user) = at.and_then(|at| some.get(at)) else {
                    return Err(Error::Conflict(fault.reason));
                };
                let reason = match fault.field.as_str() {
                    "" => fault.reason,
                    field => format!("{field}: {}", fault.reason),
                };
                let refusal = Refusal { origin: user.origin.clone(), field: "", reason };
                if self.refused.insert(user.address.clone()) {
                    self.report.fail((Kind::User, user.kind), refusal);
                } else {
                    self.report.refused.push(refusal);
                }
            }
            count += some.len();
            tell(Kind::User, count, all);
        }
        Ok(())
    }
}

/// Why something was refused; whatever is no refusal stays what it is, and ends the run.
fn refusal(outcome: Result<()>) -> Result<Option<(&'static str, String)>> {
    match outcome {
        Ok(()) => Ok(None),
        Err(
            error @ (Error::Invalid(_)
            | Error::AlreadyExists { .. }
            | Error::NotFound { .. }
            | Error::Conflict(_)
            | Error::LimitExceeded(_)),
        ) => Ok(Some(("", error.to_string()))),
        Err(error) => Err(error),
    }
}

fn of_name(name: &DomainName) -> DomainRef {
    DomainRef::Name(name.clone())
}

/// The local part of an address of ours, and its domain.
fn place(address: &EmailAddress) -> Result<(String, DomainRef)> {
    let (local_part, domain) = address.parts();
    let domain = DomainName::parse(domain).map_err(Error::internal)?;
    Ok((local_part.to_owned(), DomainRef::Name(domain)))
}

fn texts(addresses: &[EmailAddress]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

async fn domain(cx: &Context, step: &DomainStep) -> Result<()> {
    match step.kind {
        Do::Add => domains::create_with(cx, step.name.as_str(), step.status).await.map(drop),
        Do::Change => {
            let patch = DomainPatch { status: Some(step.status), ..DomainPatch::default() };
            let name = of_name(&step.name);
            domains::update(cx, &name, Precondition::Any, patch, true).await.map(drop)
        }
    }
}

async fn domain_alias(cx: &Context, step: &DomainAliasStep) -> Result<()> {
    let new = NewDomainAlias { name: step.name.as_str().to_owned() };
    domain_aliases::create(cx, &of_name(&step.domain), new).await.map(drop)
}

async fn catch_all(cx: &Context, step: &CatchAllStep) -> Result<()> {
    let catch_all = Some(Some(step.target.to_string()));
    let patch = DomainPatch { catch_all, ..DomainPatch::default() };
    domains::update(cx, &of_name(&step.domain), Precondition::Any, patch, true).await.map(drop)
}

async fn forward(cx: &Context, step: &AliasStep) -> Result<()> {
    let forwarding = Forwarding { targets: texts(&step.targets), keep_copy: step.keep_copy };
    let user = UserRef::Address(step.address.clone());
    forwarding::update(cx, &user, Precondition::Any, forwarding).await.map(drop)
}

async fn alias(cx: &Context, step: &AliasStep) -> Result<()> {
    let (local_part, domain) = place(&step.address)?;
    let targets = texts(&step.targets);
    if step.kind == Do::Add {
        let new = NewAlias { local_part, targets };
        return aliases::create(cx, &domain, new).await.map(drop);
    }
    let domain = domains::read(cx, &domain).await?;
    let local_part = LocalPart::parse(&local_part).map_err(Error::internal)?;
    let asked = [(domain.id, local_part.as_str())];
    let taken = store::addresses::list(cx.pool(), &asked).await?;
    let missing = || Error::not_found("alias", &step.address);
    let id = taken.first().ok_or_else(missing)?.owner_id;
    let patch = AliasPatch { targets: Some(targets) };
    aliases::update(cx, id.into(), Precondition::Any, patch).await.map(drop)
}

async fn group(cx: &Context, step: &GroupStep) -> Result<()> {
    let (local_part, domain) = place(&step.address)?;
    if step.kind == Do::Add {
        let (display_name, posting) = (String::new(), step.posting);
        let new = NewGroup { local_part, display_name, posting, department_id: None };
        groups::create(cx, &domain, new).await?;
    }
    let group = GroupRef::Address(step.address.clone());
    for member in &step.members {
        groups::add_member(cx, &group, &UserRef::Address(member.clone())).await?;
    }
    Ok(())
}

/// Imports users, and says who was refused.
async fn import(cx: &Context, users: &[UserStep], options: &Options) -> Result<Vec<Refused>> {
    let mut lines = Vec::new();
    for user in users {
        serde_json::to_writer(&mut lines, &line(user, options)?).map_err(Error::internal)?;
        lines.push(b'\n');
    }
    let new = NewImport { mode: ImportMode::SkipErrors, dry_run: false };
    let id = imports::create(cx, None, new).await?.id;
    let part = Part { offset: 0, has_more: false, format: Format::Ndjson };
    let pieces = stream::iter([Ok(lines)]);
    if let Err(error) = imports::receive(cx, id, part, pieces).await {
        // Whoever runs out of imports would wait for two days.
        let _ = imports::delete(cx, id).await;
        return Err(error);
    }
    let import = work(cx, id).await?;
    if import.state != ImportState::Succeeded {
        let state = import.state.name();
        return Err(Error::Conflict(format!("import {id} has {state}: {}", import.failure)));
    }
    let most = i64::try_from(IMPORTED * 4).unwrap_or(i64::MAX);
    imports::errors(cx, id, None, most).await
}

/// Works on an import, unless a server does, until it has ended.
async fn work(cx: &Context, id: ImportId) -> Result<Import> {
    let system = Context::system(cx.state().clone());
    loop {
        imports::carry_on(&system, id).await?;
        let import = imports::read(cx, id).await?;
        if import.state != ImportState::Running {
            return Ok(import);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The line of a user.
fn line(user: &UserStep, options: &Options) -> Result<serde_json::Value> {
    let mut line = json!({
        "address": user.address,
        "display_name": user.display_name,
        "status": user.status,
        "functions": user.functions.clone().unwrap_or_else(|| functions::names(Functions::ALL)),
        "quota_bytes": user.quota_bytes,
    });
    let hash = match &user.password {
        Password::Hash(hash) => Some(hash.clone()),
        Password::Nothing => Some(unusable()?),
        Password::Kept => None,
    };
    if let Some(hash) = hash {
        line["password_hash"] = hash.into();
        line["must_change_password"] = user.must_change.into();
    }
    if options.is_plan_named {
        line["plan"] = options.plan.id.to_string().into();
    }
    Ok(line)
}

/// What looks like a hash, and is that of no password that anybody knows. It costs whoever tries
/// one as much as any other.
fn unusable() -> Result<String> {
    let mut bytes = [0; 48];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    let (salt, digest) = bytes.split_at(16);
    let [salt, digest] = [salt, digest].map(|one| BASE64_STANDARD_NO_PAD.encode(one));
    Ok(format!("{{ARGON2ID}}$argon2id$v=19$m=19456,t=2,p=1${salt}${digest}"))
}
