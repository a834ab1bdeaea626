//! Rows of the directory as SQLite takes them, after the checks that no server is trusted to do.

use std::net::IpAddr;

use sqlx::SqliteConnection;
use tracing::warn;
use umail_proto::{
    AUTOREPLY_SUBJECT_BYTES, AUTOREPLY_TEXT_BYTES,
    agent::{Autoreply, DirectoryKey, DirectoryRow, RowKind, SendingLimits, directory_row::Row},
};
use uuid::Uuid;

use super::{Files, ReplicaError, connection::composed};

/// A table that rows of the directory go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Table {
    /// Its name.
    name: &'static str,
    /// Number of its columns.
    columns: usize,
    /// The column that names the row of the directory.
    key: &'static str,
    /// Whether it lies in `secrets.sqlite`.
    is_secret: bool,
}

const fn table(name: &'static str, columns: usize) -> Table {
    Table { name, columns, key: "id", is_secret: false }
}

const DOMAIN: Table = table("domain", 6);
const DOMAIN_ALIAS: Table = table("domain_alias", 3);
const DEPARTMENT: Table = table("department", 4);
const PLAN: Table = table("plan", 9);
const USER: Table = table("user", 16);
const ALIAS: Table = table("alias", 5);
const ALIAS_TARGET: Table =
    Table { name: "alias_target", columns: 3, key: "alias_id", is_secret: false };
const GROUP: Table = table("mail_group", 5);
const GROUP_MEMBER: Table = table("group_member", 4);
/// The same, by their group.
const MEMBERS_OF_GROUP: Table = Table { key: "group_id", ..GROUP_MEMBER };
const STORAGE_NODE: Table = table("storage_node", 3);
const AUTOREPLY: Table = Table { name: "autoreply", columns: 6, key: "user_id", is_secret: false };
const CREDENTIAL: Table = Table { name: "credential", columns: 6, key: "id", is_secret: true };

/// Every table that a snapshot replaces.
const TABLES: [Table; 12] = [
    DOMAIN,
    DOMAIN_ALIAS,
    DEPARTMENT,
    PLAN,
    STORAGE_NODE,
    ALIAS,
    ALIAS_TARGET,
    GROUP,
    GROUP_MEMBER,
    USER,
    AUTOREPLY,
    CREDENTIAL,
];

/// Empties every table that a snapshot replaces.
pub(super) async fn clear_all(files: &mut Files) -> Result<(), ReplicaError> {
    for table in TABLES {
        composed(format!("DELETE FROM {}", table.name)).execute(file_of(files, table)).await?;
    }
    Ok(())
}

enum Value {
    Text(String),
    Integer(i64),
    Nothing,
}

/// A row for one table.
pub(super) struct Record {
    table: Table,
    values: Vec<Value>,
}

/// Rows in one statement of a [`Batch`]: a statement costs far more than a row.
const BATCH_ROWS: usize = 100;

/// Records on their way into their tables, many in one statement.
#[derive(Default)]
pub(super) struct Batch {
    waiting: Vec<(Table, Vec<Record>)>,
}

impl Batch {
    /// Adds a record; writes those of its table when there are enough of them.
    pub(super) async fn add(
        &mut self,
        files: &mut Files,
        record: Record,
    ) -> Result<(), ReplicaError> {
        let table = record.table;
        let place = self.waiting.iter().position(|(of, _records)| *of == table);
        let place = place.unwrap_or(self.waiting.len());
        if place == self.waiting.len() {
            self.waiting.push((table, Vec::with_capacity(BATCH_ROWS)));
        }
        let Some((_table, records)) = self.waiting.get_mut(place) else { return Ok(()) };
        records.push(record);
        if records.len() < BATCH_ROWS {
            return Ok(());
        }
        let full = std::mem::replace(records, Vec::with_capacity(BATCH_ROWS));
        insert(files, table, full).await
    }

    /// Writes what still waits.
    pub(super) async fn finish(self, files: &mut Files) -> Result<(), ReplicaError> {
        for (table, records) in self.waiting {
            insert(files, table, records).await?;
        }
        Ok(())
    }
}

