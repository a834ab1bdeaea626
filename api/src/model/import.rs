//! Lines of an import: cut out of what arrives, read field by field by the rules of single users.

use std::{collections::HashMap, fmt};

use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use umail_api_types::{
    bulk_changes::{BulkFilter, BulkPatch},
    functions::FunctionName,
    imports::{Format, ImportKey, ImportMode, ImportState},
    status::Status,
    users::{ProfilePatch, UserPatch},
};
use umail_proto::ids::{ApiKeyId, DepartmentId, DomainId, ImportId, OperationId, UserId};
use uuid::Uuid;

use crate::model::{
    address::{DomainName, LocalPart},
    hash::Hash,
    plan::PlanRef,
    profile::external_id,
    user::parse_display_name,
};

/// Bytes of a line at most.
pub const MAX_LINE: usize = 64 * 1024;
/// Columns of the limits of what a user sends, in their order.
const SENDING: [Column; 5] = [
    Column::MessageSizeBytes,
    Column::MessagesPerHour,
    Column::MessagesPerDay,
    Column::RecipientsPerHour,
    Column::RecipientsPerDay,
];

/// What a cell is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// The address, or what stands before its `@`.
    Address,
    /// The name shown to people.
    DisplayName,
    /// The name given to the person.
    GivenName,
    /// The name of the family.
    FamilyName,
    /// The number of the person.
    EmployeeNumber,
    /// What the person is.
    Title,
    /// A phone number.
    Phone,
    /// A language tag.
    Locale,
    /// A time zone.
    TimeZone,
    /// What another directory knows the person by.
    ExternalId,
    /// The department: its path, or its id.
    Department,
    /// The plan: its name, or its id.
    Plan,
    /// A quota of the user's own.
    QuotaBytes,
    /// A limit of what the user sends.
    MessageSizeBytes,
    /// A limit of what the user sends.
    MessagesPerHour,
    /// A limit of what the user sends.
    MessagesPerDay,
    /// A limit of what the user sends.
    RecipientsPerHour,
    /// A limit of what the user sends.
    RecipientsPerDay,
    /// What mail and sign-in do.
    Status,
    /// What the user may use at most.
    Functions,
    /// A password in clear.
    Password,
    /// The hash of one.
    PasswordHash,
    /// Whether it has to be changed.
    MustChangePassword,
}

impl Column {
    /// Every column, in the order of an export; the last three are not always in it.
    pub const ALL: [Self; 23] = [
        Self::Address,
        Self::DisplayName,
        Self::GivenName,
        Self::FamilyName,
        Self::EmployeeNumber,
        Self::Title,
        Self::Phone,
        Self::Locale,
        Self::TimeZone,
        Self::ExternalId,
        Self::Department,
        Self::Plan,
        Self::QuotaBytes,
        Self::MessageSizeBytes,
        Self::MessagesPerHour,
        Self::MessagesPerDay,
        Self::RecipientsPerHour,
        Self::RecipientsPerDay,
        Self::Status,
        Self::Functions,
        Self::PasswordHash,
        Self::MustChangePassword,
        Self::Password,
    ];

    /// The name in the first line of a file, and in the objects of NDJSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::DisplayName => "display_name",
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::EmployeeNumber => "employee_number",
            Self::Title => "title",
            Self::Phone => "phone",
            Self::Locale => "locale",
            Self::TimeZone => "time_zone",
            Self::ExternalId => "external_id",
            Self::Department => "department",
            Self::Plan => "plan",
            Self::QuotaBytes => "quota_bytes",
            Self::MessageSizeBytes => "message_size_bytes",
            Self::MessagesPerHour => "messages_per_hour",
            Self::MessagesPerDay => "messages_per_day",
            Self::RecipientsPerHour => "recipients_per_hour",
            Self::RecipientsPerDay => "recipients_per_day",
            Self::Status => "status",
            Self::Functions => "functions",
            Self::Password => "password",
            Self::PasswordHash => "password_hash",
            Self::MustChangePassword => "must_change_password",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

/// A line that is refused: the field, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The column; empty: the line as a whole.
    pub field: String,
    /// The reason.
    pub reason: String,
}

impl Fault {
    /// The line as a whole is refused.
    pub fn line(reason: impl Into<String>) -> Self {
        Self { field: String::new(), reason: reason.into() }
    }

