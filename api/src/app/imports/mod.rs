//! Imports of users: begun, filled, looked at; the work on them is that of a task. Bulk changes are
//! imports whose lines come from no file.

use umail_api_types::{
    imports::{Format, ImportKey, ImportMode, ImportState, NewImport},
    operations::OperationKind,
};
use umail_proto::ids::{DomainId, ImportId};

use crate::{
    app::{
        audit::{self, Subject},
        domains, operations,
    },
    authz::{Action, Resource},
    context::{Caller, Context},
    error::{Error, Result},
    model::{
        domain::DomainRef,
        import::{Counts, Import, Refused},
        page::Page,
    },
    store,
    transaction::Transaction,
};

mod chunk;
mod content;
mod frame;
mod lines;
mod work;

pub use self::{
    content::{Part, receive},
    work::{ERRORS_KEPT, carry_on, give_up},
};

/// Imports of one caller that have not ended.
const OPEN: i64 = 10;

/// Begins an import into a domain, or, with nothing, one whose lines name theirs. It sets passwords,
/// and goes on with all that its maker may do, so an API key is not enough.
pub async fn create(cx: &Context, domain: Option<&DomainRef>, new: NewImport) -> Result<Import> {
    cx.require_person()?;
    let domain_id = match domain {
        Some(domain) => {
            let asked = |id| (Action::Create, Resource::Imports(Some(id)));
            Some(domains::find(cx, domain, asked).await?.id)
        }
        None => cx.authorize(Action::Create, Resource::Imports(None)).map(|()| None)?,
    };
    let import = Import {
        key: new.key,
        state: ImportState::Receiving,
        ..blank(cx, domain_id, (new.mode, new.dry_run))?
    };
    let mut tx = cx.begin().await?;
    insert(&mut tx, &import).await?;
    tx.commit().await?;
    Ok(import)
}

/// An import of whoever asks, about which nothing else is known.
pub(super) fn blank(
    cx: &Context,
    domain_id: Option<DomainId>,
    (mode, dry_run): (ImportMode, bool),
) -> Result<Import> {
    let created_by = cx.caller().id().ok_or_else(|| Error::internal("nobody imports"))?;
    Ok(Import {
        id: ImportId::generate(cx.now()),
        domain_id,
        key: ImportKey::Address,
        bulk: None,
        matched: None,
        done_user: None,
        mode,
        dry_run,
        state: ImportState::Running,
        format: None,
        columns: Vec::new(),
        received_bytes: 0,
        received_lines: 0,
        hashed_lines: 0,
        done_lines: 0,
        is_applied: false,
        counts: Counts::default(),
        operation_id: None,
        failure: String::new(),
        created_by,
        by_operator: matches!(cx.caller(), Caller::Operator { .. }),
        api_key_id: cx.key().map(|found| found.key.id),
        request_id: cx.request_id().to_owned(),
        created_at: cx.now(),
        updated_at: cx.now(),
    })
}

/// Adds an import, or a bulk change, unless too many of the caller are open.
pub(super) async fn insert(tx: &mut Transaction, import: &Import) -> Result<()> {
    store::imports::lock_all(&mut **tx, import.created_by).await?;
    if store::imports::count_open(&mut **tx, import.created_by).await? >= OPEN {
        let text = format!("{OPEN} imports or bulk changes are open: let them end, or remove some");
        return Err(Error::Conflict(text));
    }
    store::imports::insert(&mut **tx, import).await
}

/// A page of the caller's imports, the newest first; of all for who may read all operations.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<Import>> {
    list_kind(cx, false, page).await
}

/// A page of the caller's imports, or of the bulk changes.
pub(super) async fn list_kind(cx: &Context, is_bulk: bool, page: Page) -> Result<Vec<Import>> {
    cx.authorize(Action::List, Resource::Imports(None))?;
    let sees_all = cx.authorize(Action::List, Resource::Operations).is_ok();
    let by = if sees_all { None } else { cx.caller().id() };
    store::imports::list(cx.pool(), is_bulk, by, page).await
}

