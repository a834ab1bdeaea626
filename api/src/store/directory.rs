//! The rows that nodes carry, as one node may see them.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use umail_proto::{
    agent::{
        AccountStatus, Alias, Autoreply, Credential, Department, DirectoryRow, Domain, DomainAlias,
        Group, GroupMember, Plan, RowKind, SendingLimits, StorageNode, User, directory_row::Row,
    },
    ids::{DepartmentId, NodeId, UserId},
};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Every kind of row there is, in the order of a snapshot.
pub const KINDS: [RowKind; 11] = [
    RowKind::Domain,
    RowKind::DomainAlias,
    RowKind::User,
    RowKind::Alias,
    RowKind::Group,
    RowKind::GroupMember,
    RowKind::Credential,
    RowKind::StorageNode,
    RowKind::Department,
    RowKind::Plan,
    RowKind::Autoreply,
];

/// What a node may see. Its rows follow from its roles alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The node.
    pub node: NodeId,
    /// Whether it relays or proxies for everybody: all users, aliases and groups, not only its own.
    pub sees_everybody: bool,
    /// Whether it verifies passwords of the users it sees.
    pub verifies_passwords: bool,
    /// Whether it delivers mail, and answers it, for the users whose mailboxes it has.
    pub holds_mail: bool,
}

/// The rows that are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Keys<'a> {
    /// These.
    Of(&'a [Uuid]),
    /// The next ones in the order of their ids.
    After(Uuid, i64),
}

impl View {
    /// What the node may see now. An smtp node verifies passwords only where it takes submissions.
    pub async fn find(db: impl PgExecutor<'_>, node: NodeId) -> Result<Self> {
        let row = sqlx::query!(
            r#"SELECT roles,
                      EXISTS (SELECT FROM service WHERE node_id = node.id AND kind = 'postfix'
                                AND 'submission' = ANY (listeners)) AS "submission!"
                 FROM node WHERE id = $1 AND revoked_at IS NULL"#,
            node.uuid(),
        )
        .fetch_optional(db)
        .await?
        .ok_or_else(|| Error::not_found("node", node))?;
        let has = |role: &str| row.roles.iter().any(|one| one == role);
        Ok(Self {
            node,
            sees_everybody: has("smtp") || has("pop"),
            verifies_passwords: has("pop") || has("storage") || row.submission,
            holds_mail: has("storage"),
        })
    }

    /// Whether rows of this kind are ever part of the view.
    #[must_use]
    pub const fn includes(&self, kind: RowKind) -> bool {
        match kind {
            RowKind::Domain
            | RowKind::DomainAlias
            | RowKind::User
            | RowKind::StorageNode
            | RowKind::Department
            | RowKind::Plan => true,
            RowKind::Alias | RowKind::Group | RowKind::GroupMember => self.sees_everybody,
            RowKind::Credential => self.verifies_passwords,
            RowKind::Autoreply => self.holds_mail,
            RowKind::Unspecified => false,
        }
    }

    /// The credentials of an smtp or pop node are everybody's, unless it verifies only as the
    /// storage of its own users.
    const fn own(&self) -> Option<Uuid> {
        if self.sees_everybody { None } else { Some(self.node.uuid()) }
    }
}

/// The rows of one kind that the view has, sorted by id, each with its key.
pub async fn list(
    db: &mut PgConnection,
    view: &View,
    kind: RowKind,
    keys: Keys<'_>,
) -> Result<Vec<(Uuid, DirectoryRow)>> {
    if !view.includes(kind) {
        return Ok(Vec::new());
    }
    match kind {
        RowKind::Domain => domains(db, keys).await,
        RowKind::DomainAlias => domain_aliases(db, keys).await,
        RowKind::User => users(db, view.own(), keys).await,
        RowKind::Alias => aliases(db, keys).await,
        RowKind::Group => groups(db, keys).await,
        RowKind::GroupMember => group_members(db, keys).await,
        RowKind::Credential => credentials(db, view.own(), keys).await,
        RowKind::Autoreply => autoreplies(db, view.node.uuid(), keys).await,
        RowKind::StorageNode => storage_nodes(db, keys).await,
        RowKind::Department => departments(db, keys).await,
        RowKind::Plan => plans(db, keys).await,
        RowKind::Unspecified => Ok(Vec::new()),
    }
}