/// Writes records of one table in one statement; those that are there already are replaced.
async fn insert(files: &mut Files, table: Table, records: Vec<Record>) -> Result<(), ReplicaError> {
    if records.is_empty() {
        return Ok(());
    }
    let marks = format!("({})", vec!["?"; table.columns].join(", "));
    let marks = vec![marks.as_str(); records.len()].join(", ");
    let mut query = composed(format!("INSERT OR REPLACE INTO {} VALUES {marks}", table.name));
    for value in records.into_iter().flat_map(|record| record.values) {
        query = match value {
            Value::Text(text) => query.bind(text),
            Value::Integer(number) => query.bind(number),
            Value::Nothing => query.bind(None::<i64>),
        };
    }
    query.execute(file_of(files, table)).await?;
    Ok(())
}

const fn file_of(files: &mut Files, table: Table) -> &mut SqliteConnection {
    if table.is_secret { &mut files.secrets } else { &mut files.directory }
}

/// Takes a row out of its table; nothing happens when it is not there.
pub(super) async fn remove(files: &mut Files, key: &DirectoryKey) -> Result<(), ReplicaError> {
    let tables: &[Table] = match key.kind() {
        RowKind::Domain => &[DOMAIN],
        RowKind::User => &[AUTOREPLY, USER],
        RowKind::Alias => &[ALIAS_TARGET, ALIAS],
        RowKind::Credential => &[CREDENTIAL],
        RowKind::StorageNode => &[STORAGE_NODE],
        RowKind::DomainAlias => &[DOMAIN_ALIAS],
        RowKind::Department => &[DEPARTMENT],
        RowKind::Plan => &[PLAN],
        RowKind::Group => &[MEMBERS_OF_GROUP, GROUP],
        RowKind::GroupMember => &[GROUP_MEMBER],
        RowKind::Autoreply => &[AUTOREPLY],
        RowKind::Unspecified => {
            return Err(ReplicaError::Refused(format!("a key of unknown kind {}", key.kind)));
        }
    };
    for table in tables {
        delete(files, *table, &key.id).await?;
    }
    Ok(())
}

async fn delete(files: &mut Files, table: Table, id: &str) -> Result<(), ReplicaError> {
    composed(format!("DELETE FROM {} WHERE {} = ?", table.name, table.key))
        .bind(id.to_owned())
        .execute(file_of(files, table))
        .await?;
    Ok(())
}

/// Takes out what an upsert of this row does not overwrite: targets that the alias had before, and
/// what was there before something that cannot be read.
pub(super) async fn clear(files: &mut Files, row: &DirectoryRow) -> Result<(), ReplicaError> {
    match &row.row {
        Some(Row::Alias(alias)) => delete(files, ALIAS_TARGET, &alias.id).await,
        Some(Row::Credential(row)) if !is_hash(&row.hash) => {
            delete(files, CREDENTIAL, &row.id).await
        }
        Some(Row::Autoreply(row)) if !is_reply(row) => delete(files, AUTOREPLY, &row.user_id).await,
        _ => Ok(()),
    }
}

