//! Where lines come from: out of the blocks that were received, or, of a bulk change, one for each
//! user who matches.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
};

use umail_api_types::imports::{Format, ImportKey};
use umail_proto::ids::{DomainId, UserId};

use crate::{
    app::{
        imports::{chunk::Outcome, content::BLOCK_LINES, seal_name},
        users,
    },
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::{
        address::LocalPart,
        domain::DomainRef,
        import::{Bulk, Column, Fault, Import, Line, Secret},
        page::Page,
        profile::external_id,
        user_filter::UserFilter,
    },
    store::{self, accounts::Selection},
    transaction::Transaction,
};

/// Passwords in clear of an import: each costs as much time as a sign-in.
const MAX_CLEAR: usize = 20_000;

/// Lines that are to be worked on together.
pub(super) struct Lines {
    /// The number of the last one.
    pub(super) last: i64,
    /// The last user, of a bulk change.
    pub(super) done_user: Option<UserId>,
    /// Those that can be read.
    pub(super) good: Vec<Line>,
    /// Of a bulk change: the address of each user, by the line.
    pub(super) names: HashMap<i64, String>,
    /// What became of the others.
    pub(super) outcome: Outcome,
}

/// The lines of an import, to be read in their order.
pub(super) struct Source<'a> {
    /// The server itself.
    cx: &'a Context,
    import: Import,
    /// The name of the domain that the import is confined to.
    own: String,
    /// The line of each address and external id of the file, by its hash.
    seen: HashMap<u64, i64>,
    hasher: RandomState,
    /// Passwords in clear up to a line, and the last one for which there is room.
    clear: (usize, i64),
    last_clear: Option<i64>,
}

impl<'a> Source<'a> {
    pub(super) async fn open(cx: &'a Context, import: &Import) -> Result<Self> {
        let domain = match import.domain_id {
            Some(id) => store::domains::find_any(cx.pool(), &DomainRef::Id(id)).await?,
            None => None,
        };
        let own = domain.map_or_else(String::new, |domain| domain.name.as_str().to_owned());
        let (seen, hasher) = (HashMap::new(), RandomState::new());
        let import = import.clone();
        Ok(Self { cx, import, own, seen, hasher, clear: (0, 0), last_clear: None })
    }

    /// The domain of a line.
    fn domain<'b>(&'b self, line: &'b Line) -> &'b str {
        line.domain.as_ref().map_or(self.own.as_str(), |name| name.as_str())
    }

    /// Reads on where `at` stands, for this caller; users are locked then.
    pub(super) async fn next(
        &mut self,
        (cx, tx): (&Context, &mut Transaction),
        at: &Import,
    ) -> Result<Option<Lines>> {
        match (&self.import.bulk, self.import.domain_id) {
            (Some(bulk), Some(domain)) => matching(cx, tx, (domain, bulk), at).await,
            (Some(_), None) => Err(Error::corrupt("import", at.id, "domain_id")),
            (None, _) => self.next_block(at.done_lines).await,
        }
    }

    /// Reads on behind a line. What was read before may be read again.
    pub(super) async fn next_block(&mut self, after: i64) -> Result<Option<Lines>> {
        let Some((last, lines)) = self.block(after).await? else { return Ok(None) };
        let (mut good, mut outcome) = (Vec::with_capacity(lines.len()), Outcome::default());
        for (number, line) in lines {
            match self.parse(number, &line) {
                Ok(line) => match self.see(&line).and_then(|()| self.count_clear(&line)) {
                    Ok(()) => good.push(line),
                    Err(fault) => outcome.refuse(number, [fault]),
                },
                Err(faults) => outcome.refuse(number, faults),
            }
        }
        Ok(Some(Lines { last, done_user: None, good, names: HashMap::new(), outcome }))
    }

    /// The lines behind one, as they were received: what the block has, and its last line.
    async fn block(&self, after: i64) -> Result<Option<(i64, Vec<(i64, Vec<u8>)>)>> {
        let found = store::import_blocks::next(self.cx.pool(), self.import.id, after).await?;
        let Some(block) = found else { return Ok(None) };
        let name = seal_name(self.import.id, block.first_line);
        let bytes = self.cx.state().sealer().open(&name, &block.sealed)?;
        let lines = bytes.split(|one| *one == b'\n').map(<[u8]>::to_vec);
        let lines = (block.first_line..block.first_line + block.lines).zip(lines);
        // An empty line is none.
        let lines = lines.filter(|(_, line)| !line.is_empty()).collect();
        Ok(Some((block.first_line + block.lines - 1, lines)))
    }

    fn parse(&self, number: i64, line: &[u8]) -> Result<Line, Vec<Fault>> {
        let Import { columns, format, key, .. } = &self.import;
        let columns = (*format == Some(Format::Csv)).then_some(columns.as_slice());
        Line::parse(number, line, columns, *key)
    }

