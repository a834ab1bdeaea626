//! Checks a desired state that has arrived: closed sets of values, plausible names, this node's.

use std::net::IpAddr;

use umail_proto::agent::{DesiredService, DesiredState, ListenerKind, Peer, Role, ServiceKind};

/// More nodes than any fleet has.
const PEERS_MAX: usize = 100_000;

/// Says what is wrong with this state; nothing when it may be accepted.
pub fn check(desired: &DesiredState, node_id: &str) -> Result<(), String> {
    if desired.node_id != node_id {
        return Err(format!("it is for node {:?}, this is node {node_id}", desired.node_id));
    }
    if uuid::Uuid::parse_str(&desired.epoch).is_err() {
        return Err(format!("{:?} is not an epoch", desired.epoch));
    }
    if desired.generation == 0 {
        return Err("it has no generation".to_owned());
    }
    roles(&desired.roles)?;
    for (index, service) in desired.services.iter().enumerate() {
        self::service(service)?;
        if desired.services.iter().skip(index + 1).any(|other| other.kind == service.kind) {
            return Err(format!("it names {} twice", service.kind().as_str_name()));
        }
    }
    if desired.peers.len() > PEERS_MAX {
        return Err(format!("it names {} nodes", desired.peers.len()));
    }
    desired.peers.iter().try_for_each(peer)?;
    match &desired.settings {
        Some(settings) if !is_name(&settings.hostname) => {
            Err(format!("{:?} is not a host name", settings.hostname))
        }
        Some(settings) if settings.postmaster_address.chars().any(char::is_control) => {
            Err("the postmaster's address has control characters".to_owned())
        }
        Some(_) => Ok(()),
        None => Err("it has no settings".to_owned()),
    }
}

fn roles(roles: &[i32]) -> Result<(), String> {
    let known = |role: &i32| matches!(Role::try_from(*role), Ok(role) if role != Role::Unspecified);
    match roles.iter().find(|role| !known(role)) {
        Some(role) => Err(format!("there is no role {role}")),
        None => Ok(()),
    }
}

fn service(service: &DesiredService) -> Result<(), String> {
    if service.kind() == ServiceKind::Unspecified {
        return Err(format!("there is no service {}", service.kind));
    }
    for listener in &service.listeners {
        let known = ListenerKind::try_from(*listener).unwrap_or(ListenerKind::Unspecified);
        if !listeners_of(service.kind()).contains(&known) {
            return Err(format!(
                "{} has no listener {listener}",
                service.kind().as_str_name().to_lowercase()
            ));
        }
    }
    Ok(())
}

const fn listeners_of(kind: ServiceKind) -> &'static [ListenerKind] {
    match kind {
        ServiceKind::Postfix => &[ListenerKind::Smtp, ListenerKind::Submission],
        ServiceKind::Dovecot => &[ListenerKind::Pop3, ListenerKind::Imap, ListenerKind::Lmtp],
        ServiceKind::Unspecified => &[],
    }
}

fn peer(peer: &Peer) -> Result<(), String> {
    roles(&peer.roles)?;
    if uuid::Uuid::parse_str(&peer.node_id).is_err() {
        return Err(format!("{:?} is not the id of a node", peer.node_id));
    }
    if !is_name(&peer.name) {
        return Err(format!("{:?} is not the name of a node", peer.name));
    }
    if peer.address.parse::<IpAddr>().is_err() {
        return Err(format!("{:?} is not the address of a node", peer.address));
    }
    Ok(())
}

/// Letters, digits, hyphens and dots; neither a hyphen nor a dot first.
fn is_name(name: &str) -> bool {
    let may = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    name.len() <= 253
        && name.chars().all(may)
        && name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use umail_proto::agent::MailSettings;

    use super::*;

    const NODE: &str = "0198c0de-0000-7000-8000-000000000001";

    type Spoil = fn(&mut DesiredState);

    fn peer(name: &str, address: &str) -> Peer {
        Peer {
            node_id: NODE.to_owned(),
            name: name.to_owned(),
            address: address.to_owned(),
            roles: vec![],
        }
    }

    fn state() -> DesiredState {
        DesiredState {
            epoch: "3f1f2ee0-53c6-4b5e-9d3c-6f4f0c1f0001".to_owned(),
            generation: 1,
            node_id: NODE.to_owned(),
            roles: vec![Role::Smtp.into()],
            services: vec![DesiredService {
                kind: ServiceKind::Postfix.into(),
                running: true,
                listeners: vec![ListenerKind::Smtp.into()],
                ..DesiredService::default()
            }],
            settings: Some(MailSettings { hostname: "mx-1".to_owned(), ..MailSettings::default() }),
            ..DesiredState::default()
        }
    }

    #[test]
    fn a_plausible_state_may_be_accepted() {
        assert_eq!(check(&state(), NODE), Ok(()));
    }

    #[test]
    fn states_that_no_server_sends_are_refused() {
        let cases: [(&str, Spoil); 11] = [
            ("another node", |s| s.node_id = s.epoch.clone()),
            ("no epoch", |s| s.epoch.clear()),
            ("no generation", |s| s.generation = 0),
            ("unknown role", |s| s.roles = vec![77]),
            ("unknown service", |s| s.services[0].kind = 9),
            ("unknown listener", |s| s.services[0].listeners = vec![99]),
            ("another's listener", |s| s.services[0].listeners = vec![3]),
            ("a service twice", |s| s.services.push(s.services[0].clone())),
            ("a name with a line feed", |s| s.peers = vec![peer("a\nb", "10.0.0.1")]),
            ("no address", |s| s.peers = vec![peer("a", "10.0.0.1; reboot")]),
            ("no settings", |s| s.settings = None),
        ];
        for (name, spoil) in cases {
            let mut state = state();
            spoil(&mut state);
            assert!(check(&state, NODE).is_err(), "{name}");
        }
    }
}