    /// A cell is refused.
    pub fn cell(column: Column, reason: impl Into<String>) -> Self {
        Self { field: column.name().to_owned(), reason: reason.into() }
    }
}

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its number; 0: the file as a whole.
    pub line: i64,
    /// Of a bulk change: the user; empty: the change as a whole.
    pub address: String,
    /// Why.
    pub fault: Fault,
}

/// Reads the first line of a file: which column is which. No column is unknown or there twice,
/// and one is the key.
pub fn parse_header(line: &[u8], key: ImportKey) -> Result<Vec<Column>, String> {
    let text = std::str::from_utf8(line).map_err(|_cause| "must be UTF-8".to_owned())?;
    let mut columns = Vec::new();
    for name in split(text)? {
        let column = Column::from_name(name.trim());
        let column = column.ok_or_else(|| format!("there is no column {:.64}", name.trim()))?;
        if columns.contains(&column) {
            return Err(format!("column {} is there twice", column.name()));
        }
        columns.push(column);
    }
    let needed = match key {
        ImportKey::Address => Column::Address,
        ImportKey::ExternalId => Column::ExternalId,
    };
    if !columns.contains(&needed) {
        return Err(format!("column {} is missing", needed.name()));
    }
    Ok(columns)
}

/// Cuts a line of CSV (RFC 4180) into its cells. A cell ends in its line: what is in it could not
/// have another one.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let (cell, after) = if let Some(quoted) = rest.strip_prefix('"') {
            split_quoted(quoted)?
        } else {
            let (cell, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
            if cell.contains('"') {
                let reason = "a quote inside a cell must be doubled, and the cell be quoted";
                return Err(reason.to_owned());
            }
            (cell.to_owned(), after)
        };
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(cells),
        }
    }
}

fn split_quoted(text: &str) -> Result<(String, &str), String> {
    let (mut cell, mut rest) = (String::new(), text);
    loop {
        let (part, after) =
            rest.split_once('"').ok_or_else(|| "a quoted cell must end in its line".to_owned())?;
        cell.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None if after.is_empty() || after.starts_with(',') => return Ok((cell, after)),
            None => return Err("a quoted cell must end with its quote".to_owned()),
        }
    }
}

/// The cells of a line, by their columns: an empty text is an empty cell, or null.
#[derive(Debug, Default)]
struct Cells(HashMap<Column, SecretString>);

impl Cells {
    fn of_csv(text: &str, columns: &[Column]) -> Result<Self, Fault> {
        let cells = split(text).map_err(Fault::line)?;
        if cells.len() != columns.len() {
            let reason = format!("has {} cells, the first line {}", cells.len(), columns.len());
            return Err(Fault::line(reason));
        }
        let cells = columns.iter().zip(cells).map(|(column, cell)| match column {
            // Every letter of a password counts.
            Column::Password => (*column, cell.into()),
            _ => (*column, plain(&cell).into()),
        });
        Ok(Self(cells.collect()))
    }

    fn of_json(text: &str) -> Result<Self, Fault> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
            .map_err(|cause| Fault::line(format!("is not a JSON object: {cause}")))?;
        let mut cells = HashMap::with_capacity(object.len());
        for (name, value) in object {
            let column = Column::from_name(&name)
                .ok_or_else(|| Fault::line(format!("there is no column {name:.64}")))?;
            let text = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text,
                serde_json::Value::Bool(is) => is.to_string(),
                serde_json::Value::Number(number) => number.to_string(),
                serde_json::Value::Array(items) if column == Column::Functions => {
                    let names = items.iter().map(|one| one.as_str().unwrap_or("?"));
                    let names = names.collect::<Vec<_>>().join(" ");
                    if names.is_empty() { NO_FUNCTIONS.to_owned() } else { names }
                }
                _ => return Err(Fault::cell(column, "must be a text or a number")),
            };
            cells.insert(column, text.into());
        }
        Ok(Self(cells))
    }

    fn get(&self, column: Column) -> Option<&str> {
        self.0.get(&column).map(ExposeSecret::expose_secret)
    }

    /// Something that is absent when the cell is, and a default (`None`) when that is empty.
    #[expect(clippy::option_option, reason = "no cell and an empty one are not the same")]
    fn parse<T>(
        &self,
        column: Column,
        faults: &mut Vec<Fault>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let text = self.get(column)?;
        if text.is_empty() {
            return Some(None);
        }
        match parse(text) {
            Ok(value) => Some(Some(value)),
            Err(reason) => {
                faults.push(Fault::cell(column, reason));
                None
            }
        }
    }
}

