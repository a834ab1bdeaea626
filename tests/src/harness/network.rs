//! A private bridge with one network namespace per node; the host has a leg in it.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    process::Command,
};

use super::{Because, Result, leftovers};
use crate::ensure;

/// How many fleets fit on one machine at a time.
const NETWORKS: u8 = 100;

/// One subnet `10.83.N.0/24`, ours as long as this value lives.
///
/// Whatever runs in it goes with it. The bridge lives in a namespace of its own, so that the host's packet filter does not see it.
#[derive(Debug)]
pub struct Network {
    number: u8,
    nodes: u8,
    _claim: UnixListener,
}

impl Network {
    /// Takes the first free subnet, after clearing away what killed runs have left.
    pub fn create() -> Result<Self> {
        leftovers::clear_abandoned();
        let (number, claim) = (0..NETWORKS)
            .find_map(|number| claim(number).map(|claim| (number, claim)))
            .ok_or("every subnet from 10.83.0.0/24 on is in use by another fleet")?;
        leftovers::clear(number);
        let network = Self { number, nodes: 0, _claim: claim };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Result {
        let (hub, number) = (namespace(self.number, "hub"), self.number);
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link set lo up"))?;
        ip(&format!("-n {hub} link add bridge type bridge forward_delay 0"))?;
        ip(&format!("-n {hub} link set bridge up"))?;
        ip(&format!("link add um{number}h type veth peer name host netns {hub}"))?;
        ip(&format!("-n {hub} link set host master bridge up"))?;
        ip(&format!("addr add {}/24 dev um{number}h", self.host()))?;
        ip(&format!("link set um{number}h up"))
    }

    /// Adds a namespace with a leg in the bridge and returns its address.
    pub fn add(&mut self, name: &str) -> Result<IpAddr> {
        let (hub, node) = (namespace(self.number, "hub"), self.namespace(name));
        self.nodes += 1;
        let (port, address) = (format!("port{}", self.nodes), self.address(10 + self.nodes));
        ip(&format!("netns add {node}"))?;
        ip(&format!("-n {node} link set lo up"))?;
        ip(&format!("-n {hub} link add {port} type veth peer name eth0 netns {node}"))?;
        ip(&format!("-n {hub} link set {port} master bridge up"))?;
        ip(&format!("-n {node} addr add {address}/24 dev eth0"))?;
        ip(&format!("-n {node} link set eth0 up"))?;
        Ok(address)
    }

    /// The number of this subnet; names of namespaces and folders contain it.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Name of the namespace of a node.
    #[must_use]
    pub fn namespace(&self, node: &str) -> String {
        namespace(self.number, node)
    }

    /// The host's address on the bridge.
    #[must_use]
    pub fn host(&self) -> IpAddr {
        self.address(1)
    }

    const fn address(&self, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 83, self.number, host))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        leftovers::clear(self.number);
    }
}

/// A subnet's claim: a name in the kernel that goes with the process that holds it.
pub(super) fn claim(number: u8) -> Option<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("umail-fleet-{number}")).ok()?;
    UnixListener::bind_addr(&name).ok()
}

/// Name of the namespace of a node of a subnet.
pub(super) fn namespace(number: u8, node: &str) -> String {
    format!("umail-{number}-{node}")
}

/// Runs `ip` with these words.
pub(super) fn ip(words: &str) -> Result {
    let output = Command::new("ip").args(words.split(' ')).output().because("ip")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {words}: {}", complaint.trim());
    Ok(())
}
