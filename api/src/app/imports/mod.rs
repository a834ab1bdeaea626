//! Imports of users: begun, filled, looked at; the work on them is that of a task.

use umail_api_types::{
    imports::{Format, ImportState, NewImport},
    operations::OperationKind,
};
use umail_proto::ids::ImportId;

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
mod work;

pub use self::{
    content::{Part, receive},
    work::{carry_on, give_up},
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
    let created_by = cx.caller().id().ok_or_else(|| Error::internal("nobody imports"))?;
    let import = Import {
        id: ImportId::generate(cx.now()),
        domain_id,
        mode: new.mode,
        dry_run: new.dry_run,
        state: ImportState::Receiving,
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
        request_id: cx.request_id().to_owned(),
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let mut tx = cx.begin().await?;
    if store::imports::count_open(&mut *tx, created_by).await? >= OPEN {
        let text = format!("{OPEN} imports are open: let them end, or remove some");
        return Err(Error::Conflict(text));
    }
    store::imports::insert(&mut *tx, &import).await?;
    tx.commit().await?;
    Ok(import)
}

/// A page of the caller's imports, the newest first; of all for who may read all operations.
pub async fn list(cx: &Context, page: Page) -> Result<Vec<Import>> {
    cx.authorize(Action::List, Resource::Imports(None))?;
    let sees_all = cx.authorize(Action::List, Resource::Operations).is_ok();
    let by = if sees_all { None } else { cx.caller().id() };
    store::imports::list(cx.pool(), by, page).await
}

/// One import.
pub async fn read(cx: &Context, id: ImportId) -> Result<Import> {
    find(cx, id, Action::Read).await
}

/// The import, for whoever began it and may still do this; for the system's administrators any.
async fn find(cx: &Context, id: ImportId, action: Action) -> Result<Import> {
    let missing = || Error::not_found("import", id);
    cx.authorize(action, Resource::Imports(None))?;
    let import = store::imports::find(cx.pool(), id).await?.ok_or_else(missing)?;
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
    let import = find(cx, id, Action::Read).await?;
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

fn subject(import: &Import) -> Subject {
    match import.domain_id {
        Some(domain) => Subject::of(domain, "import", import.id),
        None => Subject::system("import", import.id),
    }
}

/// What the audit events of an import tell of it.
fn about(import: &Import) -> serde_json::Value {
    serde_json::json!({
        "mode": import.mode, "dry_run": import.dry_run, "state": import.state,
        "received_bytes": import.received_bytes, "received_lines": import.received_lines,
        "counts": import.counts, "failure": import.failure,
    })
}

/// Whether cells of a format have their columns in the first line.
const fn has_header(format: Format) -> bool {
    matches!(format, Format::Csv)
}

/// How a block is sealed.
fn seal_name(import: ImportId, first_line: i64) -> String {
    format!("import {import} {first_line}")
}
