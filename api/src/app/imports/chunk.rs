//! Lines of an import, worked on together in one transaction: each is decided like a single change,
//! by the same rules; what is written is written together.

use std::collections::{BTreeMap, HashMap, HashSet};

use umail_proto::{
    agent::RowKind,
    ids::{DepartmentId, DomainId},
};
use uuid::Uuid;

use crate::{
    app::{
        allowances::{self, Given, Share},
        audit::{self, Subject, shown},
        domains,
        imports::frame::{Frame, taken},
        users,
    },
    authz::{Action, Resource, UserScope},
    context::{Caller, Context},
    error::{Error, Result, Violation},
    model::{
        address::LocalPart,
        domain::Domain,
        import::{Column, Counts, Fault, Import, Line, Refused, Secret},
        user::User,
    },
    store::{self, changes::BulkChange, credentials::NewPassword},
    transaction::Transaction,
};

/// What became of lines.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) counts: Counts,
    pub(super) refused: Vec<Refused>,
}

impl Outcome {
    pub(super) fn refuse(&mut self, line: i64, faults: impl IntoIterator<Item = Fault>) {
        self.counts.refused += 1;
        let refused = |fault| Refused { line, address: String::new(), fault };
        self.refused.extend(faults.into_iter().map(refused));
    }
}

/// What lines ask for, by the place where it counts.
pub(super) type Sums = BTreeMap<(DomainId, Option<DepartmentId>), Given>;

/// Who takes part of an allowance.
pub(super) enum Taking<'a> {
    /// Each line by itself, in their order.
    Each,
    /// The same in a trial: behind what was taken in it before, and is given back each time.
    Rehearsed(&'a mut Sums),
    /// All lines together at the end.
    Together(&'a mut Sums),
}

/// What has been summed up, as it is given away.
pub(super) fn shares(sums: &Sums) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    for ((domain, _), given) in sums {
        match shares.last_mut() {
            Some(share) if share.domain == *domain => share.given.push(given.clone()),
            _ => shares.push(Share { domain: *domain, given: vec![given.clone()] }),
        }
    }
    shares
}

fn sum_up(sums: &mut Sums, ready: &[Ready]) {
    for one in ready {
        for given in &one.given {
            let empty = Given { department: given.department, ..Given::default() };
            let place = (one.user.domain_id, given.department);
            sums.entry(place).or_insert(empty).add(given.clone());
        }
    }
}

/// Lines, and what is known of them.
pub(super) struct Chunk<'a> {
    /// On whose behalf.
    pub(super) cx: &'a Context,
    pub(super) import: &'a Import,
    pub(super) lines: Vec<Line>,
    /// Whether nothing will be kept of it.
    pub(super) is_trial: bool,
    /// Of the passwords that came in clear, by line.
    pub(super) hashes: HashMap<i64, String>,
}

/// A line that is to be written.
struct Ready {
    line: i64,
    before: Option<User>,
    user: User,
    password: Option<NewPassword>,
    given: Vec<Given>,
}

impl Ready {
    fn is_changed(&self) -> bool {
        self.before.as_ref().is_none_or(|before| *before != self.user)
    }

    /// Whether the user is to have an external id that it has not.
    fn takes_external_id(&self) -> bool {
        let id = &self.user.profile.external_id;
        let before = self.before.as_ref().map(|user| &user.profile.external_id);
        !id.is_empty() && before != Some(id)
    }
}

/// Writes what the lines say, and tells what became of each.
pub(super) async fn apply(
    chunk: Chunk<'_>,
    tx: &mut Transaction,
    taking: Taking<'_>,
) -> Result<Outcome> {
    let Chunk { cx, import, lines, is_trial, hashes } = chunk;
    let mut frame = Frame::load(cx, tx, import, &lines).await?;
    let policy = store::settings::get(&mut **tx).await?.password_policy;
    let decide = Decide { cx, hashes, policy, is_trial };
    let (mut outcome, mut ready) = (Outcome::default(), Vec::with_capacity(lines.len()));
    for line in lines {
        match decide.line(&mut frame, &line)? {
            Ok(Some(one)) => ready.push(one),
            Ok(None) => outcome.counts.unchanged += 1,
            Err(faults) => outcome.refuse(line.number, faults),
        }
    }
    drop(frame);
    refuse_known_ids(cx, tx, &mut ready, &mut outcome).await?;
    take_addresses(tx, &mut ready, &mut outcome).await?;
    match taking {
        Taking::Each => take_allowances(tx, &mut ready, &mut outcome, Vec::new()).await?,
        Taking::Rehearsed(sums) => {
            take_allowances(tx, &mut ready, &mut outcome, shares(sums)).await?;
            sum_up(sums, &ready);
        }
        Taking::Together(sums) => sum_up(sums, &ready),
    }
    for one in &ready {
        match one.before {
            None => outcome.counts.created += 1,
            Some(_) => outcome.counts.changed += 1,
        }
    }
    if !is_trial {
        write(cx, tx, ready).await?;
    }
    Ok(outcome)
}

