//! The work on an import: block by block, each in a transaction with what is known of the import,
//! or all of them in one. Whoever takes it over goes on where that stands.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use secrecy::ExposeSecret as _;
use umail_api_types::{
    imports::{Format, ImportMode, ImportState},
    operations::{OperationResult, OperationState},
};
use umail_proto::ids::{DomainId, ImportId, OperatorId, UserId};

use crate::{
    app::{
        allowances, audit,
        imports::{
            about,
            chunk::{self, Chunk, Outcome, Sums, Taking},
            lines::{Lines, Source},
            subject,
        },
        operations,
    },
    authn::{
        api_keys,
        callers::{self, Credential},
    },
    authz::{self, Action},
    context::Context,
    database::pool,
    error::{Error, Result},
    model::{
        import::{Column, Counts, Fault, Import, Line, Refused, Secret},
        password::Password,
    },
    store::{self, sessions::Owner},
    transaction::Transaction,
};

/// Errors that are kept of an import; all are counted.
pub const ERRORS_KEPT: i64 = 10_000;
/// Passwords that are hashed together, so that sign-ins get their turn.
const HASHED_AT_ONCE: usize = 16;
/// Passwords that are hashed before other imports get their turn.
const HASHED_IN_A_ROW: usize = 256;

/// Goes on with an import until it has ended, or others are to get their turn, unless somebody else
/// works on it; returns how many lines were dealt with.
pub async fn carry_on(cx: &Context, id: ImportId) -> Result<u64> {
    // Nothing else is done in it, so that it keeps nothing from being cleaned up.
    let mut turn = cx.state().pool().begin().await?;
    if !store::imports::try_lock(&mut turn, id).await? {
        return Ok(0);
    }
    // As whoever worked on it before has left it.
    let Some(import) = store::imports::find(cx.pool(), id).await? else { return Ok(0) };
    if import.state != ImportState::Running {
        return Ok(0);
    }
    let before = import.done_lines;
    let import = Work::new(cx, import, Some(turn)).run().await?;
    Ok(u64::try_from(import.done_lines - before).unwrap_or_default())
}

/// Ends an import that fails again and again.
pub async fn give_up(cx: &Context, id: ImportId) -> Result<()> {
    let Some(import) = store::imports::find(cx.pool(), id).await? else { return Ok(()) };
    if import.state != ImportState::Running {
        return Ok(());
    }
    let text = "the server failed; its log has more under the id of the import";
    Work::new(cx, import, None).end(ImportState::Failed, text).await.map(drop)
}

/// How a run over the blocks of an import ended.
enum Ended {
    Done,
    Cancelled,
    /// Not yet: others come first.
    Waits,
}

/// An import that is worked on.
struct Work<'a> {
    /// The server itself.
    cx: &'a Context,
    import: Import,
    /// Holds the locks that let nobody else work on it, and, once it writes, into its domains.
    turn: Option<pool::Transaction>,
    /// The domains that it may write into, in the order in which they are locked; nothing: all.
    domains: Option<BTreeSet<DomainId>>,
}

impl<'a> Work<'a> {
    const fn new(cx: &'a Context, import: Import, turn: Option<pool::Transaction>) -> Self {
        Self { cx, import, turn, domains: None }
    }

    /// Fails if somebody else may have taken over.
    async fn check_turn(&mut self) -> Result<()> {
        let Some(turn) = &mut self.turn else { return Ok(()) };
        store::imports::check_lock(turn).await
    }

    /// Lets others work on it.
    async fn leave(&mut self) -> Result<()> {
        match self.turn.take() {
            Some(turn) => turn.commit().await,
            None => Ok(()),
        }
    }