/// What a spreadsheet would take for a formula has a quote before it in what we write: it belongs
/// to nobody.
fn plain(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if is_formula(rest) => rest,
        _ => cell,
    }
}

fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\''])
}

/// A cell as we write it, so that no spreadsheet takes it for a formula.
#[must_use]
pub fn write_cell(cell: &str) -> String {
    let guard = if is_formula(cell) { "'" } else { "" };
    if cell.contains(['"', ',', '\n', '\r']) {
        format!("\"{guard}{}\"", cell.replace('"', "\"\""))
    } else {
        format!("{guard}{cell}")
    }
}

/// What somebody is to sign in with.
#[derive(Clone)]
pub enum Secret {
    /// The password.
    Clear(SecretString),
    /// Its hash, canonical.
    Hash(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A department as a line names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DepartmentRef {
    /// By id.
    Id(DepartmentId),
    /// By the names from the top, with `/` between them.
    Path(String),
}

/// Whom a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Whoever has the address of the line, or is to have it.
    Address,
    /// Whom another directory knows by this, or is to.
    ExternalId(String),
    /// Somebody whom a filter has found.
    User(UserId),
}

/// A good line: whom it is about, and what is to be so of the user. What the line does not name
/// stays as it is.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: i64,
    /// Whom it is about.
    pub whom: Whom,
    /// What stands before the `@` of its address, if it has one.
    pub local_part: Option<LocalPart>,
    /// What stands behind it, if anything.
    pub domain: Option<DomainName>,
    /// Names, profile, status, functions, quota and limits.
    pub patch: UserPatch,
    /// The department; nothing inside: none.
    pub department: Option<Option<DepartmentRef>>,
    /// The plan.
    pub plan: Option<PlanRef>,
    /// The password.
    pub secret: Option<Secret>,
    /// Whether it has to be changed.
    pub must_change: Option<bool>,
}

impl Line {
    /// Reads a line; tells all that is wrong with it.
    pub fn parse(
        number: i64,
        line: &[u8],
        columns: Option<&[Column]>,
        key: ImportKey,
    ) -> Result<Self, Vec<Fault>> {
        let one = |fault| vec![fault];
        if line.len() > MAX_LINE {
            return Err(one(Fault::line(format!("is longer than {MAX_LINE} bytes"))));
        }
        let text = std::str::from_utf8(line).map_err(|_cause| one(Fault::line("must be UTF-8")))?;
        let cells = match columns {
            Some(columns) => Cells::of_csv(text, columns),
            None => Cells::of_json(text),
        };
        Self::read(number, &cells.map_err(one)?, key)
    }

    fn read(number: i64, cells: &Cells, key: ImportKey) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let (local_part, domain) = address(cells, key, &mut faults);
        let whom = whom(cells, key, &mut faults);
        let faults = &mut faults;
        let patch = patch(cells, faults);
        let department = cells.parse(Column::Department, faults, |text| {
            Ok(text
                .parse()
                .map_or_else(|_| DepartmentRef::Path(text.to_owned()), DepartmentRef::Id))
        });
        let plan = cells.parse(Column::Plan, faults, str::parse).flatten();
        let hash = cells.parse(Column::PasswordHash, faults, |text| {
            Hash::parse(text).map(|hash| Secret::Hash(hash.canonical()))
        });
        let clear =
            cells.parse(Column::Password, faults, |text| Ok(Secret::Clear(text.to_owned().into())));
        let must_change = cells.parse(Column::MustChangePassword, faults, parse_bool).flatten();
        let (hash, clear) = (hash.flatten(), clear.flatten());
        if hash.is_some() && clear.is_some() {
            faults.push(Fault::cell(Column::Password, "must be empty beside a password_hash"));
        }
        if !faults.is_empty() {
            return Err(std::mem::take(faults));
        }
        let secret = hash.or(clear);
        Ok(Self { number, whom, local_part, domain, patch, department, plan, secret, must_change })
    }
}