/// The lines that would be written as far as it can be seen without writing, each with the hash of
/// the password that is there.
pub(super) async fn accepted(
    cx: &Context,
    tx: &mut Transaction,
    import: &Import,
    lines: Vec<Line>,
) -> Result<Vec<(Line, Option<String>)>> {
    let mut frame = Frame::load(cx, tx, import, &lines).await?;
    let policy = store::settings::get(&mut **tx).await?.password_policy;
    let decide = Decide { cx, hashes: HashMap::new(), policy, is_trial: true };
    let mut accepted = Vec::with_capacity(lines.len());
    for line in lines {
        if let Ok(Some(one)) = decide.line(&mut frame, &line)? {
            let there = frame.passwords.get(&one.user.id).map(|(hash, _)| hash.clone());
            accepted.push((line, there));
        }
    }
    Ok(accepted)
}

/// Decides what becomes of a line, without asking the database.
struct Decide<'a> {
    cx: &'a Context,
    hashes: HashMap<i64, String>,
    policy: crate::model::password::Policy,
    is_trial: bool,
}

type Decision = Result<Option<Ready>, Vec<Fault>>;

impl Decide<'_> {
    /// What a line leads to; nothing where all is as it says.
    fn line(&self, frame: &mut Frame, line: &Line) -> Result<Decision> {
        let found = frame.domain(line).and_then(|domain| {
            let department = frame.department(line)?;
            frame.plan(line)?;
            Ok((domain.clone(), department, frame.user(line, domain)?.cloned()))
        });
        let (domain, department, user) = match found {
            Ok(found) => found,
            Err(fault) => return Ok(Err(vec![fault])),
        };
        let Some(before) = user else {
            return self.new_user(frame, line, (&domain, department));
        };
        match self.cx.authorize(Action::Update, Resource::User(before.scope())) {
            Ok(()) => self.known_user(frame, line, (before, department)),
            Err(Error::NotFound { .. }) => Ok(Err(vec![taken(&before.address)])),
            // The same for all whom it concerns, so that it can be counted.
            Err(Error::Forbidden(text)) => {
                let text = text.replace(&before.id.to_string(), "this user");
                Ok(Err(faults(Error::Forbidden(text))?))
            }
            Err(error) => Ok(Err(faults(error)?)),
        }
    }

    fn new_user(
        &self,
        frame: &mut Frame,
        line: &Line,
        (domain, department): (&Domain, Option<DepartmentId>),
    ) -> Result<Decision> {
        let scope =
            UserScope { id: None, domain_id: domain.id, department_id: department, grants: vec![] };
        if let Err(error) = self.cx.authorize(Action::Create, Resource::User(scope)) {
            return Ok(Err(match error {
                Error::NotFound { .. } => vec![out_of_scope()],
                other => faults(other)?,
            }));
        }
        let plan = match frame.plan(line).ok().flatten() {
            Some(plan) => plan,
            None => frame.plan_of(department)?,
        };
        let Some(local_part) = line.local_part.clone() else {
            return Ok(Err(vec![Fault::cell(Column::Address, "must not be empty")]));
        };
        if let Err(reason) = domains::name(self.cx, domain.id, local_part.as_str()) {
            return Ok(Err(vec![Fault::cell(Column::Address, reason)]));
        }
        let place = (domain.id, &domain.name);
        let blank = User::new(local_part, place, plan.id, self.cx.now());
        let blank = User { department_id: department, ..blank };
        let user = match users::changed(&blank, &line.patch, &names(line), Some(plan)) {
            Ok(user) => User { department_id: department, ..user },
            Err(error) => return Ok(Err(faults(error)?)),
        };
        let given = vec![Given::user(&user, plan)];
        let password = match self.password(line, &user, None) {
            Ok(Some(password)) => password,
            Ok(None) => {
                let reason = "must not be empty, or a password_hash be there: the user is new";
                return Ok(Err(vec![Fault::cell(Column::Password, reason)]));
            }
            Err(fault) => return Ok(Err(vec![fault])),
        };
        let user = User { storage_node: frame.place(), ..user };
        let password = Some(password);
        Ok(Ok(Some(Ready { line: line.number, before: None, user, password, given })))
    }

    fn known_user(
        &self,
        frame: &Frame,
        line: &Line,
        (before, department): (User, Option<DepartmentId>),
    ) -> Result<Decision> {
        let mut patch = line.patch.clone();
        patch.department_id = line.department.as_ref().map(|_| department);
        let from = frame.plan_by_id(before.plan_id)?;
        let to = frame.plan(line).ok().flatten().unwrap_or(from);
        let is_of_plan = patch.quota_bytes.is_some()
            || line.plan.is_some()
            || patch.sending().iter().any(Option::is_some);
        let plan = is_of_plan.then_some(to);
        let mut user = match users::changed(&before, &patch, &names(line), plan) {
            Ok(user) => user,
            Err(error) => return Ok(Err(faults(error)?)),
        };
        let password = match self.password(line, &user, frame.passwords.get(&user.id)) {
            Ok(password) => password,
            Err(fault) => return Ok(Err(vec![fault])),
        };
        if user == before && password.is_none() {
            return Ok(Ok(None));
        }
        // Where the user goes must be in the caller's scope as well.
        if self.cx.authorize(Action::Update, Resource::User(user.scope())).is_err() {
            return Ok(Err(vec![out_of_scope()]));
        }
        let given = Given::change((&before, from), (&user, to));
        if user != before {
            user.revision += 1;
            user.updated_at = self.cx.now();
        }
        Ok(Ok(Some(Ready { line: line.number, before: Some(before), user, password, given })))
    }

    /// The password that is to be written, if it is another one than there is.
    fn password(
        &self,
        line: &Line,
        user: &User,
        there: Option<&(String, bool)>,
    ) -> Result<Option<NewPassword>, Fault> {
        let fault = |reason| Fault::cell(Column::Password, reason);
        let hash = match &line.secret {
            None => there.map(|(hash, _)| hash.clone()),
            Some(Secret::Hash(hash)) => Some(hash.clone()),
            Some(Secret::Clear(clear)) => {
                let clear = secrecy::ExposeSecret::expose_secret(clear);
                self.policy.check(clear, &user.names()).map_err(fault)?;
                let hash = self.hashes.get(&line.number).cloned();
                // A trial needs no hashes; else every one is hashed before, of the lines that were
                // good then.
                let hash = hash.or_else(|| self.is_trial.then(String::new));
                let reason = "was not hashed, as the line was refused at first: import it again";
                Some(hash.ok_or_else(|| fault(reason.to_owned()))?)
            }
        };
        let Some(hash) = hash else { return Ok(None) };
        let must_change = line.must_change.or_else(|| there.map(|(_, must_change)| *must_change));
        let must_change = must_change.unwrap_or_default();
        let is_new = there.is_none_or(|(old, was)| *old != hash || *was != must_change);
        Ok(is_new.then_some(NewPassword { user: user.id, hash, must_change }))
    }
}

