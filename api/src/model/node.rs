//! Mail nodes, their roles, their services and the listeners of these.

use std::{net::IpAddr, str::FromStr};

use serde::Serialize;
use time::OffsetDateTime;
use umail_proto::ids::NodeId;

pub use umail_api_types::{
    nodes::{NodeStatus, Role},
    services::{Listener, ServiceHealth, ServiceKind},
};

/// Whether a node with these roles has the service. A node that takes submissions needs
/// Dovecot to check passwords, though it listens on nothing.
#[must_use]
pub fn needs(roles: &[Role], service: ServiceKind) -> bool {
    match service {
        ServiceKind::Postfix => roles.contains(&Role::Smtp),
        ServiceKind::Dovecot => !roles.is_empty(),
    }
}

/// The listeners that the service may have on a node with these roles, in order.
#[must_use]
pub fn available_listeners(roles: &[Role], service: ServiceKind) -> Vec<Listener> {
    let belongs = |one: Listener| match (service, one) {
        (ServiceKind::Postfix, Listener::Smtp | Listener::Submission) => {
            roles.contains(&Role::Smtp)
        }
        (ServiceKind::Dovecot, Listener::Pop3 | Listener::Imap) => {
            roles.contains(&Role::Pop) || roles.contains(&Role::Storage)
        }
        (ServiceKind::Dovecot, Listener::Lmtp) => roles.contains(&Role::Storage),
        _ => false,
    };
    Listener::ALL.iter().copied().filter(|one| belongs(*one)).collect()
}

/// A mail node, as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its name: a host name, unique in the fleet.
    pub name: String,
    /// Under which other nodes reach it.
    pub address: IpAddr,
    /// What it is for; sorted.
    pub roles: Vec<Role>,
    /// Whether it may take new users.
    pub eligible: bool,
    /// Of its desired state.
    pub generation: i64,
    /// When it lost its right to connect.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// Of this row.
    pub revision: i64,
    /// When it enrolled first.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When this row changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A service of a node, as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Whose it is.
    pub node: NodeId,
    /// Which daemon.
    pub kind: ServiceKind,
    /// Whether it shall run.
    pub running: bool,
    /// It is restarted once whenever this has grown.
    pub restarts: i64,
    /// The listeners that shall be open; sorted.
    pub listeners: Vec<Listener>,
    /// Of this row.
    pub revision: i64,
}

impl Service {
    /// The services of a new node: all that its roles need, everything open.
    pub fn defaults(node: NodeId, roles: &[Role]) -> impl Iterator<Item = Self> {
        let kinds = ServiceKind::ALL.iter().filter(|kind| needs(roles, **kind));
        kinds.map(move |kind| Self {
            node,
            kind: *kind,
            running: true,
            restarts: 0,
            listeners: available_listeners(roles, *kind),
            revision: 1,
        })
    }
}

/// A node by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeRef {
    /// By id.
    Id(NodeId),
    /// By name.
    Name(String),
}

impl FromStr for NodeRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => parse_name(text).map(Self::Name),
        }
    }
}

/// Reads the name of a node: a host name in lower case that no other machine of ours has.
pub fn parse_name(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > 200 || !text.split('.').all(is_label) {
        return Err("must be a host name in lower case".to_owned());
    }
    // Certificates name servers and nodes under these names.
    if text == "umail-api" || text.split('.').next_back() == Some("umail") {
        return Err("is reserved".to_owned());
    }
    // Nodes may be asked for by id or by name.
    if text.parse::<NodeId>().is_ok() {
        return Err("must not be an id".to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err("must not be an address".to_owned());
    }
    Ok(text.to_owned())
}

/// Takes roles: at least one, each once; gives them sorted.
pub fn check_roles(roles: &[Role]) -> Result<Vec<Role>, String> {
    let count = roles.len();
    let mut roles = roles.to_vec();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() || roles.len() != count {
        return Err("must name at least one role, and each once".to_owned());
    }
    Ok(roles)
}

/// Takes listeners: each once, and none that is not available; gives them sorted.
pub fn check_listeners(
    listeners: &[Listener],
    available: &[Listener],
) -> Result<Vec<Listener>, String> {
    let count = listeners.len();
    let mut listeners = listeners.to_vec();
    listeners.sort_unstable();
    listeners.dedup();
    if listeners.len() != count {
        return Err("must name each listener once".to_owned());
    }
    match listeners.iter().find(|one| !available.contains(one)) {
        Some(one) => Err(format!("{} is not available here", one.name())),
        None => Ok(listeners),
    }
}

/// Reads the address of a node: one that other machines can reach, or loopback for tests.
pub fn parse_address(text: &str) -> Result<IpAddr, String> {
    let address: Option<IpAddr> = text.parse().ok();
    let address = address.filter(|one| !one.is_unspecified() && !one.is_multicast());
    address.ok_or_else(|| "must be the IP address of a machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_decide_services_and_listeners() {
        use Listener::{Imap, Lmtp, Pop3, Smtp, Submission};
        for (roles, postfix, dovecot) in [
            (vec![Role::Smtp], vec![Smtp, Submission], vec![]),
            (vec![Role::Pop], vec![], vec![Pop3, Imap]),
            (vec![Role::Storage], vec![], vec![Pop3, Imap, Lmtp]),
            (Role::ALL.to_vec(), vec![Smtp, Submission], vec![Pop3, Imap, Lmtp]),
        ] {
            assert_eq!(available_listeners(&roles, ServiceKind::Postfix), postfix);
            assert_eq!(available_listeners(&roles, ServiceKind::Dovecot), dovecot);
            assert_eq!(needs(&roles, ServiceKind::Postfix), !postfix.is_empty());
        }
    }

    #[test]
    fn names_that_certificates_use_are_reserved() {
        for good in ["mx-1", "mx-1.example.org", "a1"] {
            assert_eq!(parse_name(good).unwrap(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a..b",
            "a.",
            "ä",
            "a b",
            "umail-api",
            "x.node.umail",
            "10.0.0.1",
            "10",
            "01890000-0000-7000-8000-000000000000",
            "01890000000070008000000000000000",
        ] {
            assert!(parse_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn roles_are_named_once_and_sorted() {
        use Role::{Smtp, Storage};
        assert_eq!(check_roles(&[Storage, Smtp]).unwrap(), [Smtp, Storage]);
        assert!(check_roles(&[]).is_err());
        assert!(check_roles(&[Smtp, Smtp]).is_err());
    }

    #[test]
    fn listeners_are_some_of_those_available() {
        use Listener::{Imap, Lmtp, Pop3};
        assert_eq!(check_listeners(&[Imap, Pop3], &[Pop3, Imap]).unwrap(), [Pop3, Imap]);
        assert_eq!(check_listeners(&[], &[Pop3]).unwrap(), []);
        assert!(check_listeners(&[Pop3, Pop3], &[Pop3]).is_err());
        assert!(check_listeners(&[Lmtp], &[Pop3]).is_err());
    }
}