/// Checks a row and splits it into records. Ids become folders and addresses become lookups:
/// nothing but their narrow forms is let in.
pub(super) fn records(row: &DirectoryRow) -> Result<Vec<Record>, ReplicaError> {
    let Some(row) = &row.row else {
        return Err(ReplicaError::Refused("a row of unknown kind".to_owned()));
    };
    let record = |table, values| Ok(vec![Record { table, values }]);
    match row {
        Row::Domain(row) => record(
            DOMAIN,
            vec![
                id(&row.id)?,
                domain(&row.name)?,
                Value::Integer(row.status.into()),
                bits(row.functions),
                optional(&row.catch_all, address)?,
                Value::Integer(row.deferred_until_seconds),
            ],
        ),
        Row::DomainAlias(row) => {
            record(DOMAIN_ALIAS, vec![id(&row.id)?, domain(&row.name)?, id(&row.domain_id)?])
        }
        Row::Department(row) => record(
            DEPARTMENT,
            vec![
                id(&row.id)?,
                id(&row.domain_id)?,
                optional(&row.parent_id, id)?,
                bits(row.functions),
            ],
        ),
        Row::Plan(row) => plan(row),
        Row::StorageNode(row) => {
            record(STORAGE_NODE, vec![id(&row.id)?, domain(&row.name)?, ip(&row.address)?])
        }
        // It keeps one user out; refused, it would keep the whole node from following the directory.
        Row::Credential(row) if !is_hash(&row.hash) => {
            id(&row.id)?;
            warn!(
                credential = row.id,
                user = row.user_id,
                "a password is left out: its hash is of unknown scheme or form"
            );
            Ok(Vec::new())
        }
        Row::Credential(row) => record(
            CREDENTIAL,
            vec![
                id(&row.id)?,
                id(&row.user_id)?,
                Value::Integer(row.kind.into()),
                Value::Text(row.hash.clone()),
                bits(row.functions),
                Value::Integer(row.expires_at_seconds),
            ],
        ),
        Row::User(row) => user(row),
        Row::Alias(row) => alias(row),
        Row::Group(row) => group(row),
        Row::GroupMember(row) => group_member(row),
        Row::Autoreply(row) => autoreply(row),
    }
}

fn plan(row: &umail_proto::agent::Plan) -> Result<Vec<Record>, ReplicaError> {
    let mut values = vec![
        id(&row.id)?,
        bits(row.functions),
        bits(row.quota_bytes),
        Value::Integer(row.quota_unlimited.into()),
    ];
    values.extend(sending(row.sending));
    Ok(vec![Record { table: PLAN, values }])
}

/// The columns of limits; what is absent is not limited.
fn sending(limits: Option<SendingLimits>) -> [Value; 5] {
    let limits = limits.unwrap_or_default();
    [
        limits.message_size_bytes,
        limits.messages_per_hour,
        limits.messages_per_day,
        limits.recipients_per_hour,
        limits.recipients_per_day,
    ]
    .map(|limit| limit.map_or(Value::Nothing, bits))
}

fn user(row: &umail_proto::agent::User) -> Result<Vec<Record>, ReplicaError> {
    let mut values = vec![
        id(&row.id)?,
        id(&row.domain_id)?,
        optional(&row.department_id, id)?,
        local_part(&row.local_part)?,
        Value::Integer(row.status.into()),
        bits(row.functions),
        bits(row.quota_bytes),
        Value::Integer(row.quota_unlimited.into()),
        optional(&row.storage_node_id, id)?,
        Value::Integer(row.moving.into()),
        optional(&row.plan_id, id)?,
    ];
    values.extend(sending(row.sending));
    Ok(vec![Record { table: USER, values }])
}

fn alias(row: &umail_proto::agent::Alias) -> Result<Vec<Record>, ReplicaError> {
    let values = vec![
        id(&row.id)?,
        id(&row.domain_id)?,
        local_part(&row.local_part)?,
        optional(&row.user_id, id)?,
        Value::Integer(row.keep_copy.into()),
    ];
    let mut records = vec![Record { table: ALIAS, values }];
    for (target, place) in row.targets.iter().zip(0..) {
        let values = vec![id(&row.id)?, Value::Integer(place), address(target)?];
        records.push(Record { table: ALIAS_TARGET, values });
    }
    Ok(records)
}

fn group(row: &umail_proto::agent::Group) -> Result<Vec<Record>, ReplicaError> {
    let values = vec![
        id(&row.id)?,
        id(&row.domain_id)?,
        optional(&row.department_id, id)?,
        local_part(&row.local_part)?,
        Value::Integer(row.posting.into()),
    ];
    Ok(vec![Record { table: GROUP, values }])
}

