//! What a desired state says, checked: nothing that the server sends becomes configuration as it is.

use std::{net::IpAddr, path::Path};

use umail_proto::agent::{DesiredState, Role};
use uuid::Uuid;

use super::Refusal;

/// The size limit of messages where the server names none.
const DEFAULT_MESSAGE_SIZE_LIMIT_BYTES: u64 = 50 << 20;

/// Settings of the node in forms that cannot break out of a line of configuration.
#[derive(Debug)]
pub(super) struct Settings {
    /// This node's id, hyphenated.
    pub(super) node_id: String,
    /// The name that the daemons greet with.
    pub(super) hostname: String,
    /// Larger messages are refused.
    pub(super) message_size_limit_bytes: u64,
    /// The other nodes.
    pub(super) peers: Vec<(IpAddr, Vec<Role>)>,
}

impl Settings {
    /// Reads them from a state; a refusal names what is not in its narrow form.
    pub(super) fn read(desired: &DesiredState) -> Result<Self, Refusal> {
        let node_id = Uuid::parse_str(&desired.node_id)
            .map_err(|error| Refusal(format!("node id {:?}: {error}", desired.node_id)))?;
        let settings = desired.settings.clone().unwrap_or_default();
        let named = [settings.hostname, desired.node_name.clone()];
        let hostname = named.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        if !is_hostname(&hostname) {
            return Err(Refusal(format!("hostname {hostname:?} is not a host name")));
        }
        let mut peers = Vec::new();
        for peer in &desired.peers {
            let address = peer.address.parse();
            let address = address.map_err(|error| {
                Refusal(format!("address {:?} of a peer: {error}", peer.address))
            })?;
            peers.push((address, peer.roles().collect()));
        }
        Ok(Self {
            node_id: node_id.hyphenated().to_string(),
            hostname,
            message_size_limit_bytes: match settings.message_size_limit_bytes {
                0 => DEFAULT_MESSAGE_SIZE_LIMIT_BYTES,
                bytes => bytes.min(i64::MAX.unsigned_abs()),
            },
            peers,
        })
    }

    /// Addresses of the peers that have one of these roles, sorted.
    pub(super) fn peers_with(&self, roles: &[Role]) -> Vec<IpAddr> {
        let with =
            |(_address, has): &&(IpAddr, Vec<Role>)| has.iter().any(|one| roles.contains(one));
        let mut found: Vec<IpAddr> =
            self.peers.iter().filter(with).map(|(ip, _roles)| *ip).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Paths stand in configuration without quotes.
pub(super) fn plain(path: &Path) -> Result<&str, Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    path.to_str().filter(|text| text.bytes().all(allowed) && text.starts_with('/')).ok_or_else(
        || {
            Refusal(format!(
                "path {} has characters that configuration cannot hold",
                path.display()
            ))
        },
    )
}

fn is_hostname(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(allowed) && !label.starts_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use umail_proto::agent::{MailSettings, Peer};

    use super::*;

    fn state(hostname: &str, peer: &str) -> DesiredState {
        DesiredState {
            node_id: Uuid::nil().to_string(),
            settings: Some(MailSettings { hostname: hostname.into(), ..MailSettings::default() }),
            peers: vec![Peer { address: peer.into(), ..Peer::default() }],
            ..DesiredState::default()
        }
    }

    #[test]
    fn a_host_name_cannot_carry_configuration() {
        assert!(Settings::read(&state("mx-1.example.org", "10.0.0.1")).is_ok());
        for hostile in ["a\nmynetworks = 0.0.0.0/0", "a b", "$x", "", "-a", "a..b", "a{b}", "a;b"] {
            assert!(Settings::read(&state(hostile, "10.0.0.1")).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn an_address_of_a_peer_cannot_carry_sql() {
        assert!(Settings::read(&state("a", "fd00::1")).is_ok());
        assert!(Settings::read(&state("a", "1.2.3.4') OR ('1'='1")).is_err());
    }

    #[test]
    fn paths_with_other_characters_are_refused() {
        assert!(plain(Path::new("/var/lib/umail-agent")).is_ok());
        for hostile in ["/a b", "/a'b", "/a%u", "a/b", "/a\nb", "/a$b"] {
            assert!(plain(Path::new(hostile)).is_err(), "{hostile:?}");
        }
    }
}
