//! A mail node on an address of loopback: a real agent with its Postfix and Dovecot, or these alone.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use umail_agent::{
    config::Config,
    drivers::{Driver as _, dovecot::Dovecot, postfix::Postfix},
    layout::Layout,
    supervisors::direct::Direct,
};
use umail_proto::agent::{DesiredService, DesiredState, ListenerKind, Role, ServiceKind};

use crate::{
    Failure,
    server::{Process, Server, free_port, program},
};

/// How long enrolled nodes may take until the server calls them ready.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// Ports of the mail listeners, the same on every node of a fleet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// POP3 without TLS.
    pub(crate) pop3: u16,
    others: [u16; 6],
}

impl Ports {
    /// Ports that were free a moment ago.
    pub(crate) fn free() -> Result<Self, Failure> {
        let mut others = [0; 6];
        for port in &mut others {
            *port = free_port()?;
        }
        Ok(Self { pop3: free_port()?, others })
    }
}

/// A node; its agent and its daemons are gone when it is dropped.
pub(crate) struct Node {
    agent: Option<Process>,
    layout: Layout,
}

impl Node {
    /// Enrols a node of this role and starts its agent.
    pub(crate) async fn join(
        server: &Server,
        role: &str,
        address: IpAddr,
        ports: Ports,
    ) -> Result<Self, Failure> {
        let name = format!("bench-{role}");
        let layout = Layout::new(server.folder().join(&name));
        fs::create_dir_all(layout.root())?;
        let config = server.folder().join(format!("{name}.toml"));
        fs::write(&config, config_text(&layout, server.grpc_port, address, ports)?)?;
        let body = json!({ "node_name": name, "roles": [role] });
        let token = server.send(Method::POST, "/v1/join_tokens", Some(body)).await?;
        let field = |name: &str| token.get(name).and_then(Value::as_str).unwrap_or_default();
        let joined = agent(&config)?
            .args(["join", "--name", &name, "--token", field("token")])
            .args(["--ca-fingerprint", field("ca_fingerprint")])
            .stdout(Stdio::null())
            .status()?;
        if !joined.success() {
            return Err(format!("umail-agent join failed for {name}").into());
        }
        let log = fs::File::create(layout.root().join("umail-agent.log"))?;
        let mut run = agent(&config)?;
        let agent = Process::start(run.arg("run").stdout(log.try_clone()?).stderr(log))?;
        Ok(Self { agent: Some(agent), layout })
    }

    /// Where the node's files lie.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// Waits until so many nodes do what is wanted of them.
pub(crate) async fn wait_until_ready(server: &Server, count: usize) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let nodes = server.send(Method::GET, "/v1/nodes", None).await?;
        let nodes = nodes.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        if nodes.iter().filter(|node| is_ready(node)).count() == count {
            return Ok(());
        }
        if started.elapsed() > READY_LIMIT {
            return Err(format!("the nodes do not become ready: {}", Value::from(nodes)).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_ready(node: &Value) -> bool {
    let generation = |name| node.pointer(name).and_then(Value::as_i64);
    node.get("status").and_then(Value::as_str) == Some("ready")
        && generation("/generation/applied") == generation("/generation/desired")
}

fn agent(config: &Path) -> Result<Command, Failure> {
    let mut command = Command::new(program("umail-agent")?);
    command.arg("--config").arg(config);
    Ok(command)
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.agent.take());
        stop_daemons(&self.layout);
    }
}

fn config_text(
    layout: &Layout,
    server_port: u16,
    address: IpAddr,
    ports: Ports,
) -> Result<String, Failure> {
    let mut config = format!(
        "data_dir = \"{}\"\nservers = [\"https://127.0.0.1:{server_port}\"]\n\
         address = \"{address}\"\nlisten = [\"{address}\"]\nsupervisor = \"direct\"\n\
         peer_port = {}\nmetrics_port = 0\n[ports]\npop3 = {}\n",
        layout.root().display(),
        free_port()?,
        ports.pop3,
    );
    let others = ["smtp", "submission", "pop3s", "imap", "imaps", "lmtp"];
    for (name, port) in others.iter().zip(ports.others) {
        writeln!(config, "{name} = {port}")?;
    }
    Ok(config)
}

/// What an agent would have installed on a node of all roles, and a running Dovecot, but no agent:
/// whoever measures writes the replica.
pub(crate) struct Daemons {
    layout: Layout,
}

impl Daemons {
    /// Installs the configuration and starts Dovecot. The replica is there already.
    pub(crate) async fn start(layout: &Layout, node_id: &str) -> Result<Self, Failure> {
        let file = layout.root().join("agent.toml");
        fs::write(&file, config_text(layout, 1, Ipv4Addr::LOCALHOST.into(), Ports::free()?)?)?;
        let config = Config::load(&file)?;
        let desired = desired(node_id);
        let supervisor = Arc::new(Direct::new(layout.clone()));
        let daemons = Self { layout: layout.clone() };
        Postfix::new(layout.clone(), &config, supervisor.clone()).configure(&desired).await?;
        let dovecot = Dovecot::new(layout.clone(), &config, supervisor);
        dovecot.configure(&desired).await?;
        dovecot.start().await?;
        Ok(daemons)
    }

    /// Fails with the first line of Dovecot's log that tells of an error.
    pub(crate) fn check_log(&self) -> Result<(), Failure> {
        let log = String::from_utf8_lossy(&fs::read(self.layout.log("dovecot"))?).into_owned();
        let bad = ["Fatal:", "Panic:", "Error:", "locked"];
        match log.lines().find(|line| bad.iter().any(|word| line.contains(word))) {
            None => Ok(()),
            Some(line) => Err(format!("Dovecot: {line}").into()),
        }
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        stop_daemons(&self.layout);
    }
}

fn desired(node_id: &str) -> DesiredState {
    let service = |kind: ServiceKind, listeners: &[ListenerKind]| DesiredService {
        kind: kind.into(),
        running: true,
        restarts: 0,
        listeners: listeners.iter().map(|&listener| listener.into()).collect(),
    };
    DesiredState {
        epoch: "bench".to_owned(),
        generation: 1,
        node_id: node_id.to_owned(),
        node_name: "storage-0".to_owned(),
        roles: [Role::Smtp, Role::Pop, Role::Storage].map(Into::into).to_vec(),
        services: vec![
            service(ServiceKind::Postfix, &[ListenerKind::Smtp]),
            service(ServiceKind::Dovecot, &[ListenerKind::Pop3, ListenerKind::Lmtp]),
        ],
        peers: Vec::new(),
        mail_tls: None,
        settings: None,
    }
}

/// Stops Postfix and Dovecot of this layout: on purpose they outlive their agent.
fn stop_daemons(layout: &Layout) {
    let quietly = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
    };
    let postfix = layout.etc("postfix");
    if postfix.exists() {
        quietly(Command::new("/usr/sbin/postfix").arg("-c").arg(postfix).arg("stop"));
    }
    let dovecot = dovecot_conf(layout);
    if dovecot.exists() {
        quietly(Command::new("/usr/bin/doveadm").arg("-c").arg(dovecot).arg("stop"));
    }
}

/// Dovecot's configuration, as the agent renders it.
pub(crate) fn dovecot_conf(layout: &Layout) -> PathBuf {
    layout.etc("dovecot").join("dovecot.conf")
}