/// The address of a line; a line that has another key need not have one.
fn address(
    cells: &Cells,
    key: ImportKey,
    faults: &mut Vec<Fault>,
) -> (Option<LocalPart>, Option<DomainName>) {
    let address = cells.get(Column::Address).unwrap_or_default();
    if address.is_empty() && key == ImportKey::ExternalId {
        return (None, None);
    }
    let (local_part, domain) = match address.rsplit_once('@') {
        Some((local_part, domain)) => (local_part, Some(DomainName::parse(domain))),
        None => (address, None),
    };
    let mut fault = |reason| faults.push(Fault::cell(Column::Address, reason));
    let local_part = LocalPart::parse(local_part).map_err(&mut fault).ok();
    (local_part, domain.and_then(|domain| domain.map_err(fault).ok()))
}

fn whom(cells: &Cells, key: ImportKey, faults: &mut Vec<Fault>) -> Whom {
    if key == ImportKey::Address {
        return Whom::Address;
    }
    let id = external_id(cells.get(Column::ExternalId).unwrap_or_default());
    let needed = || "must not be empty: it says whom the line is about".to_owned();
    let id = id.and_then(|id| if id.is_empty() { Err(needed()) } else { Ok(id) });
    Whom::ExternalId(id.unwrap_or_else(|reason| {
        faults.push(Fault::cell(Column::ExternalId, reason));
        String::new()
    }))
}

fn patch(cells: &Cells, faults: &mut Vec<Fault>) -> UserPatch {
    let text = |column| cells.get(column).map(str::to_owned);
    let mut number = |column| cells.parse(column, faults, parse_number);
    let quota_bytes = number(Column::QuotaBytes);
    let [size, messages_hour, messages_day, recipients_hour, recipients_day] = SENDING.map(number);
    let display_name = cells.get(Column::DisplayName).map(parse_display_name);
    let display_name = display_name.transpose().map_err(|reason| {
        faults.push(Fault::cell(Column::DisplayName, reason));
    });
    let profile = ProfilePatch {
        given_name: text(Column::GivenName),
        family_name: text(Column::FamilyName),
        employee_number: text(Column::EmployeeNumber),
        title: text(Column::Title),
        phone: text(Column::Phone),
        locale: text(Column::Locale),
        time_zone: text(Column::TimeZone),
        external_id: text(Column::ExternalId),
    };
    UserPatch {
        local_part: None,
        display_name: display_name.ok().flatten(),
        profile: (profile != ProfilePatch::default()).then_some(profile),
        status: cells.parse(Column::Status, faults, parse_status).flatten(),
        functions: cells.parse(Column::Functions, faults, parse_functions).flatten(),
        plan_id: None,
        quota_bytes,
        message_size_bytes: size,
        messages_per_hour: messages_hour,
        messages_per_day: messages_day,
        recipients_per_hour: recipients_hour,
        recipients_per_day: recipients_day,
        department_id: None,
    }
}

fn parse_number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_cause| "must be a whole number, or empty".to_owned())
}

fn parse_bool(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_cause| "must be true or false".to_owned())
}

fn parse_status(text: &str) -> Result<Status, String> {
    from_word(text).ok_or_else(|| {
        "must be active, locked, maintenance, suspended or closed, or empty".to_owned()
    })
}

/// What a cell says that allows nothing.
const NO_FUNCTIONS: &str = "none";

fn parse_functions(text: &str) -> Result<Vec<FunctionName>, String> {
    if text == NO_FUNCTIONS {
        return Ok(Vec::new());
    }
    let names = text.split_whitespace().map(from_word).collect::<Option<_>>();
    names.ok_or_else(|| {
        "must be names of functions with blanks between them, none, or empty".to_owned()
    })
}

fn from_word<T: serde::de::DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(word.into()).ok()
}

/// The functions as a cell names them.
#[must_use]
pub fn write_functions(names: &[FunctionName]) -> String {
    if names.is_empty() {
        return NO_FUNCTIONS.to_owned();
    }
    let word = |one: &FunctionName| match serde_json::to_value(one) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    };
    names.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A bulk change: lines that come from no file, all alike, one about each user who matches.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bulk {
    /// Who matches.
    pub filter: BulkFilter,
    /// What is to be so.
    pub change: BulkPatch,
}

