//! A whole fleet: network, server and nodes; dropping it removes all of it.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Because, Result, leftovers, mail::Trust, network::Network, node::Node, rest::Rest,
    server::Server, until,
};
use crate::ensure;

/// How long enrolled nodes may take until the server calls them ready: after a long outage an agent
/// tries again within 30 seconds.
const READY: Duration = Duration::from_secs(40);

/// What a node of the fleet shall be.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Name of the node.
    pub name: &'static str,
    /// Its roles, as the API spells them.
    pub roles: &'static [&'static str],
}

/// One SMTP node, one POP node, two storage nodes.
pub const FOUR_NODES: &[NodePlan] = &[
    NodePlan { name: "smtp-1", roles: &["smtp"] },
    NodePlan { name: "pop-1", roles: &["pop"] },
    NodePlan { name: "storage-1", roles: &["storage"] },
    NodePlan { name: "storage-2", roles: &["storage"] },
];

/// One node that does everything.
pub const SINGLE_NODE: &[NodePlan] =
    &[NodePlan { name: "mail-1", roles: &["smtp", "pop", "storage"] }];

/// A running fleet.
#[derive(Debug)]
pub struct Fleet {
    /// The server.
    pub server: Server,
    /// The nodes, in the order of the plan.
    pub nodes: Vec<Node>,
    network: Network,
    folder: PathBuf,
}

impl Fleet {
    /// The network and the namespaces of the plan; nothing runs yet.
    pub fn create(plan: &[NodePlan]) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "network namespaces need root");
        let mut network = Network::create()?;
        let folder = leftovers::folder(network.number());
        fs::create_dir_all(&folder)?;
        let server = Server::new(&folder, network.host())?;
        let mut nodes = Vec::new();
        for node in plan {
            let address = network.add(node.name)?;
            let namespace = network.namespace(node.name);
            nodes.push(Node::new(node.name, namespace, address, &folder, server.grpc())?);
        }
        Ok(Self { server, nodes, network, folder })
    }

    /// Enrols every node of the plan and starts its agent.
    pub async fn enrol(&mut self, rest: &Rest, plan: &[NodePlan]) -> Result {
        for (node, plan) in self.nodes.iter_mut().zip(plan) {
            let body = json!({
                "node_name": plan.name, "roles": plan.roles, "expires_in_seconds": 600,
            });
            let token = rest.post("/v1/join_tokens", &body).await?;
            node.join(&token).await?;
            node.start()?;
        }
        Ok(())
    }

    /// Waits until the server calls every node ready.
    pub async fn ready(&mut self, rest: &Rest) -> Result {
        until(READY, async || {
            for node in &mut self.nodes {
                node.check()?;
            }
            let nodes = rest.items("/v1/nodes").await?;
            let late = nodes.iter().find(|node| !is_ready(node));
            Ok(late.map_or(Ok(()), |node| {
                let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
                let (name, status, reason) = (text("name"), text("status"), text("status_reason"));
                Err(format!("{name} is {status}: {reason} {}", node["generation"]))
            }))
        })
        .await
        .because("nodes become ready")
    }

    /// Starts everything: server, operator, nodes.
    pub async fn start(plan: &[NodePlan]) -> Result<(Self, Rest)> {
        let mut fleet = Self::create(plan)?;
        fleet.server.start().await?;
        fleet.server.create_operator().await?;
        let rest = fleet.server.sign_in().await?;
        fleet.enrol(&rest, plan).await?;
        fleet.ready(&rest).await?;
        Ok((fleet, rest))
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        let node = self.nodes.iter().find(|node| node.name() == name);
        node.ok_or_else(|| format!("the fleet has no node {name}").into())
    }

    /// The node of this name, to start and stop.
    pub fn node_mut(&mut self, name: &str) -> Result<&mut Node> {
        let node = self.nodes.iter_mut().find(|node| node.name() == name);
        node.ok_or_else(|| format!("the fleet has no node {name}").into())
    }

    /// Trust in the fleet's own certificate authority, as a mail client of it would have.
    pub fn trust(&self) -> Result<Trust> {
        let node = self.nodes.first().ok_or("the fleet has no node")?;
        Trust::from_file(&node.layout().agent().join("roots.pem"))
    }

    /// The number of the fleet's network.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.network.number()
    }

    /// Keeps copies of every log where a person finds them after a failure.
    pub fn keep_logs(&self, target: &std::path::Path) -> Result {
        fs::create_dir_all(target)?;
        let mut logs = vec![self.server.folder().join("umail-api.log")];
        for node in &self.nodes {
            logs.push(node.folder().join("umail-agent.log"));
            logs.extend(["postfix", "dovecot"].map(|service| node.layout().log(service)));
        }
        for log in logs.iter().filter(|log| log.exists()) {
            let name = log.strip_prefix(&self.folder).unwrap_or(log).to_string_lossy();
            fs::copy(log, target.join(name.replace('/', "_")))?;
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.server.end();
    }
}

fn is_ready(node: &Value) -> bool {
    let generation = &node["generation"];
    node["status"] == "ready" && generation["applied"] == generation["desired"]
}

/// Waits for SIGINT, SIGTERM or SIGHUP.
pub async fn told_to_stop() -> Result {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
