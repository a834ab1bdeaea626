//! A server of agents with all its tasks, and agents that do what a test says.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a harness fails by panicking, where the test can see it"
)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use umail_api::{fleet::roster, grpc, tasks};
use umail_proto::{
    agent::{
        Action, ActionFindings, ActionOutcome, DirectoryRow, HeartbeatRequest, ObservedState,
        ReportActionRequest, ReportStatusRequest, RowKind, WatchActionsRequest,
        WatchDirectoryRequest, WatchDirectoryResponse, action::Verb,
        agent_service_client::AgentServiceClient, directory_row::Row,
        watch_directory_response::Event,
    },
    ids::NodeId,
};
use uuid::Uuid;

use crate::{api::Api, nodes};

/// A server with REST and gRPC, and the tasks between them.
pub struct Server {
    /// The REST side.
    pub api: Api,
    address: SocketAddr,
    stop: CancellationToken,
    running: TaskTracker,
}

impl Server {
    /// Starts it.
    pub async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let api = Api::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, running) = (CancellationToken::new(), TaskTracker::new());
        running.spawn(grpc::serve(api.state.clone(), listener, stop.clone()));
        running.spawn(roster::run(api.state.clone(), stop.clone()));
        tasks::start(&api.state, &running, &stop);
        Self { api, address, stop, running }
    }

    /// Stops it as SIGTERM does, with streams open.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.close();
        timeout(Duration::from_secs(5), self.running.wait()).await.expect("it stops");
    }

    /// A node that has joined and is connected.
    pub async fn agent(&self, name: &str, roles: &[&str]) -> Agent {
        let node = nodes::join(&self.api, name, roles).await;
        Agent::connect(node.id, self.endpoint(Some(&node))).await
    }

    /// Where a node connects to, or who shows no certificate.
    #[must_use]
    pub fn endpoint(&self, node: Option<&nodes::Node>) -> Endpoint {
        let roots = Certificate::from_pem(self.api.state.authority().roots_pem());
        let tls = ClientTlsConfig::new().ca_certificate(roots).domain_name("umail-api");
        let tls = match node {
            Some(node) => {
                tls.identity(Identity::from_pem(&node.chain_pem, node.key.serialize_pem()))
            }
            None => tls,
        };
        let endpoint = Channel::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls).unwrap()
    }
}

/// A node as a test plays it. What it does by itself ends when it is dropped.
pub struct Agent {
    /// Who it is.
    pub id: NodeId,
    /// Its calls.
    pub client: AgentServiceClient<Channel>,
    /// Its start.
    pub boot: String,
    endpoint: Endpoint,
    replica: Arc<Mutex<Replica>>,
    running: TaskTracker,
    stop: CancellationToken,
}

/// What a node has of the directory.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    /// The life of the database; empty before the first snapshot.
    pub epoch: String,
    /// The version.
    pub version: u64,
    /// The rows by kind and id.
    pub rows: BTreeMap<(RowKind, String), DirectoryRow>,
    /// Snapshots that came.
    pub snapshots: u32,
    staged: Option<BTreeMap<(RowKind, String), DirectoryRow>>,
}

/// How an agent answers an action.
pub type Script = dyn Fn(&Verb, &Replica) -> (ActionOutcome, ActionFindings) + Send + Sync;

