//! Does what was decided: things of one kind after the other, some at the same time.

use std::{collections::HashSet, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use umail_api_types::{
    aliases::{AliasPatch, NewAlias},
    allowances::AllowancePatch,
    domain_aliases::NewDomainAlias,
    domains::DomainPatch,
    functions::{self, FunctionName},
    groups::NewGroup,
    imports::{Format, ImportMode, ImportState, NewImport},
    role_assignments::{AssignedRole, NewRoleAssignment},
    status::Status,
    users::Forwarding,
};
use umail_proto::{
    functions::Functions,
    ids::{ImportId, PlanId},
};

use crate::{
    app::{
        aliases, allowances, domain_aliases, domains, forwarding, groups,
        imports::{self, Part},
        migration::{AT_ONCE, BATCH, REQUEST},
        role_assignments,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        address::{DomainName, EmailAddress, LocalPart},
        domain::DomainRef,
        group::GroupRef,
        import::{Import, Refused},
        migration::{
            AdministratorStep, AliasStep, CatchAllStep, Do, DomainAliasStep, DomainLimits,
            DomainStep, GroupStep, Kind, LimitsStep, NO_MAILBOX, Options, Origin, Password,
            Refusal, Report, Steps, UserStep,
        },
        page::Page,
        revision::Precondition,
        user::UserRef,
    },
    store,
};

/// Users of one import: so many refusals of one are kept.
const IMPORTED: usize = 10_000;
/// How often it is looked whether an import has ended that somebody else works on.
const LOOK: Duration = Duration::from_millis(100);

/// Does what was decided, and says what has become of it. `tell` hears of each kind how many are
/// done.
pub async fn apply(
    cx: &Context,
    steps: Steps,
    options: &Options,
    mut tell: impl FnMut(Kind, usize, usize),
) -> Result<Report> {
    cx.authorize(Action::Create, Resource::Domains)?;
    let Steps { domains, domain_aliases, users, forwardings, aliases, groups, .. } = steps;
    let Steps { catch_alls, limits, administrators, .. } = steps;
    let mut done = Done { cx, report: steps.report, refused: HashSet::new() };
    let tell = &mut tell;
    done.each(Kind::Domain, domains, tell, domain).await?;
    done.each(Kind::DomainAlias, domain_aliases, tell, domain_alias).await?;
    for step in &limits {
        // What is refused is told when all of them are set.
        refusal(limit(cx, step, step.wider).await)?;
    }
    done.users(users, options, tell).await?;
    // Groups lead to users alone, and aliases to whatever stands before them.
    done.each(Kind::Group, groups, tell, group).await?;
    done.each(Kind::Forwarding, forwardings, tell, forward).await?;
    done.each(Kind::Alias, aliases, tell, alias).await?;
    done.each(Kind::CatchAll, catch_alls, tell, catch_all).await?;
    let all = async |cx: &Context, step: &LimitsStep| limit(cx, step, step.limits).await;
    done.each(Kind::Limits, limits, tell, all).await?;
    done.each(Kind::Administrator, administrators, tell, appoint).await?;
    done.report.sort();
    Ok(done.report)
}

/// Brings to an end what a run that was cut off has left: users that are being imported are waited for,
/// and what was not sent to the end is removed.
pub async fn resume(cx: &Context) -> Result<()> {
    let page = Page { after: None, limit: 100 };
    for import in imports::list(cx, page).await? {
        let is_own = cx.caller().id() == Some(import.created_by);
        if !is_own || !import.request_id.starts_with(REQUEST) {
            continue;
        }
        match import.state {
            ImportState::Receiving => imports::delete(cx, import.id).await?,
            ImportState::Running => work(cx, import.id).await.map(drop)?,
            ImportState::Succeeded | ImportState::Failed | ImportState::Cancelled => {}
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
step!(LimitsStep);
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

impl Step for AdministratorStep {
    fn origin(&self) -> &Origin {
        &self.origin
    }
    fn kind(&self) -> Do {
        Do::Add
    }
    fn targets(&self) -> &[EmailAddress] {
        std::slice::from_ref(&self.address)
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
                let is_lost = |address: &&EmailAddress| refused.contains(*address);
                let own = step.address().filter(|_| kind == Kind::Forwarding).filter(is_lost);
                let refusal = match step.targets().iter().find(is_lost) {
                    _ if own.is_some() => Some(("address", NO_MAILBOX.to_owned())),
                    Some(_) if kind == Kind::Administrator => {
                        Some(("username", NO_MAILBOX.to_owned()))
                    }
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
            for Refused { line, fault, .. } in import(self.cx, some, options).await? {
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

/// Limits a domain, unless there is nothing to be limited.
async fn limit(cx: &Context, step: &LimitsStep, limits: DomainLimits) -> Result<()> {
    let DomainLimits { users, aliases, storage_bytes } = limits;
    if limits == DomainLimits::default() {
        return Ok(());
    }
    let change = allowances::Change {
        precondition: Precondition::Any,
        patch: AllowancePatch { users, aliases, storage_bytes, ..AllowancePatch::default() },
        below_allocated: step.below_allocated,
    };
    allowances::update_domain(cx, &of_name(&step.domain), change).await.map(drop)
}

async fn appoint(cx: &Context, step: &AdministratorStep) -> Result<()> {
    let domain_id = Some(domains::read(cx, &of_name(&step.domain)).await?.id);
    let role = AssignedRole::DomainAdmin;
    let new = NewRoleAssignment { role, domain_id, department_id: None };
    let user = UserRef::Address(step.address.clone());
    role_assignments::create(cx, &user, &new).await.map(drop)
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
        serde_json::to_writer(&mut lines, &Line::new(user, options)?).map_err(Error::internal)?;
        lines.push(b'\n');
    }
    let new = NewImport { mode: ImportMode::SkipErrors, ..NewImport::default() };
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
    imports::errors(cx, id, None, imports::ERRORS_KEPT).await
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

/// The line of a user, as imports read it. What is absent stays as it is.
#[derive(Serialize)]
struct Line<'a> {
    address: &'a EmailAddress,
    display_name: &'a str,
    status: Status,
    functions: Vec<FunctionName>,
    quota_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    must_change_password: Option<bool>,
}

impl<'a> Line<'a> {
    fn new(user: &'a UserStep, options: &Options) -> Result<Self> {
        let hash = match &user.password {
            Password::Hash(hash) => Some(hash.clone()),
            Password::Nothing => Some(unusable()?),
            Password::Kept => None,
        };
        let functions = user.functions.clone();
        Ok(Self {
            address: &user.address,
            display_name: &user.display_name,
            status: user.status,
            functions: functions.unwrap_or_else(|| functions::names(Functions::ALL)),
            quota_bytes: user.quota_bytes,
            plan: options.is_plan_named.then_some(options.plan.id),
            must_change_password: hash.is_some().then_some(user.must_change),
            password_hash: hash,
        })
    }
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