/// The names that a line gives: a local part is none that changes.
fn names(line: &Line) -> (Option<LocalPart>, Option<String>) {
    (None, line.patch.display_name.clone())
}

fn out_of_scope() -> Fault {
    Fault::cell(Column::Department, "must be a department in your scope")
}

/// A refusal of a single change as faults of a line; what is no refusal stays what it is.
fn faults(error: Error) -> Result<Vec<Fault>> {
    match error {
        Error::Invalid(violations) => Ok(violations.into_iter().map(fault).collect()),
        Error::Forbidden(_) | Error::NotFound { .. } => Ok(vec![Fault::line(error.to_string())]),
        other => Err(other),
    }
}

fn fault(violation: Violation) -> Fault {
    let field = violation.field.trim_start_matches("/profile").trim_start_matches('/');
    Fault { field: field.to_owned(), reason: violation.reason }
}

/// Refuses lines whose external id somebody else has.
async fn refuse_known_ids(
    cx: &Context,
    tx: &mut Transaction,
    ready: &mut Vec<Ready>,
    outcome: &mut Outcome,
) -> Result<()> {
    let asked: Vec<_> = ready
        .iter()
        .filter(|one| one.takes_external_id())
        .map(|one| (one.user.domain_id, one.user.profile.external_id.as_str()))
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut known = Vec::new();
    if matches!(cx.caller(), Caller::User { .. }) {
        // Who is out of reach has it as well; who is in reach may have been changed here.
        known = store::accounts::list_external_ids(cx.state().pool(), &asked).await?;
    }
    known.extend(store::accounts::list_external_ids(&mut **tx, &asked).await?);
    let mut known: HashMap<_, _> =
        known.into_iter().map(|(domain, text, user)| ((domain, text), user)).collect();
    ready.retain(|one| {
        let id = &one.user.profile.external_id;
        if !one.takes_external_id() {
            return true;
        }
        // The first line of two that want it gets it.
        let holder = known.entry((one.user.domain_id, id.clone())).or_insert(one.user.id);
        let is_free = *holder == one.user.id;
        if !is_free {
            let reason = format!("external_id {id} already exists");
            outcome.refuse(one.line, [Fault::cell(Column::ExternalId, reason)]);
        }
        is_free
    });
    Ok(())
}