    async fn run(mut self) -> Result<Import> {
        let is_one = self.import.dry_run || self.import.mode == ImportMode::AllOrNothing;
        let run = async {
            if self.import.is_applied {
                return Ok(Ended::Done);
            }
            let mut source = Source::open(self.cx, &self.import).await?;
            if !self.import.dry_run
                && let one @ (Ended::Cancelled | Ended::Waits) =
                    self.hash_passwords(&mut source).await?
            {
                return Ok(one);
            }
            if !self.take_turn().await? {
                let ended = self.is_cancelled().await?;
                return Ok(if ended { Ended::Cancelled } else { Ended::Waits });
            }
            self.say(if self.import.bulk.is_some() { "users" } else { "lines" }).await?;
            if self.import.bulk.is_some() && self.import.matched.is_none() {
                self.import.matched = source.count(&self.caller().await?).await?;
                self.keep().await?;
            }
            if is_one {
                self.all_at_once(&mut source).await
            } else {
                self.block_by_block(&mut source).await
            }
        };
        match run.await {
            Ok(Ended::Done) => {
                let is_refused =
                    self.import.mode == ImportMode::AllOrNothing && self.import.counts.refused > 0;
                if is_refused {
                    let what = if self.import.bulk.is_some() { "users" } else { "lines" };
                    let text = format!("{what} were refused: nothing has been changed");
                    self.end(ImportState::Failed, &text).await
                } else {
                    self.end(ImportState::Succeeded, "").await
                }
            }
            Ok(Ended::Cancelled) => self.end(ImportState::Cancelled, "").await,
            Ok(Ended::Waits) => {
                self.leave().await?;
                Ok(self.import)
            }
            Err(Error::Unauthenticated(_)) => {
                let text = "whoever began it may not sign in any more";
                self.end(ImportState::Failed, text).await
            }
            Err(error @ (Error::Forbidden(_) | Error::NotFound { .. })) => {
                self.end(ImportState::Failed, &error.to_string()).await
            }
            Err(error) => Err(error),
        }
    }

    /// Whoever began the import, with the rights of now: of an API key, with what the key has of them.
    async fn caller(&self) -> Result<Context> {
        let request_id = Arc::from(self.import.request_id.as_str());
        if let Some(key) = self.import.api_key_id {
            let hash = store::api_keys::find_hash(self.cx.pool(), key).await?;
            let hash = hash.and_then(|hash| hash.try_into().ok()).ok_or(api_keys::REFUSED)?;
            let state = self.cx.state().clone();
            let cx = Context::of(state, Credential::Key(hash), request_id).await?;
            return if cx.confinement().is_none() { Ok(cx) } else { Err(api_keys::REFUSED) };
        }
        let id = self.import.created_by;
        let owner = if self.import.by_operator {
            Owner::from(OperatorId::from(id))
        } else {
            Owner::from(UserId::from(id))
        };
        let caller = callers::of_owner(self.cx.state(), owner).await?;
        Ok(Context::new(self.cx.state().clone(), Arc::new(caller), request_id))
    }

    /// Lets no other import write into the domains that this one may write into; false if one does.
    async fn take_turn(&mut self) -> Result<bool> {
        self.domains = self.domains_of(&self.caller().await?);
        let Some(turn) = &mut self.turn else {
            return Err(Error::internal("an import that nobody has locked"));
        };
        store::imports::try_turn(turn, self.domains.as_ref()).await
    }

    fn domains_of(&self, cx: &Context) -> Option<BTreeSet<DomainId>> {
        match self.import.domain_id {
            Some(domain) => Some(BTreeSet::from([domain])),
            None => authz::visible_domains(cx.caller()).map(BTreeSet::from_iter),
        }
    }

    /// The caller, as long as that is nobody who may write into other domains meanwhile: those may be
    /// somebody else's turn.
    async fn writer(&self) -> Result<Context> {
        let cx = self.caller().await?;
        if self.domains_of(&cx) == self.domains { Ok(cx) } else { Err(other_rights()) }
    }

    async fn is_cancelled(&self) -> Result<bool> {
        let Some(operation) = self.import.operation_id else { return Ok(false) };
        let row = store::operations::find(self.cx.pool(), operation).await?;
        Ok(row.is_none_or(|row| row.cancel_requested))
    }