/// The credentials of these users, seen or not: id and user.
pub async fn credentials_of(db: impl PgExecutor<'_>, users: &[Uuid]) -> Result<Vec<Uuid>> {
    let rows = sqlx::query_scalar!(
        "SELECT id FROM credential WHERE account_id = ANY ($1) ORDER BY id",
        users,
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Uuid::from).collect())
}

/// Those of these users whose mail may be answered, seen or not.
pub async fn autoreplies_of(db: impl PgExecutor<'_>, users: &[Uuid]) -> Result<Vec<Uuid>> {
    let rows = sqlx::query_scalar!(
        "SELECT account_id FROM autoreply WHERE account_id = ANY ($1) AND is_enabled",
        users,
    );
    Ok(rows.fetch_all(db).await?)
}

/// The rows of these keys, by what reads them all up to the condition on their id.
macro_rules! rows {
    ($row:ident, $db:ident, $keys:ident, $select:literal $(,)?) => {
        match $keys {
            Keys::Of(ids) => {
                sqlx::query_as!($row, $select + " id = ANY ($1) ORDER BY id", ids)
                    .fetch_all($db)
                    .await?
            }
            Keys::After(after, limit) => {
                sqlx::query_as!($row, $select + " id > $1 ORDER BY id LIMIT $2", after, limit)
                    .fetch_all($db)
                    .await?
            }
        }
    };
}

struct DomainRow {
    id: Uuid,
    name: String,
    status: i16,
    functions: i64,
    catch_all: String,
    deferred_until: Option<OffsetDateTime>,
    is_deleted: bool,
}