/// Takes the addresses of new users; somebody else may have been faster.
async fn take_addresses(
    tx: &mut Transaction,
    ready: &mut Vec<Ready>,
    outcome: &mut Outcome,
) -> Result<()> {
    let wanted: Vec<_> = ready
        .iter()
        .filter(|one| one.before.is_none())
        .map(|one| (one.user.domain_id, &one.user.local_part, one.user.id.uuid()))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let got: HashSet<_> =
        store::addresses::insert_all(&mut **tx, &wanted).await?.into_iter().collect();
    ready.retain(|one| {
        let is_got = one.before.is_some() || got.contains(&one.user.id.uuid());
        if !is_got {
            outcome.refuse(one.line, [taken(&one.user.address)]);
        }
        is_got
    });
    Ok(())
}

/// Gives each line its part of the allowances, behind what has been taken before, and refuses those
/// for which nothing is left.
async fn take_allowances(
    tx: &mut Transaction,
    ready: &mut Vec<Ready>,
    outcome: &mut Outcome,
    before: Vec<Share>,
) -> Result<()> {
    let (taken, mut shares) = (before.len(), before);
    let share = |one: &Ready| Share { domain: one.user.domain_id, given: one.given.clone() };
    shares.extend(ready.iter().filter(|one| !one.given.is_empty()).map(share));
    if shares.len() == taken {
        return Ok(());
    }
    let mut refusals = allowances::give_each(tx, &shares).await?.into_iter().skip(taken);
    let mut free = Vec::new();
    ready.retain(|one| {
        if one.given.is_empty() {
            return true;
        }
        let Some(exceeded) = refusals.next().flatten() else { return true };
        if one.before.is_none() {
            free.push(one.user.id.uuid());
        }
        outcome.refuse(one.line, [Fault::line(exceeded.to_string())]);
        false
    });
    if free.is_empty() { Ok(()) } else { store::addresses::delete_all(&mut **tx, &free).await }
}

/// Writes users, passwords, the log of changes and the audit events.
async fn write(cx: &Context, tx: &mut Transaction, ready: Vec<Ready>) -> Result<()> {
    let mut events = Events::default();
    let (mut new, mut changed, mut passwords) = (Vec::new(), Vec::new(), Vec::new());
    let (mut user_changes, mut nodes) = (Vec::<BulkChange>::new(), HashMap::new());
    for one in ready {
        let is_changed = one.is_changed();
        nodes.insert(one.user.id, one.user.nodes());
        if is_changed {
            user_changes.push((one.user.id.uuid(), one.user.nodes()));
            events.of_user(one.before.as_ref(), &one.user)?;
        }
        if let Some(password) = one.password {
            if one.before.is_some() {
                events.of_password(&one.user);
                let id = one.user.id.uuid();
                store::sessions::revoke_of_owner(tx, id, None, cx.now()).await?;
            }
            passwords.push(password);
        }
        match one.before {
            None => new.push(one.user),
            Some(_) if is_changed => changed.push(one.user),
            Some(_) => {}
        }
    }
    if !new.is_empty() {
        store::accounts::insert_all(&mut **tx, &new).await?;
    }
    if !changed.is_empty() {
        store::accounts::update_all(&mut **tx, changed.iter()).await?;
    }
    if !user_changes.is_empty() {
        store::changes::insert_bulk(&mut **tx, RowKind::User, &user_changes).await?;
    }
    if !passwords.is_empty() {
        let written = store::credentials::upsert_passwords(&mut **tx, &passwords, cx.now()).await?;
        let nodes_of = |user| nodes.get(user).cloned().unwrap_or_default();
        let changes: Vec<_> =
            written.iter().map(|(user, id)| (id.uuid(), nodes_of(user))).collect();
        store::changes::insert_bulk(&mut **tx, RowKind::Credential, &changes).await?;
    }
    audit::record_all(tx, cx, "user", events.users).await?;
    audit::record_all(tx, cx, "user password", events.passwords).await
}

/// The audit events of lines.
#[derive(Default)]
struct Events {
    users: Vec<audit::Event>,
    passwords: Vec<audit::Event>,
}

impl Events {
    fn of_user(&mut self, before: Option<&User>, user: &User) -> Result<()> {
        let action = if before.is_some() { Action::Update } else { Action::Create };
        let shown_before = before.map(shown).transpose()?.flatten();
        self.users.push(event(action, user, shown_before, shown(user)?));
        Ok(())
    }

    fn of_password(&mut self, user: &User) {
        self.passwords.push(event(Action::Update, user, None, None));
    }
}

fn event(
    action: Action,
    user: &User,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
) -> audit::Event {
    let id: Uuid = user.id.uuid();
    audit::Event { action, subject: Subject::of_user(user, "user", id), before, after }
}