impl Bulk {
    /// The line about one of the users.
    #[must_use]
    pub fn line(&self, number: i64, (user, local_part): (UserId, LocalPart)) -> Line {
        let BulkPatch { plan_id, department_id, status, quota_bytes, functions } =
            self.change.clone();
        Line {
            number,
            whom: Whom::User(user),
            local_part: Some(local_part),
            domain: None,
            patch: UserPatch { status, quota_bytes, functions, ..UserPatch::default() },
            department: department_id.map(|id| id.map(DepartmentRef::Id)),
            plan: plan_id.map(PlanRef::Id),
            secret: None,
            must_change: None,
        }
    }
}

/// An import, or a bulk change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Identifies it.
    pub id: ImportId,
    /// The domain of its users; nothing: lines name it.
    pub domain_id: Option<DomainId>,
    /// By what lines say whom they are about.
    pub key: ImportKey,
    /// What makes it a bulk change; nothing: its lines come from a file.
    pub bulk: Option<Bulk>,
    /// Of a bulk change: how many users matched when the work began.
    pub matched: Option<i64>,
    /// Of a bulk change: the last user who was dealt with.
    pub done_user: Option<UserId>,
    /// What becomes of the good lines of a file that has bad ones.
    pub mode: ImportMode,
    /// Whether nothing is changed.
    pub dry_run: bool,
    /// How far it is.
    pub state: ImportState,
    /// What is received; nothing: nothing yet.
    pub format: Option<Format>,
    /// Of CSV: its columns.
    pub columns: Vec<Column>,
    /// How much has been received, in whole lines.
    pub received_bytes: i64,
    /// How many lines that is.
    pub received_lines: i64,
    /// Lines whose passwords are hashed.
    pub hashed_lines: i64,
    /// Lines of which is known what becomes of them.
    pub done_lines: i64,
    /// Whether all of them are written, and only the end is left.
    pub is_applied: bool,
    /// What became of them.
    pub counts: Counts,
    /// The work on it.
    pub operation_id: Option<OperationId>,
    /// Why it failed as a whole; empty: it did not.
    pub failure: String,
    /// Who began it.
    pub created_by: Uuid,
    /// Whether that is an operator.
    pub by_operator: bool,
    /// By which key; nothing: in person.
    pub api_key_id: Option<ApiKeyId>,
    /// Finds the request in the logs.
    pub request_id: String,
    /// When it was begun.
    pub created_at: OffsetDateTime,
    /// When it got on last.
    pub updated_at: OffsetDateTime,
}

impl Import {
    /// The word for it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        if self.bulk.is_some() { "bulk change" } else { "import" }
    }
}

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Users that were added.
    pub created: i64,
    /// Users that were changed.
    pub changed: i64,
    /// Users that were as the line says.
    pub unchanged: i64,
    /// Lines that were refused.
    pub refused: i64,
}

/// Cuts lines out of what arrives in pieces. Holds one line at most; what is longer than a line
/// may be is passed over, so that nothing endless fills the memory.
#[derive(Debug, Default)]
pub struct Cutter {
    line: Vec<u8>,
    /// Bytes of the line that begins, those passed over included.
    length: usize,
}

impl Cutter {
    /// Takes the first line out of a piece, if it ends there: the line without its end, and how
    /// many bytes it had with it. A line that is too long comes as one byte more than a line has.
    pub fn cut(&mut self, piece: &mut &[u8]) -> Option<(Vec<u8>, usize)> {
        let end = piece.iter().position(|one| *one == b'\n');
        let (part, rest) = piece.split_at(end.map_or(piece.len(), |end| end + 1));
        *piece = rest;
        self.length += part.len();
        let room = (MAX_LINE + 2).saturating_sub(self.line.len());
        self.line.extend_from_slice(part.get(..room).unwrap_or(part));
        end.and_then(|_| self.end())
    }

    /// What is left when nothing more arrives.
    pub fn end(&mut self) -> Option<(Vec<u8>, usize)> {
        let (mut line, length) = (std::mem::take(&mut self.line), std::mem::take(&mut self.length));
        if length == 0 {
            return None;
        }
        for end in [b'\n', b'\r'] {
            if line.last() == Some(&end) {
                line.pop();
            }
        }
        if length > MAX_LINE + 2 {
            line.truncate(MAX_LINE);
            line.push(b' ');
        }
        Some((line, length))
    }
}