fn group_member(row: &umail_proto::agent::GroupMember) -> Result<Vec<Record>, ReplicaError> {
    if row.user_id.is_empty() == row.address.is_empty() {
        return refuse("one member", &row.id);
    }
    let values = vec![
        id(&row.id)?,
        id(&row.group_id)?,
        optional(&row.user_id, id)?,
        optional(&row.address, address)?,
    ];
    Ok(vec![Record { table: GROUP_MEMBER, values }])
}

/// Dovecot fails on more than it can hold, and the user would get no mail: such a reply is left out.
fn autoreply(row: &Autoreply) -> Result<Vec<Record>, ReplicaError> {
    let user = id(&row.user_id)?;
    if !is_reply(row) {
        warn!(user = row.user_id, "an automatic reply is left out: it is too long or no text");
        return Ok(Vec::new());
    }
    for one in &row.other_local_parts {
        local_part(one)?;
    }
    let others = serde_json::json!(row.other_local_parts).to_string();
    let values = vec![
        user,
        Value::Text(row.subject.clone()),
        Value::Text(row.text.clone()),
        Value::Integer(row.starts_at_seconds),
        Value::Integer(row.ends_at_seconds),
        Value::Text(others),
    ];
    Ok(vec![Record { table: AUTOREPLY, values }])
}

fn refuse<T>(what: &str, text: &str) -> Result<T, ReplicaError> {
    Err(ReplicaError::Refused(format!("{text:?} is not {what}")))
}

fn optional(
    text: &str,
    check: impl Fn(&str) -> Result<Value, ReplicaError>,
) -> Result<Value, ReplicaError> {
    if text.is_empty() { Ok(Value::Text(String::new())) } else { check(text) }
}

fn bits(bits: u64) -> Value {
    Value::Integer(i64::try_from(bits).unwrap_or(i64::MAX))
}

fn id(text: &str) -> Result<Value, ReplicaError> {
    match Uuid::parse_str(text) {
        Ok(uuid) => Ok(Value::Text(uuid.hyphenated().to_string())),
        Err(_not_an_id) => refuse("an id", text),
    }
}

fn ip(text: &str) -> Result<Value, ReplicaError> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(Value::Text(address.to_string())),
        Err(_not_an_address) => refuse("an IP address", text),
    }
}

fn domain(text: &str) -> Result<Value, ReplicaError> {
    if is_domain(text) { Ok(Value::Text(text.to_owned())) } else { refuse("a domain name", text) }
}

fn local_part(text: &str) -> Result<Value, ReplicaError> {
    if is_local_part(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Ok(Value::Text(text.to_owned()))
    } else {
        refuse("a canonical local part", text)
    }
}

fn address(text: &str) -> Result<Value, ReplicaError> {
    match text.rsplit_once('@') {
        Some((local, domain)) if is_local_part(local) && is_domain(domain) => {
            Ok(Value::Text(text.to_owned()))
        }
        _ => refuse("an address", text),
    }
}

/// What Dovecot verifies: passwords of our own, app passwords, and hashes that were imported.
const SCHEMES: [&str; 5] = ["{ARGON2ID}", "{SSHA512}", "{BLF-CRYPT}", "{SHA512-CRYPT}", "{PBKDF2}"];

/// A hash with its scheme in braces; without one Dovecot would take it as plain text.
fn is_hash(text: &str) -> bool {
    let known = SCHEMES.iter().any(|scheme| text.starts_with(scheme));
    known && text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A text as short as the contract says, and a subject of one line.
fn is_reply(row: &Autoreply) -> bool {
    let is_text = |one: char| !one.is_control() || one == '\n' || one == '\t';
    row.text.len() <= AUTOREPLY_TEXT_BYTES
        && row.subject.len() <= AUTOREPLY_SUBJECT_BYTES
        && !row.text.is_empty()
        && row.text.chars().all(is_text)
        && !row.subject.chars().any(char::is_control)
}

fn is_domain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(allowed) && !label.starts_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// RFC 5321's dot-string: what needs quoting in a mail address is let in nowhere.
fn is_local_part(text: &str) -> bool {
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    (1..=64).contains(&text.len())
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
}