    /// Hashes the passwords that came in clear, of lines that would not be refused otherwise. One that
    /// is right already keeps its hash.
    async fn hash_passwords(&mut self, source: &mut Source<'_>) -> Result<Ended> {
        let can_have = self.import.format == Some(Format::Ndjson)
            || self.import.columns.contains(&Column::Password);
        if !can_have || self.import.hashed_lines >= self.import.received_lines {
            return Ok(Ended::Done);
        }
        let mut hashed = 0;
        self.say("passwords").await?;
        source.recall(self.import.hashed_lines).await?;
        while let Some(Lines { last, good, .. }) =
            source.next_block(self.import.hashed_lines).await?
        {
            for some in self.accepted(good).await?.chunks(HASHED_AT_ONCE) {
                if self.is_cancelled().await? {
                    return Ok(Ended::Cancelled);
                }
                if hashed >= HASHED_IN_A_ROW {
                    return Ok(Ended::Waits);
                }
                let done = self.known_hashes(some).await?;
                let rest = some.iter().filter(|(line, _)| !done.contains_key(&line.number));
                let hashes = rest.map(|(line, there)| self.hash(line, there.as_deref()));
                let hashes = futures_util::future::try_join_all(hashes).await?;
                store::import_hashes::insert_all(self.cx.pool(), self.import.id, &hashes).await?;
                hashed += hashes.len();
            }
            self.import.hashed_lines = last;
            self.keep().await?;
        }
        Ok(Ended::Done)
    }

    /// The lines with a password in clear that whoever began the import may have written now, each
    /// with the hash that is there. How long others take must not tell of the passwords of others.
    async fn accepted(&self, mut lines: Vec<Line>) -> Result<Vec<(Line, Option<String>)>> {
        lines.retain(|line| matches!(line.secret, Some(Secret::Clear(_))));
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let cx = self.caller().await?;
        let mut tx = cx.begin().await?;
        // Given up at the end: nothing is held while passwords are hashed.
        chunk::accepted(&cx, &mut tx, &self.import, lines).await
    }

    async fn known_hashes(&self, lines: &[(Line, Option<String>)]) -> Result<HashMap<i64, String>> {
        let (first, last) = (lines.first(), lines.last());
        let range = first.map_or(0, |one| one.0.number)..last.map_or(0, |one| one.0.number + 1);
        store::import_hashes::list(self.cx.pool(), self.import.id, range).await
    }

    async fn hash(&self, line: &Line, there: Option<&str>) -> Result<(i64, String)> {
        let Some(Secret::Clear(clear)) = &line.secret else {
            return Err(Error::internal("a line without a password"));
        };
        let password = Password::any(clear.expose_secret()).map_err(Error::internal)?;
        let passwords = self.cx.state().passwords();
        if let Some(there) = there
            && passwords.verify_in_turn(password.clone(), there.to_owned()).await?
        {
            return Ok((line.number, there.to_owned()));
        }
        Ok((line.number, passwords.hash_in_turn(password).await?))
    }

    /// Works on each block in a transaction of its own.
    async fn block_by_block(&mut self, source: &mut Source<'_>) -> Result<Ended> {
        source.recall(self.import.done_lines).await?;
        let mut kept = store::import_errors::count(self.cx.pool(), self.import.id).await?;
        loop {
            if self.is_cancelled().await? {
                return Ok(Ended::Cancelled);
            }
            let cx = self.writer().await?;
            let mut tx = cx.begin().await?;
            let Some(lines) = source.next((&cx, &mut tx), &self.import).await? else {
                return Ok(Ended::Done);
            };
            let mut after = self.import.clone();
            let done = self.apply((&cx, &mut tx), lines, (Taking::Each, false), &mut after).await?;
            after.updated_at = self.cx.now();
            kept += keep_errors(&mut tx, &after, kept, done.refused).await?;
            store::imports::update(&mut *tx, &after).await?;
            self.check_turn().await?;
            tx.commit().await?;
            self.import = after;
            self.tell(done.counts);
        }
    }

