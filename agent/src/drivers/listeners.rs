//! Listeners: which ones a state wants, and which ports of this machine are open.

use std::net::IpAddr;

use procfs::net::{TcpNetEntry, TcpState};
use umail_proto::agent::{DesiredState, ListenerKind, Role, ServiceKind};

/// Whether the node has this role.
pub(super) fn has_role(desired: &DesiredState, role: Role) -> bool {
    desired.roles().any(|one| one == role)
}

/// Whether this listener of this service shall be open.
pub(super) fn wants(desired: &DesiredState, service: ServiceKind, listener: ListenerKind) -> bool {
    desired
        .services
        .iter()
        .filter(|one| one.kind() == service)
        .any(|one| one.listeners().any(|kind| kind == listener))
}

/// Those of these listeners whose port accepts connections, sorted. Where several nodes share a
/// machine, only `addresses` count; empty means all.
pub(super) fn open(ports: &[(ListenerKind, u16)], addresses: &[IpAddr]) -> Vec<ListenerKind> {
    // A machine without IPv6 has no second table.
    let entries = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let listening = |entry: TcpNetEntry| {
        let (ip, port) = (entry.local_address.ip(), entry.local_address.port());
        let is_ours = addresses.is_empty() || ip.is_unspecified() || addresses.contains(&ip);
        (entry.state == TcpState::Listen && is_ours).then_some(port)
    };
    let listening: Vec<u16> = entries.filter_map(listening).collect();
    let mut open: Vec<ListenerKind> = ports
        .iter()
        .filter(|(_kind, port)| listening.contains(port))
        .map(|(kind, _port)| *kind)
        .collect();
    open.sort_by_key(|kind| *kind as i32);
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_open_while_somebody_listens() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ports = [(ListenerKind::Imap, socket.local_addr().unwrap().port())];
        assert_eq!(open(&ports, &[]), [ListenerKind::Imap]);
        assert_eq!(open(&ports, &["127.0.0.1".parse().unwrap()]), [ListenerKind::Imap]);
        assert_eq!(open(&ports, &["127.0.0.9".parse().unwrap()]), []);
        drop(socket);
        assert_eq!(open(&ports, &[]), []);
    }
}