impl Agent {
    async fn connect(id: NodeId, endpoint: Endpoint) -> Self {
        let channel = endpoint.connect().await.unwrap();
        Self {
            id,
            client: AgentServiceClient::new(channel),
            boot: Uuid::new_v4().to_string(),
            endpoint,
            replica: Arc::default(),
            running: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Another agent that shows the same certificate, on a connection of its own.
    pub async fn twin(&self) -> Self {
        Self::connect(self.id, self.endpoint.clone()).await
    }

    /// What the heartbeat of an agent that has just started says.
    #[must_use]
    pub fn beat(&self) -> HeartbeatRequest {
        HeartbeatRequest { boot: self.boot.clone(), ..HeartbeatRequest::default() }
    }

    /// What it has of the directory now.
    #[must_use]
    pub fn replica(&self) -> Replica {
        self.replica.lock().unwrap().clone()
    }

    /// Follows the directory from now on, and says by heartbeats how far it has come.
    pub async fn follow(&self) {
        self.follow_from(String::new(), 0).await;
    }

    /// Follows the directory from a version that it claims to have.
    pub async fn follow_from(&self, epoch: String, version: u64) {
        let mut client = self.client.clone();
        let request = WatchDirectoryRequest { epoch, version, schema: 1 };
        let mut stream = client.watch_directory(request).await.unwrap().into_inner();
        let (replica, boot) = (Arc::clone(&self.replica), self.boot.clone());
        let follow = async move {
            let mut sequence = 0;
            while let Ok(Some(message)) = stream.message().await {
                let position = {
                    let mut replica = replica.lock().unwrap();
                    replica.apply(message);
                    (replica.epoch.clone(), replica.version)
                };
                sequence += 1;
                let state = ObservedState {
                    boot: boot.clone(),
                    sequence,
                    epoch: position.0,
                    directory_version: position.1,
                    ..ObservedState::default()
                };
                let _ = client.report_status(ReportStatusRequest { state: Some(state) }).await;
            }
        };
        let stop = self.stop.clone();
        self.running.spawn(async move { stop.run_until_cancelled(follow).await });
        let (mut client, boot) = (self.client.clone(), self.boot.clone());
        let replica = Arc::clone(&self.replica);
        let beat = async move {
            loop {
                let directory_version = replica.lock().unwrap().version;
                let boot = boot.clone();
                let beat = HeartbeatRequest { boot, directory_version, generation: 0 };
                let _ = client.heartbeat(beat).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let stop = self.stop.clone();
        self.running.spawn(async move { stop.run_until_cancelled(beat).await });
    }

    /// Answers every action by a script, and returns the list that fills with what it was asked.
    pub async fn obey(&self, script: Arc<Script>) -> Arc<Mutex<Vec<Action>>> {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut client = self.client.clone();
        let mut stream = client.watch_actions(WatchActionsRequest {}).await.unwrap().into_inner();
        let (list, replica) = (Arc::clone(&asked), Arc::clone(&self.replica));
        let obey = async move {
            while let Ok(Some(message)) = stream.message().await {
                let action = message.action.unwrap();
                let verb = action.verb.clone().unwrap();
                let (outcome, findings) = script(&verb, &replica.lock().unwrap());
                list.lock().unwrap().push(action.clone());
                let report = ReportActionRequest {
                    action_id: action.action_id,
                    outcome: outcome.into(),
                    detail: "as the test says".to_owned(),
                    findings: Some(findings),
                };
                let _ = client.report_action(report).await;
            }
        };
        let stop = self.stop.clone();
        self.running.spawn(async move { stop.run_until_cancelled(obey).await });
        asked
    }

    /// Waits until the replica is as wanted.
    pub async fn until(&self, wanted: impl Fn(&Replica) -> bool) {
        self.until_within(Duration::from_secs(10), wanted).await;
    }

    /// The same, for at most so long.
    pub async fn until_within(&self, limit: Duration, wanted: impl Fn(&Replica) -> bool) {
        let reached = async {
            while !wanted(&self.replica.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = timeout(limit, reached).await;
        assert!(reached.is_ok(), "the replica does not get there: {:#?}", self.replica());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Replica {
    /// Whether it has a row.
    #[must_use]
    pub fn has(&self, kind: RowKind, id: impl Into<Uuid>) -> bool {
        self.rows.contains_key(&(kind, id.into().to_string()))
    }

    /// The user of this id.
    #[must_use]
    pub fn user(&self, id: &str) -> Option<&umail_proto::agent::User> {
        match self.rows.get(&(RowKind::User, id.to_owned()))?.row.as_ref()? {
            Row::User(user) => Some(user),
            _ => None,
        }
    }

    /// Takes a message as an agent does, and refuses what does not follow.
    pub fn apply(&mut self, message: WatchDirectoryResponse) {
        match message.event.unwrap() {
            Event::SnapshotBegin(begin) => {
                self.epoch = begin.epoch;
                self.version = begin.version;
                self.staged = Some(BTreeMap::new());
            }
            Event::SnapshotChunk(chunk) => {
                assert!(chunk.rows.len() <= 1_000);
                let staged = self.staged.as_mut().unwrap();
                for row in chunk.rows {
                    let key = key(&row);
                    assert!(staged.last_key_value().is_none_or(|(last, _)| *last < key));
                    staged.insert(key, row);
                }
            }
            Event::SnapshotEnd(end) => {
                self.rows = self.staged.take().unwrap();
                self.snapshots += 1;
                assert_eq!(self.rows.len(), usize::try_from(end.rows).unwrap());
            }
            Event::Delta(delta) => {
                assert!(self.staged.is_none());
                assert_eq!((&delta.epoch, delta.from_version), (&self.epoch, self.version));
                assert!(delta.to_version > delta.from_version);
                self.version = delta.to_version;
                for removal in delta.removals {
                    self.rows.remove(&(removal.kind(), removal.id));
                }
                self.rows.extend(delta.upserts.into_iter().map(|row| (key(&row), row)));
            }
        }
    }
}

/// Kind and id of a row.
#[must_use]
pub fn key(row: &DirectoryRow) -> (RowKind, String) {
    match row.row.as_ref().unwrap() {
        Row::Domain(row) => (RowKind::Domain, row.id.clone()),
        Row::User(row) => (RowKind::User, row.id.clone()),
        Row::Alias(row) => (RowKind::Alias, row.id.clone()),
        Row::Credential(row) => (RowKind::Credential, row.id.clone()),
        Row::StorageNode(row) => (RowKind::StorageNode, row.id.clone()),
        Row::DomainAlias(row) => (RowKind::DomainAlias, row.id.clone()),
        Row::Department(row) => (RowKind::Department, row.id.clone()),
        Row::Plan(row) => (RowKind::Plan, row.id.clone()),
        Row::Group(row) => (RowKind::Group, row.id.clone()),
        Row::GroupMember(row) => (RowKind::GroupMember, row.id.clone()),
        Row::Autoreply(row) => (RowKind::Autoreply, row.user_id.clone()),
    }
}
