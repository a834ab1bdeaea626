//! Rows of a directory for tests.

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use umail_agent::replica::Replica;
use umail_proto::agent::{
    AccountStatus, Alias, Autoreply, Credential, CredentialKind, Delta, Department, DirectoryKey,
    DirectoryRow, Domain, DomainAlias, Group, GroupMember, GroupPosting, Plan, RowKind,
    SnapshotBegin, SnapshotEnd, StorageNode, User, directory_row::Row,
};
use uuid::Uuid;

/// The epoch of every test.
pub(crate) const EPOCH: &str = "00000000-0000-4000-8000-00000000e90c";
/// Every function.
pub(crate) const ALL: u64 = i64::MAX as u64;

/// The id that goes with this number.
pub(crate) fn id(number: u128) -> String {
    Uuid::from_u128(number).hyphenated().to_string()
}

/// An active domain.
pub(crate) fn domain(number: u128, name: &str) -> Domain {
    Domain {
        id: id(number),
        name: name.into(),
        status: AccountStatus::Active.into(),
        functions: ALL,
        catch_all: String::new(),
        deferred_until_seconds: 0,
    }
}

/// An active user of domain 1 with unlimited space on this node.
pub(crate) fn user(number: u128, local_part: &str, storage_node: &str) -> User {
    User {
        id: id(number),
        domain_id: id(1),
        department_id: String::new(),
        local_part: local_part.into(),
        status: AccountStatus::Active.into(),
        functions: ALL,
        quota_bytes: 0,
        quota_unlimited: true,
        storage_node_id: storage_node.into(),
        moving: false,
        plan_id: String::new(),
        sending: None,
    }
}

/// An alias of domain 1.
pub(crate) fn alias(number: u128, local_part: &str, targets: &[&str]) -> Alias {
    Alias {
        id: id(number),
        domain_id: id(1),
        local_part: local_part.into(),
        targets: targets.iter().map(|&target| target.into()).collect(),
        user_id: String::new(),
        keep_copy: false,
    }
}

/// A group of domain 1.
pub(crate) fn group(number: u128, local_part: &str, posting: GroupPosting) -> Group {
    Group {
        id: id(number),
        domain_id: id(1),
        department_id: String::new(),
        local_part: local_part.into(),
        posting: posting.into(),
    }
}

/// A user in a group.
pub(crate) fn member(number: u128, group: u128, user: u128) -> GroupMember {
    GroupMember { user_id: id(user), address: String::new(), ..elsewhere(number, group, "") }
}

/// An address in a group.
pub(crate) fn elsewhere(number: u128, group: u128, address: &str) -> GroupMember {
    let (id, group_id) = (id(number), id(group));
    GroupMember { id, group_id, user_id: String::new(), address: address.into() }
}

/// The same in another group, by a number of its own that is greater by 100.
pub(crate) fn in_group(member: &GroupMember, group: u128) -> GroupMember {
    let number = Uuid::parse_str(&member.id).unwrap().as_u128() + 100;
    GroupMember { id: id(number), group_id: id(group), ..member.clone() }
}

/// What is answered for this user from now on.
pub(crate) fn autoreply(user: u128, text: &str) -> Autoreply {
    Autoreply {
        user_id: id(user),
        subject: String::new(),
        text: text.into(),
        starts_at_seconds: 0,
        ends_at_seconds: 0,
        other_local_parts: Vec::new(),
    }
}

/// A storage node.
pub(crate) fn storage(node_id: &str, name: &str, address: &str) -> StorageNode {
    StorageNode { id: node_id.into(), name: name.into(), address: address.into() }
}

/// A password of this user, argon2id.
pub(crate) fn password(number: u128, user: u128, password: &str) -> Credential {
    let params = Params::new(8192, 1, 1, None).unwrap();
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), b"0123456789abcdef")
        .unwrap();
    credential(number, user, CredentialKind::Password, &format!("{{ARGON2ID}}{hash}"))
}

/// An app password of this user.
pub(crate) fn app_password(number: u128, user: u128, password: &str) -> Credential {
    credential(number, user, CredentialKind::AppPassword, &hash("SSHA512", password))
}

/// A hash as Dovecot makes it.
pub(crate) fn hash(scheme: &str, password: &str) -> String {
    let output = std::process::Command::new("doveadm")
        .args(["pw", "-s", scheme, "-p", password])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A password or an app password of this user.
pub(crate) fn credential(number: u128, user: u128, kind: CredentialKind, hash: &str) -> Credential {
    Credential {
        id: id(number),
        user_id: id(user),
        kind: kind.into(),
        hash: hash.into(),
        functions: ALL,
        expires_at_seconds: 0,
    }
}

/// A row of the stream.
pub(crate) fn row(row: impl Into<RowOf>) -> DirectoryRow {
    DirectoryRow { row: Some(row.into().0) }
}

/// Wraps what [`row`] takes.
pub(crate) struct RowOf(Row);

macro_rules! rows {
    ($($kind:ident),*) => {$(
        impl From<$kind> for RowOf {
            fn from(value: $kind) -> Self {
                Self(Row::$kind(value))
            }
        }
    )*};
}
rows!(
    Domain,
    DomainAlias,
    Department,
    User,
    Plan,
    Alias,
    Group,
    GroupMember,
    Autoreply,
    Credential,
    StorageNode
);

/// Fills a replica with these rows, as version 1.
pub(crate) async fn fill(replica: &Replica, rows: Vec<DirectoryRow>) {
    let begin = SnapshotBegin { epoch: EPOCH.into(), version: 1 };
    let count = rows.len() as u64;
    let mut writer = replica.begin_snapshot(&begin).unwrap();
    writer.add(rows).unwrap();
    writer.finish(&SnapshotEnd { rows: count }).await.unwrap();
}

/// Applies a change on top of what the replica has.
pub(crate) async fn change(replica: &Replica, upserts: Vec<DirectoryRow>) {
    let from_version = replica.position().await.unwrap().unwrap().version;
    let epoch = EPOCH.into();
    let to_version = from_version + 1;
    let delta = Delta { epoch, from_version, to_version, upserts, removals: Vec::new() };
    replica.apply(&delta).await.unwrap();
}

/// Removes a row from what the replica has.
pub(crate) async fn remove(replica: &Replica, kind: RowKind, row: &str) {
    let from_version = replica.position().await.unwrap().unwrap().version;
    let removals = vec![DirectoryKey { kind: kind.into(), id: row.into() }];
    let epoch = EPOCH.into();
    let to_version = from_version + 1;
    let delta = Delta { epoch, from_version, to_version, upserts: Vec::new(), removals };
    replica.apply(&delta).await.unwrap();
}
