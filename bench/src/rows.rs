//! A directory to measure with: one domain, ten storage nodes, many users.

use umail_proto::agent::{
    AccountStatus, DirectoryRow, Domain, StorageNode, User, directory_row::Row,
};
use uuid::Uuid;

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
        functions: 63,
        catch_all: String::new(),
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
        local_part: format!("user{number:07}"),
        status: AccountStatus::Active.into(),
        functions: 63,
        quota_bytes,
        quota_unlimited: false,
        storage_node_id: id(1, number % 10),
        moving: false,
        plan_id: String::new(),
    };
    DirectoryRow { row: Some(Row::User(user)) }
}