async fn domains(db: &mut PgConnection, keys: Keys<'_>) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows = rows!(
        DomainRow,
        db,
        keys,
        r#"SELECT id, name, status, functions, catch_all, deferred_until,
           deleted_at IS NOT NULL AS "is_deleted!"
           FROM domain WHERE"#,
    );
    let convert = |row: DomainRow| {
        let domain = Domain {
            id: row.id.to_string(),
            name: row.name,
            status: status(row.status, row.is_deleted),
            functions: row.functions.cast_unsigned(),
            catch_all: row.catch_all,
            deferred_until_seconds: row.deferred_until.map_or(0, OffsetDateTime::unix_timestamp),
        };
        (row.id, DirectoryRow { row: Some(Row::Domain(domain)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

struct DomainAliasRow {
    id: Uuid,
    domain_id: Uuid,
    name: String,
}

async fn domain_aliases(
    db: &mut PgConnection,
    keys: Keys<'_>,
) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows =
        rows!(DomainAliasRow, db, keys, "SELECT id, domain_id, name FROM domain_alias WHERE");
    let convert = |row: DomainAliasRow| {
        let (id, domain_id) = (row.id.to_string(), row.domain_id.to_string());
        let alias = DomainAlias { id, name: row.name, domain_id };
        (row.id, DirectoryRow { row: Some(Row::DomainAlias(alias)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

struct UserRow {
    id: Uuid,
    domain_id: Uuid,
    department_id: Option<DepartmentId>,
    local_part: String,
    status: i16,
    functions: i64,
    quota_bytes: Option<i64>,
    message_size_bytes: Option<i64>,
    messages_per_hour: Option<i64>,
    messages_per_day: Option<i64>,
    recipients_per_hour: Option<i64>,
    recipients_per_day: Option<i64>,
    storage_node_id: Option<NodeId>,
    moving: bool,
    plan_id: Uuid,
    is_deleted: bool,
}

async fn users(
    db: &mut PgConnection,
    own: Option<Uuid>,
    keys: Keys<'_>,
) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows =
        match (keys, own) {
            (Keys::Of(ids), own) => sqlx::query_as!(
                UserRow,
                r#"SELECT id, domain_id, department_id, local_part, status, functions, quota_bytes,
                          message_size_bytes, messages_per_hour, messages_per_day,
                          recipients_per_hour, recipients_per_day,
                          storage_node_id, moving, plan_id AS "plan_id: Uuid",
                          deleted_at IS NOT NULL AS "is_deleted!"
                     FROM account
                    WHERE id = ANY ($1)
                      AND ($2::uuid IS NULL OR $2 IN (storage_node_id, companion_node_id))
                    ORDER BY id"#,
                ids,
                own,
            )
            .fetch_all(db)
            .await?,
            (Keys::After(after, limit), None) => sqlx::query_as!(
                UserRow,
                r#"SELECT id, domain_id, department_id, local_part, status, functions, quota_bytes,
                          message_size_bytes, messages_per_hour, messages_per_day,
                          recipients_per_hour, recipients_per_day,
                          storage_node_id, moving, plan_id AS "plan_id: Uuid",
                          deleted_at IS NOT NULL AS "is_deleted!"
                     FROM account WHERE id > $1 ORDER BY id LIMIT $2"#,
                after,
                limit,
            )
            .fetch_all(db)
            .await?,
            (Keys::After(after, limit), Some(node)) => sqlx::query_as!(
                UserRow,
                r#"SELECT id, domain_id, department_id, local_part, status, functions, quota_bytes,
                          message_size_bytes, messages_per_hour, messages_per_day,
                          recipients_per_hour, recipients_per_day,
                          storage_node_id, moving, plan_id AS "plan_id: Uuid",
                          deleted_at IS NOT NULL AS "is_deleted!"
                     FROM account
                    WHERE id > $1 AND (storage_node_id = $2 OR companion_node_id = $2)
                    ORDER BY id LIMIT $3"#,
                after,
                node,
                limit,
            )
            .fetch_all(db)
            .await?,
        };
    Ok(rows.into_iter().map(user).collect())
}

fn user(row: UserRow) -> (Uuid, DirectoryRow) {
    let user = User {
        id: row.id.to_string(),
        domain_id: row.domain_id.to_string(),
        department_id: text(row.department_id),
        local_part: row.local_part,
        status: status(row.status, row.is_deleted),
        functions: row.functions.cast_unsigned(),
        quota_bytes: row.quota_bytes.unwrap_or_default().cast_unsigned(),
        quota_unlimited: row.quota_bytes.is_none(),
        storage_node_id: text(row.storage_node_id),
        moving: row.moving,
        plan_id: row.plan_id.to_string(),
        sending: Some(sending([
            row.message_size_bytes,
            row.messages_per_hour,
            row.messages_per_day,
            row.recipients_per_hour,
            row.recipients_per_day,
        ])),
    };
    (row.id, DirectoryRow { row: Some(Row::User(user)) })
}

struct AliasRow {
    id: Uuid,
    domain_id: Uuid,
    local_part: String,
    targets: Vec<String>,
    account_id: Option<UserId>,
    keep_copy: bool,
}

async fn aliases(db: &mut PgConnection, keys: Keys<'_>) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows = rows!(
        AliasRow,
        db,
        keys,
        "SELECT id, domain_id, local_part, targets, account_id, keep_copy
           FROM alias WHERE",
    );
    let convert = |row: AliasRow| {
        let alias = Alias {
            id: row.id.to_string(),
            domain_id: row.domain_id.to_string(),
            local_part: row.local_part,
            targets: row.targets,
            user_id: text(row.account_id),
            keep_copy: row.keep_copy,
        };
        (row.id, DirectoryRow { row: Some(Row::Alias(alias)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

struct GroupRow {
    id: Uuid,
    domain_id: Uuid,
    department_id: Option<DepartmentId>,
    local_part: String,
    posting: i16,
}

async fn groups(db: &mut PgConnection, keys: Keys<'_>) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows = rows!(
        GroupRow,
        db,
        keys,
        "SELECT id, domain_id, department_id, local_part, posting
           FROM mail_group WHERE",
    );
    let convert = |row: GroupRow| {
        let group = Group {
            id: row.id.to_string(),
            domain_id: row.domain_id.to_string(),
            department_id: text(row.department_id),
            local_part: row.local_part,
            posting: row.posting.into(),
        };
        (row.id, DirectoryRow { row: Some(Row::Group(group)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

struct GroupMemberRow {
    id: Uuid,
    group_id: Uuid,
    account_id: Option<UserId>,
    address: Option<String>,
}

async fn group_members(db: &mut PgConnection, keys: Keys<'_>) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows = rows!(
        GroupMemberRow,
        db,
        keys,
        "SELECT id, group_id, account_id, address
           FROM group_member WHERE",
    );
    let convert = |row: GroupMemberRow| {
        let member = GroupMember {
            id: row.id.to_string(),
            group_id: row.group_id.to_string(),
            user_id: text(row.account_id),
            address: row.address.unwrap_or_default(),
        };
        (row.id, DirectoryRow { row: Some(Row::GroupMember(member)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

struct CredentialRow {
    id: Uuid,
    account_id: Uuid,
    kind: i16,
    hash: String,
    functions: i64,
    expires_at: Option<OffsetDateTime>,
}

async fn credentials(
    db: &mut PgConnection,
    own: Option<Uuid>,
    keys: Keys<'_>,
) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows = match (keys, own) {
        (Keys::Of(ids), own) => {
            sqlx::query_as!(
                CredentialRow,
                "SELECT credential.id, account_id, kind, hash, credential.functions, expires_at
                   FROM credential JOIN account ON account.id = account_id
                  WHERE credential.id = ANY ($1)
                    AND ($2::uuid IS NULL OR $2 IN (storage_node_id, companion_node_id))
                  ORDER BY credential.id",
                ids,
                own,
            )
            .fetch_all(db)
            .await?
        }
        (Keys::After(after, limit), None) => {
            sqlx::query_as!(
                CredentialRow,
                "SELECT id, account_id, kind, hash, functions, expires_at
                   FROM credential WHERE id > $1 ORDER BY id LIMIT $2",
                after,
                limit,
            )
            .fetch_all(db)
            .await?
        }
        (Keys::After(after, limit), Some(node)) => {
            sqlx::query_as!(
                CredentialRow,
                "SELECT credential.id, account_id, kind, hash, credential.functions, expires_at
                   FROM credential JOIN account ON account.id = account_id
                  WHERE credential.id > $1 AND (storage_node_id = $2 OR companion_node_id = $2)
                  ORDER BY credential.id LIMIT $3",
                after,
                node,
                limit,
            )
            .fetch_all(db)
            .await?
        }
    };
    let convert = |row: CredentialRow| {
        let credential = Credential {
            id: row.id.to_string(),
            user_id: row.account_id.to_string(),
            kind: row.kind.into(),
            hash: row.hash,
            functions: row.functions.cast_unsigned(),
            expires_at_seconds: row.expires_at.map_or(0, OffsetDateTime::unix_timestamp),
        };
        (row.id, DirectoryRow { row: Some(Row::Credential(credential)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

struct AutoreplyRow {
    id: Uuid,
    subject: String,
    text: String,
    starts_at: Option<OffsetDateTime>,
    ends_at: Option<OffsetDateTime>,
    other_local_parts: Vec<String>,
}

/// Automatic replies with the aliases that stand for their users, and what is asked of them.
macro_rules! select_autoreplies {
    ($conditions:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            AutoreplyRow,
            r#"SELECT account.id, subject, text, starts_at, ends_at,
                      ARRAY(SELECT alias.local_part FROM alias
                             WHERE alias.account_id = account.id
                               AND alias.local_part <> account.local_part
                             ORDER BY alias.id LIMIT 100) AS "other_local_parts!"
                 FROM autoreply JOIN account ON account.id = autoreply.account_id
                WHERE is_enabled AND $1 IN (storage_node_id, companion_node_id) AND "# + $conditions,
            $($argument),+
        )
    };
}

/// Those of the users whose mailboxes the node has. It has no aliases.
async fn autoreplies(
    db: &mut PgConnection,
    node: Uuid,
    keys: Keys<'_>,
) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows = match keys {
        Keys::Of(ids) => {
            select_autoreplies!("account_id = ANY ($2) ORDER BY account_id", node, ids)
                .fetch_all(db)
                .await?
        }
        Keys::After(after, limit) => {
            select_autoreplies!("account_id > $2 ORDER BY account_id LIMIT $3", node, after, limit)
                .fetch_all(db)
                .await?
        }
    };
    let convert = |row: AutoreplyRow| {
        let reply = Autoreply {
            user_id: row.id.to_string(),
            subject: row.subject,
            text: row.text,
            starts_at_seconds: row.starts_at.map_or(0, OffsetDateTime::unix_timestamp),
            ends_at_seconds: row.ends_at.map_or(0, OffsetDateTime::unix_timestamp),
            other_local_parts: row.other_local_parts,
        };
        (row.id, DirectoryRow { row: Some(Row::Autoreply(reply)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

struct StorageNodeRow {
    id: Uuid,
    name: String,
    address: String,
}

async fn storage_nodes(db: &mut PgConnection, keys: Keys<'_>) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows = rows!(
        StorageNodeRow,
        db,
        keys,
        r#"SELECT id, name, host(address) AS "address!" FROM node
            WHERE 'storage' = ANY (roles) AND revoked_at IS NULL AND"#,
    );
    let convert = |row: StorageNodeRow| {
        let node = StorageNode { id: row.id.to_string(), name: row.name, address: row.address };
        (row.id, DirectoryRow { row: Some(Row::StorageNode(node)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

struct DepartmentRow {
    id: Uuid,
    domain_id: Uuid,
    parent_id: Option<DepartmentId>,
    functions: i64,
}

async fn departments(db: &mut PgConnection, keys: Keys<'_>) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows = rows!(
        DepartmentRow,
        db,
        keys,
        "SELECT id, domain_id, parent_id, functions
           FROM department WHERE",
    );
    let convert = |row: DepartmentRow| {
        let department = Department {
            id: row.id.to_string(),
            domain_id: row.domain_id.to_string(),
            parent_id: text(row.parent_id),
            functions: row.functions.cast_unsigned(),
        };
        (row.id, DirectoryRow { row: Some(Row::Department(department)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

struct PlanRow {
    id: Uuid,
    functions: i64,
    quota_bytes: Option<i64>,
    message_size_bytes: Option<i64>,
    messages_per_hour: Option<i64>,
    messages_per_day: Option<i64>,
    recipients_per_hour: Option<i64>,
    recipients_per_day: Option<i64>,
}

async fn plans(db: &mut PgConnection, keys: Keys<'_>) -> Result<Vec<(Uuid, DirectoryRow)>> {
    let rows = rows!(
        PlanRow,
        db,
        keys,
        r#"SELECT id AS "id: Uuid", functions, quota_bytes, message_size_bytes,
           messages_per_hour, messages_per_day, recipients_per_hour,
           recipients_per_day
           FROM plan WHERE"#,
    );
    let convert = |row: PlanRow| {
        let plan = Plan {
            id: row.id.to_string(),
            functions: row.functions.cast_unsigned(),
            quota_bytes: row.quota_bytes.unwrap_or_default().cast_unsigned(),
            quota_unlimited: row.quota_bytes.is_none(),
            sending: Some(sending([
                row.message_size_bytes,
                row.messages_per_hour,
                row.messages_per_day,
                row.recipients_per_hour,
                row.recipients_per_day,
            ])),
        };
        (row.id, DirectoryRow { row: Some(Row::Plan(plan)) })
    };
    Ok(rows.into_iter().map(convert).collect())
}

fn sending(limits: [Option<i64>; 5]) -> SendingLimits {
    let [size, messages_hour, messages_day, recipients_hour, recipients_day] =
        limits.map(|limit| limit.map(i64::cast_unsigned));
    SendingLimits {
        message_size_bytes: size,
        messages_per_hour: messages_hour,
        messages_per_day: messages_day,
        recipients_per_hour: recipients_hour,
        recipients_per_day: recipients_day,
    }
}

/// Nodes learn of a deletion as of a status, so that mail is refused for the right reason.
fn status(status: i16, is_deleted: bool) -> i32 {
    if is_deleted { AccountStatus::Deleted.into() } else { status.into() }
}

fn text(id: Option<impl ToString>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
