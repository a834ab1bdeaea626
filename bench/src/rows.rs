//! A directory to measure with: one domain, ten storage nodes, many users.

use std::process::Command;

use umail_proto::{
    agent::{
        AccountStatus, Credential, CredentialKind, DirectoryRow, Domain, StorageNode, User,
        directory_row::Row,
    },
    functions::Functions,
};
use uuid::Uuid;

use crate::Failure;

/// Id of the one domain.
pub(crate) fn domain_id() -> String {
    id(0, 1)
}

/// An id that sorts by its number.
pub(crate) fn id(kind: u16, number: u64) -> String {
    Uuid::from_u64_pair((u64::from(kind) << 48) | 0x7000, 0x8000_0000_0000_0000 | number)
        .to_string()
}

/// The rows that are there before the users.
pub(crate) fn frame() -> Vec<DirectoryRow> {
    let domain = Row::Domain(Domain {
        id: domain_id(),
        name: "example.org".to_owned(),
        status: AccountStatus::Active.into(),
        functions: Functions::ALL.bits(),
        catch_all: String::new(),
        deferred_until_seconds: 0,
    });
    let nodes = (0..10).map(|number| {
        Row::StorageNode(StorageNode {
            id: id(1, number),
            name: format!("storage-{number}"),
            address: format!("10.0.0.{number}"),
        })
    });
    std::iter::once(domain).chain(nodes).map(|row| DirectoryRow { row: Some(row) }).collect()
}

/// The user with this number.
pub(crate) fn user(number: u64, quota_bytes: u64) -> DirectoryRow {
    let user = User {
        id: id(2, number),
        domain_id: domain_id(),
        department_id: String::new(),
        local_part: local_part(number),
        status: AccountStatus::Active.into(),
        functions: Functions::ALL.bits(),
        quota_bytes,
        quota_unlimited: false,
        storage_node_id: id(1, number % 10),
        moving: false,
        plan_id: String::new(),
        sending: None,
    };
    DirectoryRow { row: Some(Row::User(user)) }
}

/// An app password of the user with this number.
pub(crate) fn app_password(number: u64, hash: &str) -> DirectoryRow {
    let credential = Credential {
        id: id(3, number),
        user_id: id(2, number),
        kind: CredentialKind::AppPassword.into(),
        hash: hash.to_owned(),
        functions: Functions::ALL.bits(),
        expires_at_seconds: 0,
    };
    DirectoryRow { row: Some(Row::Credential(credential)) }
}

/// The fast salted hash that app passwords have, made by Dovecot.
pub(crate) fn hash(password: &str) -> Result<String, Failure> {
    let output =
        Command::new("/usr/bin/doveadm").args(["pw", "-s", "SSHA512", "-p", password]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The address of the user with this number.
pub(crate) fn address(number: u64) -> String {
    format!("{}@example.org", local_part(number))
}

fn local_part(number: u64) -> String {
    format!("user{number:07}")
}