    /// Refuses a line whose address or external id was in a line before.
    fn see(&mut self, line: &Line) -> Result<(), Fault> {
        let id = line.patch.profile.as_ref().and_then(|profile| profile.external_id.as_deref());
        let id = id.and_then(|id| external_id(id).ok()).filter(|id| !id.is_empty());
        let hash = |what: &str| self.hasher.hash_one((self.domain(line), what));
        let address = line.local_part.as_ref().map(|part| hash(part.as_str()));
        // No address has a blank in it.
        let id = id.map(|id| hash(&format!("id {id}")));
        let before = |hash: Option<u64>| {
            hash.and_then(|hash| self.seen.get(&hash)).filter(|before| **before != line.number)
        };
        let (of_key, of_other) = match self.import.key {
            ImportKey::Address => ((Column::Address, address), (Column::ExternalId, id)),
            ImportKey::ExternalId => ((Column::ExternalId, id), (Column::Address, address)),
        };
        if let Some(before) = before(of_key.1) {
            let reason = format!("line {before} is about the same user");
            return Err(Fault::cell(of_key.0, reason));
        }
        if let Some(before) = before(of_other.1) {
            let reason = format!("line {before} has the same {}", of_other.0.name());
            return Err(Fault::cell(of_other.0, reason));
        }
        self.seen.extend(address.into_iter().chain(id).map(|hash| (hash, line.number)));
        Ok(())
    }

    /// Refuses a password in clear for which there is no room.
    fn count_clear(&mut self, line: &Line) -> Result<(), Fault> {
        if !matches!(line.secret, Some(Secret::Clear(_))) {
            return Ok(());
        }
        // What is read again has been counted.
        if line.number > self.clear.1 {
            self.clear = (self.clear.0 + 1, line.number);
            if self.clear.0 == MAX_CLEAR {
                self.last_clear = Some(line.number);
            }
        }
        if self.last_clear.is_none_or(|last| line.number <= last) {
            return Ok(());
        }
        let reason = format!(
            "an import has at most {MAX_CLEAR} passwords in clear: give hashes, or import the rest apart"
        );
        Err(Fault::cell(Column::Password, reason))
    }

    /// Remembers the lines up to this one, which are done.
    pub(super) async fn recall(&mut self, until: i64) -> Result<()> {
        let mut line = 0;
        while line < until {
            let Some(Lines { last, .. }) = self.next_block(line).await? else { break };
            line = last;
        }
        Ok(())
    }

    /// How many users match a bulk change, as this caller sees them.
    pub(super) async fn count(&self, cx: &Context) -> Result<Option<i64>> {
        let (Some(bulk), Some(id)) = (&self.import.bulk, self.import.domain_id) else {
            return Ok(None);
        };
        let selection = selection(cx, (id, bulk), &self.import).await?;
        let domain = store::domains::find(cx.pool(), &DomainRef::Id(id)).await?;
        let domain = domain.ok_or_else(|| Error::not_found("domain", id))?;
        store::accounts::count_selected(cx.pool(), &domain, &selection).await.map(Some)
    }
}

/// The next users of a bulk change. The domain is held first, as in all changes of users.
async fn matching(
    cx: &Context,
    tx: &mut Transaction,
    (domain, bulk): (DomainId, &Bulk),
    at: &Import,
) -> Result<Option<Lines>> {
    let selection = selection(cx, (domain, bulk), at).await?;
    let page = Page { after: at.done_user.map(UserId::uuid), limit: BLOCK_LINES };
    let held = store::domains::hold_all(&mut **tx, &[], Some(domain)).await?;
    let held = held.first().ok_or_else(|| Error::not_found("domain", domain))?;
    let found = store::accounts::lock_selected(&mut **tx, held, &selection, page).await?;
    let Some((done_user, _)) = found.last() else { return Ok(None) };
    let (done_user, mut last) = (*done_user, at.done_lines);
    let (mut good, mut names) = (Vec::with_capacity(found.len()), HashMap::new());
    for (user, local_part) in found {
        last += 1;
        names.insert(last, format!("{local_part}@{}", held.name));
        let local_part = LocalPart::parse(&local_part)
            .map_err(|_cause| Error::corrupt("account", user, "local_part"))?;
        good.push(bulk.line(last, (user, local_part)));
    }
    let outcome = Outcome::default();
    Ok(Some(Lines { last, done_user: Some(done_user), good, names, outcome }))
}

/// Those who match a bulk change, as far as they are in the scope that the caller has now.
async fn selection(
    cx: &Context,
    (domain, bulk): (DomainId, &Bulk),
    import: &Import,
) -> Result<Selection> {
    if cx.authorize(Action::Create, Resource::Imports(Some(domain))).is_err() {
        return Err(Error::Forbidden("change users of the domain any more".to_owned()));
    }
    let filter = UserFilter::parse_bulk(&bulk.filter)?;
    let among = users::among(cx, domain, &filter).await?;
    Ok(Selection { among, filter, until: import.created_at })
}