    /// Works on lines, and notes in `after` how far the import is then.
    async fn apply(
        &self,
        (cx, tx): (&Context, &mut Transaction),
        lines: Lines,
        (taking, is_trial): (Taking<'_>, bool),
        after: &mut Import,
    ) -> Result<Outcome> {
        let Lines { last, done_user, good, names, outcome } = lines;
        let hashes = self.hashes(&good).await?;
        let chunk = Chunk { cx, import: &self.import, lines: good, is_trial, hashes };
        let mut done = chunk::apply(chunk, tx, taking).await?;
        for one in &mut done.refused {
            one.address = names.get(&one.line).cloned().unwrap_or_default();
        }
        let counts = sum(&[outcome.counts, done.counts]);
        after.counts = sum(&[after.counts, counts]);
        after.done_lines = last;
        after.done_user = done_user;
        let refused = outcome.refused.into_iter().chain(done.refused).collect();
        Ok(Outcome { counts, refused })
    }

    /// Works on all blocks in one transaction, and keeps it if every line was good. As soon as it is
    /// known that nothing will be kept, it is a trial: each block is given up at once, so that nobody
    /// waits for more than that.
    async fn all_at_once(&mut self, source: &mut Source<'_>) -> Result<Ended> {
        let (mut sums, mut refused) = (Sums::new(), Vec::new());
        let Import { dry_run, mode, .. } = self.import;
        self.import.counts = Counts::default();
        (self.import.done_lines, self.import.done_user) = (0, None);
        let mut is_trial = dry_run;
        let mut cx = self.writer().await?;
        let mut tx = cx.begin().await?;
        while let Some(lines) = source.next((&cx, &mut tx), &self.import).await? {
            if self.is_cancelled().await? {
                return Ok(Ended::Cancelled);
            }
            let taking = match mode {
                ImportMode::SkipErrors => Taking::Rehearsed(&mut sums),
                ImportMode::AllOrNothing => Taking::Together(&mut sums),
            };
            let mut after = self.import.clone();
            let taking = (taking, is_trial);
            let done = self.apply((&cx, &mut tx), lines, taking, &mut after).await?;
            is_trial |= after.counts.refused > 0;
            self.import = after;
            let room = usize::try_from(ERRORS_KEPT).unwrap_or(usize::MAX) - refused.len();
            refused.extend(done.refused.into_iter().take(room));
            if is_trial {
                drop(tx);
                cx = self.writer().await?;
                tx = cx.begin().await?;
            } else {
                self.check_rights(&cx).await?;
            }
            self.keep().await?;
        }
        if mode == ImportMode::AllOrNothing {
            for fault in give_together(&mut tx, &sums).await? {
                self.import.counts.refused += 1;
                refused.push(Refused { line: 0, address: String::new(), fault });
            }
        }
        self.check_rights(&cx).await?;
        if dry_run || self.import.counts.refused > 0 {
            drop(tx);
            let mut tx = self.cx.begin().await?;
            keep_errors(&mut tx, &self.import, 0, refused).await?;
            tx.commit().await?;
            return Ok(Ended::Done);
        }
        self.keep_all(tx).await
    }

    /// Fails if these are not the rights of now any more: with others it is decided again.
    async fn check_rights(&self, cx: &Context) -> Result<()> {
        let is_same = self.caller().await?.caller() == cx.caller();
        if is_same { Ok(()) } else { Err(other_rights()) }
    }

    /// Makes the work on all blocks durable. A server that dies then leaves only the end to the next.
    async fn keep_all(&mut self, mut tx: Transaction) -> Result<Ended> {
        self.import.is_applied = true;
        self.import.updated_at = self.cx.now();
        store::imports::update(&mut *tx, &self.import).await?;
        self.check_turn().await?;
        tx.commit().await?;
        self.tell(self.import.counts);
        Ok(Ended::Done)
    }

    /// The hashes of the passwords that came in clear, by line.
    async fn hashes(&self, lines: &[Line]) -> Result<HashMap<i64, String>> {
        let has_clear = lines.iter().any(|line| matches!(line.secret, Some(Secret::Clear(_))));
        match (lines.first(), lines.last()) {
            (Some(first), Some(last)) if has_clear => {
                let range = first.number..last.number + 1;
                store::import_hashes::list(self.cx.pool(), self.import.id, range).await
            }
            _ => Ok(HashMap::new()),
        }
    }

    fn tell(&self, counts: Counts) {
        if counts.created + counts.changed > 0 {
            self.cx.state().changes().notify_one();
        }
        if counts.changed > 0 {
            self.cx.state().callers().forget();
        }
    }

    /// Stores how far the work has come.
    async fn keep(&mut self) -> Result<()> {
        self.import.updated_at = self.cx.now();
        store::imports::update(self.cx.pool(), &self.import).await
    }

    /// Says in the operation what it is at.
    async fn say(&self, step: &str) -> Result<()> {
        let Some(id) = self.import.operation_id else { return Ok(()) };
        let mut tx = self.cx.begin().await?;
        if let Some(mut row) = store::operations::lock(&mut *tx, id).await? {
            step.clone_into(&mut row.step);
            row.updated_at = self.cx.now();
            store::operations::update(&mut *tx, &row).await?;
        }
        tx.commit().await
    }

    /// Ends the import and its operation, and forgets what it has received.
    async fn end(mut self, state: ImportState, failure: &str) -> Result<Import> {
        let is_whole = self.import.mode == ImportMode::AllOrNothing && !self.import.dry_run;
        if is_whole && !self.import.is_applied {
            let refused = self.import.counts.refused;
            self.import.counts = Counts { refused, ..Counts::default() };
        }
        self.import.state = state;
        failure.clone_into(&mut self.import.failure);
        self.import.updated_at = self.cx.now();
        let mut tx = self.cx.begin().await?;
        store::imports::update(&mut *tx, &self.import).await?;
        store::import_blocks::delete(&mut *tx, self.import.id).await?;
        store::import_hashes::delete(&mut *tx, self.import.id).await?;
        self.end_operation(&mut tx, state, failure).await?;
        let event = (subject(&self.import), Some(about(&self.import)));
        audit::record(&mut tx, self.cx, Action::Update, event.0, None, event.1).await?;
        self.check_turn().await?;
        tx.commit().await?;
        self.leave().await?;
        self.cx.state().fleet().progressed();
        Ok(self.import)
    }

    async fn end_operation(
        &self,
        tx: &mut Transaction,
        state: ImportState,
        failure: &str,
    ) -> Result<()> {
        let Some(id) = self.import.operation_id else { return Ok(()) };
        let Some(mut row) = store::operations::lock(&mut **tx, id).await? else { return Ok(()) };
        let (state, error) = match state {
            ImportState::Failed => (OperationState::Failed, Some(failure.to_owned())),
            ImportState::Cancelled => (OperationState::Cancelled, None),
            _ => (OperationState::Succeeded, None),
        };
        let result = (state == OperationState::Succeeded).then(OperationResult::default);
        operations::end(&mut row, state, error, result)?;
        row.updated_at = self.cx.now();
        store::operations::update(&mut **tx, &row).await
    }
}

/// The refusal to go on with what was begun with other rights.
fn other_rights() -> Error {
    Error::Unavailable("whoever began it has other rights now".to_owned())
}

/// Keeps errors as long as there is room for them; returns how many.
async fn keep_errors(
    tx: &mut Transaction,
    import: &Import,
    kept: i64,
    mut refused: Vec<Refused>,
) -> Result<i64> {
    refused.truncate(usize::try_from(ERRORS_KEPT - kept).unwrap_or_default());
    for one in &mut refused {
        // Some name what the file has.
        one.fault.reason.retain(|one| !one.is_control());
    }
    store::import_errors::insert_all(&mut **tx, import.id, &refused).await?;
    Ok(i64::try_from(refused.len()).unwrap_or_default())
}

/// Gives all lines together their part of the allowances; says what is not left.
async fn give_together(tx: &mut Transaction, sums: &Sums) -> Result<Vec<Fault>> {
    let shares = chunk::shares(sums);
    if shares.is_empty() {
        return Ok(Vec::new());
    }
    let refusals = allowances::give_each(tx, &shares).await?.into_iter().flatten();
    Ok(refusals.map(|exceeded| Fault::line(exceeded.to_string())).collect())
}

fn sum(counts: &[Counts]) -> Counts {
    counts.iter().fold(Counts::default(), |sum, one| Counts {
        created: sum.created + one.created,
        changed: sum.changed + one.changed,
        unchanged: sum.unchanged + one.unchanged,
        refused: sum.refused + one.refused,
    })
}