/// One import.
pub async fn read(cx: &Context, id: ImportId) -> Result<Import> {
    find(cx, id, Action::Read).await
}

async fn find(cx: &Context, id: ImportId, action: Action) -> Result<Import> {
    find_kind(cx, (id, "import"), action).await
}

/// The import, or the bulk change, for whoever began it and may still do this; for the system's
/// administrators any.
pub(super) async fn find_kind(
    cx: &Context,
    (id, kind): (ImportId, &'static str),
    action: Action,
) -> Result<Import> {
    let missing = || Error::not_found(kind, id);
    cx.authorize(action, Resource::Imports(None))?;
    let found = store::imports::find(cx.pool(), id).await?;
    let import = found.filter(|import| import.kind() == kind).ok_or_else(missing)?;
    let is_own = cx.caller().id() == Some(import.created_by);
    if !is_own {
        return cx
            .authorize(Action::Update, Resource::Operations)
            .map_or(Err(missing()), |()| Ok(import));
    }
    if let Some(domain) = import.domain_id {
        cx.authorize(action, Resource::Imports(Some(domain)))?;
    }
    Ok(import)
}

/// Removes an import that is not at work, with all that was received.
pub async fn delete(cx: &Context, id: ImportId) -> Result<()> {
    find(cx, id, Action::Delete).await?;
    let mut tx = cx.begin().await?;
    if !store::imports::delete(&mut *tx, id).await? {
        return Err(Error::Conflict("the import is at work: cancel its operation".to_owned()));
    }
    tx.commit().await
}

/// Lines that were refused, after one.
pub async fn errors(
    cx: &Context,
    id: ImportId,
    after: Option<&Refused>,
    limit: i64,
) -> Result<Vec<Refused>> {
    errors_of(cx, (id, "import"), after, limit).await
}

/// The same of an import or a bulk change.
pub(super) async fn errors_of(
    cx: &Context,
    import: (ImportId, &'static str),
    after: Option<&Refused>,
    limit: i64,
) -> Result<Vec<Refused>> {
    let import = find_kind(cx, import, Action::Read).await?;
    store::import_errors::list(cx.pool(), import.id, after, limit).await
}

/// Hands an import over to the task that works on it.
async fn begin(cx: &Context, tx: &mut Transaction, import: &mut Import) -> Result<()> {
    let input = serde_json::json!({ "import_id": import.id });
    let operation = operations::new(cx, OperationKind::ImportUsers, "wait", input);
    store::operations::insert(&mut **tx, &operation).await?;
    if !store::imports::begin(&mut **tx, import, operation.id, cx.now()).await? {
        return Err(content::moved_on());
    }
    import.state = ImportState::Running;
    import.operation_id = Some(operation.id);
    audit::record(tx, cx, Action::Create, subject(import), None, Some(about(import))).await
}

pub(super) fn subject(import: &Import) -> Subject {
    match import.domain_id {
        Some(domain) => Subject::of(domain, import.kind(), import.id),
        None => Subject::system(import.kind(), import.id),
    }
}

/// What the audit events of an import tell of it.
pub(super) fn about(import: &Import) -> serde_json::Value {
    let Import { mode, dry_run, state, counts, failure, .. } = import;
    match &import.bulk {
        None => serde_json::json!({
            "mode": mode, "dry_run": dry_run, "state": state, "key": import.key,
            "received_bytes": import.received_bytes, "received_lines": import.received_lines,
            "counts": counts, "failure": failure,
        }),
        Some(bulk) => serde_json::json!({
            "mode": mode, "dry_run": dry_run, "state": state,
            "filter": bulk.filter, "change": bulk.change, "matched": import.matched,
            "counts": counts, "failure": failure,
        }),
    }
}

/// Whether cells of a format have their columns in the first line.
const fn has_header(format: Format) -> bool {
    matches!(format, Format::Csv)
}

/// How a block is sealed.
fn seal_name(import: ImportId, first_line: i64) -> String {
    format!("import {import} {first_line}")
}
