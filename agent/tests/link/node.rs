//! One node for one test: a folder, a fake service, and an agent that can be started again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use umail_agent::{
    agent::Agent,
    config::Config,
    layout::Layout,
    state::{Pace, State},
};
use umail_proto::{
    agent::{
        Delta, DesiredService, DesiredState, DirectoryRow, Domain, ListenerKind, MailSettings,
        Role, ServiceKind, SnapshotBegin, SnapshotChunk, SnapshotEnd, directory_row::Row,
        watch_directory_response::Event,
    },
    clock::Clock,
};

use crate::{
    fake::{Counted, Fake},
    server::{Script, Server},
};

pub(crate) const NODE: &str = "0198c0de-0000-7000-8000-000000000001";
pub(crate) const EPOCH: &str = "3f1f2ee0-53c6-4b5e-9d3c-6f4f0c1f0001";
pub(crate) const NEXT_EPOCH: &str = "3f1f2ee0-53c6-4b5e-9d3c-6f4f0c1f0002";

pub(crate) struct Node {
    pub(crate) folder: TempDir,
    pub(crate) script: Arc<Script>,
    pub(crate) clock: Clock,
    pub(crate) service: Fake,
    pub(crate) verbs: Counted,
    pub(crate) pace: Pace,
}

impl Node {
    /// A node that has joined, with a certificate that is good for that long.
    pub(crate) fn joined(good_for: time::Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Script::new();
        let layout = Layout::new(folder.path());
        std::fs::create_dir_all(layout.agent()).unwrap();
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        let certificate = script.authority.node(request.der(), NODE, good_for);
        for (name, content) in [
            ("node.key", key.serialize_pem()),
            ("node.pem", certificate.chain_pem),
            ("roots.pem", certificate.roots_pem),
            ("node-id", NODE.to_owned()),
        ] {
            std::fs::write(layout.agent().join(name), content).unwrap();
        }
        let clock = Clock::manual(Clock::system().now());
        let (service, verbs) = (Fake::default(), Counted::default());
        Self { folder, script, clock, service, verbs, pace: fast() }
    }

    /// A node whose certificate is good for a day.
    pub(crate) fn new() -> Self {
        Self::joined(time::Duration::hours(24))
    }

    /// Starts the agent, connected to this server.
    pub(crate) async fn start(&self, server: &Server) -> Agent {
        self.start_with(&[server.address]).await
    }

    /// Starts the agent with these servers.
    pub(crate) async fn start_with(&self, servers: &[SocketAddr]) -> Agent {
        let config = config(&self.folder, servers);
        let agent = Agent::open(config, self.clock.clone(), self.pace).await.unwrap();
        agent.start(vec![Arc::new(self.service.clone())], Arc::new(self.verbs.clone()));
        agent
    }
}

pub(crate) fn config(folder: &TempDir, servers: &[SocketAddr]) -> Config {
    let servers: Vec<_> = servers.iter().map(|server| format!("'https://{server}'")).collect();
    toml::from_str(&format!(
        "data_dir = '{}'\nservers = [{}]\naddress = '127.0.0.1'\nmetrics_port = 0\n\
         supervisor = 'direct'\n",
        folder.path().display(),
        servers.join(",")
    ))
    .unwrap()
}

/// The same agent, in less time.
fn fast() -> Pace {
    Pace {
        heartbeat: Duration::from_millis(100),
        call_limit: Duration::from_secs(3),
        report: Duration::from_millis(300),
        pause: (Duration::from_millis(20), Duration::from_millis(200)),
        observe: Duration::from_millis(100),
        reconcile_full: Duration::from_millis(500),
        reconcile_retry: Duration::from_millis(200),
        renewal: Duration::from_millis(100),
        check_replica: Duration::from_millis(200),
        snapshot_rows_max: 1_000,
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("in vain: {what}");
}

/// Long enough for whatever must not happen to happen.
pub(crate) async fn a_while() {
    tokio::time::sleep(Duration::from_millis(600)).await;
}

/// A state with a running Postfix with these listeners.
pub(crate) fn desired(generation: u64, listeners: &[ListenerKind]) -> DesiredState {
    DesiredState {
        epoch: EPOCH.to_owned(),
        generation,
        node_id: NODE.to_owned(),
        node_name: "mx-1".to_owned(),
        roles: vec![Role::Smtp.into()],
        services: vec![DesiredService {
            kind: ServiceKind::Postfix.into(),
            running: true,
            restarts: 0,
            listeners: listeners.iter().map(|listener| (*listener).into()).collect(),
        }],
        settings: Some(MailSettings { hostname: "mx-1".to_owned(), ..MailSettings::default() }),
        ..DesiredState::default()
    }
}

/// Domains with these names, whose ids end in them too.
pub(crate) fn domains(names: &[&str]) -> Vec<DirectoryRow> {
    let row = |name: &&str| DirectoryRow {
        row: Some(Row::Domain(Domain {
            id: domain_id(name),
            name: (*name).to_owned(),
            status: 1,
            functions: 63,
            catch_all: String::new(),
            deferred_until_seconds: 0,
        })),
    };
    names.iter().map(row).collect()
}

pub(crate) fn domain_id(name: &str) -> String {
    let number = name.bytes().fold(0_u64, |sum, byte| sum * 31 % 0xffff_ffff + u64::from(byte));
    format!("0198c0de-0000-7000-8000-{number:012x}")
}

/// A whole snapshot.
pub(crate) fn snapshot(epoch: &str, version: u64, names: &[&str]) -> Vec<Event> {
    vec![
        Event::SnapshotBegin(SnapshotBegin { epoch: epoch.to_owned(), version }),
        Event::SnapshotChunk(SnapshotChunk { rows: domains(names) }),
        Event::SnapshotEnd(SnapshotEnd { rows: names.len() as u64 }),
    ]
}

/// A delta that adds domains.
pub(crate) fn delta(from_version: u64, to_version: u64, names: &[&str]) -> Event {
    Event::Delta(Delta {
        epoch: EPOCH.to_owned(),
        from_version,
        to_version,
        upserts: domains(names),
        removals: vec![],
    })
}

/// Where the replica stands; 0 when it is empty.
pub(crate) async fn version(state: &State) -> u64 {
    state.replica.position().await.unwrap().map_or(0, |position| position.version)
}
