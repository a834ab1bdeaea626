//! How machines become nodes, over real TLS: tokens, renewal, expiry, revocation.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration as StdDuration};

use rcgen::{CertificateParams, KeyPair};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    Code, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use umail_api::{
    app::enrolment::{Enrolment, enrol},
    context::{Context, State},
    database::pool::Pool,
    fleet, grpc,
    model::{
        join_token::JoinToken,
        node::{NodeRef, Role},
    },
    sealer::Sealer,
    store,
};
use umail_proto::{
    agent::{
        EnrolRequest, EnrolResponse, HeartbeatRequest, RenewRequest,
        agent_service_client::AgentServiceClient, enrolment_service_client::EnrolmentServiceClient,
    },
    clock::Clock,
    ids::{JoinTokenId, NodeId},
};
use umail_tests::database;

/// A server of agents with a clock that the test moves.
struct Server {
    state: State,
    clock: Clock,
    address: Option<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Its clock is slow by this much; it serves once `serve` is called.
    async fn new(slow_by: Duration) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = Clock::manual(Clock::system().now() - slow_by);
        let pool = database::create().await;
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let state = State::new(pool, clock.clone(), sealer).await.unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self { state, clock, address: None, stop, tasks }
    }

    async fn serve(mut self) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.address = Some(listener.local_addr().unwrap());
        self.tasks.spawn(fleet::roster::run(self.state.clone(), self.stop.clone()));
        self.tasks.spawn(grpc::serve(self.state.clone(), listener, self.stop.clone()));
        self
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        timeout(StdDuration::from_secs(5), self.tasks.wait()).await.expect("it stops");
    }

    fn pool(&self) -> &Pool {
        self.state.pool()
    }

    async fn token(&self, name: &str, roles: &[Role]) -> String {
        let now = self.clock.now();
        let id = JoinTokenId::generate(now);
        let token = JoinToken {
            id,
            node_name: name.to_owned(),
            roles: roles.to_vec(),
            expires_at: now + Duration::minutes(15),
            used_at: None,
            created_at: now,
        };
        let text = format!("token-{id}");
        store::join_tokens::insert(self.pool(), &token, &Sha256::digest(&text)).await.unwrap();
        text
    }

    async fn channel(&self, identity: Option<&Node>) -> Result<Channel, tonic::transport::Error> {
        let roots = Certificate::from_pem(self.state.authority().roots_pem());
        let mut tls = ClientTlsConfig::new().ca_certificate(roots).domain_name("umail-api");
        if let Some(node) = identity {
            tls = tls.identity(Identity::from_pem(&node.chain, node.key.serialize_pem()));
        }
        let endpoint = Channel::from_shared(format!("https://{}", self.address.unwrap())).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await
    }

    async fn enrol(&self, token: &str, name: &str) -> Result<EnrolResponse, Status> {
        let request = EnrolRequest {
            join_token: token.to_owned(),
            signing_request: signing_request(&KeyPair::generate().unwrap()),
            node_name: name.to_owned(),
            address: "10.1.2.3".to_owned(),
            agent_version: "0".to_owned(),
        };
        self.send(request).await
    }

    async fn send(&self, request: EnrolRequest) -> Result<EnrolResponse, Status> {
        let mut client = EnrolmentServiceClient::new(self.channel(None).await.unwrap());
        client.enrol(request).await.map(tonic::Response::into_inner)
    }

    /// A node that enrolled by the clock's time.
    async fn node(&self, name: &str, roles: &[Role]) -> Node {
        let token = self.token(name, roles).await;
        let key = KeyPair::generate().unwrap();
        let wanted = Enrolment {
            join_token: &token,
            signing_request: &signing_request(&key),
            node_name: name,
            address: "10.1.2.3",
            from: [127, 0, 0, 1].into(),
        };
        let (id, issued) = enrol(&Context::system(self.state.clone()), wanted).await.unwrap();
        Node { id, key, chain: issued.chain_pem }
    }

    async fn renew(&self, node: &Node) -> Result<OffsetDateTime, Code> {
        let Ok(channel) = self.channel(Some(node)).await else { return Err(Code::Cancelled) };
        let request = RenewRequest { signing_request: signing_request(&node.key) };
        let answer = EnrolmentServiceClient::new(channel).renew(request).await;
        let certificate = answer.map_err(|status| status.code())?.into_inner().certificate;
        let not_after = certificate.unwrap().not_after.unwrap().seconds;
        Ok(OffsetDateTime::from_unix_timestamp(not_after).unwrap())
    }

    async fn revoke(&self, node: &Node) {
        let row = store::nodes::get(self.pool(), node.id).await.unwrap();
        let row = umail_api::model::node::Node { revoked_at: Some(self.clock.now()), ..row };
        store::nodes::update(self.pool(), &row, self.clock.now()).await.unwrap();
    }
}

struct Node {
    id: NodeId,
    key: KeyPair,
    chain: String,
}

fn signing_request(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

#[tokio::test]
async fn a_join_token_makes_one_node() {
    let server = Server::new(Duration::ZERO).await.serve().await;
    let token = server.token("mx-1", &[Role::Smtp, Role::Storage]).await;
    let attempts = (0..8).map(|_| server.enrol(&token, "mx-1"));
    let mut won = Vec::new();
    let mut codes = Vec::new();
    for attempt in futures_util::future::join_all(attempts).await {
        match attempt {
            Ok(response) => won.push(response),
            Err(status) => codes.push(status.code()),
        }
    }
    assert_eq!(codes, [Code::Unauthenticated; 7]);
    let node = store::nodes::find(server.pool(), &NodeRef::Name("mx-1".to_owned()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(won[0].node_id, node.id.to_string());
    assert_eq!(node.roles, [Role::Smtp, Role::Storage]);
    assert_eq!(node.address.to_string(), "10.1.2.3");
    let certificate = won[0].certificate.clone().unwrap();
    let lifetime = certificate.not_after.unwrap().seconds - server.clock.now().unix_timestamp();
    assert!((86_390..=86_400).contains(&lifetime), "{lifetime}");
    server.stop().await;
}

#[tokio::test]
async fn a_refused_enrolment_does_not_use_the_token_up() {
    let server = Server::new(Duration::ZERO).await.serve().await;
    let token = server.token("mx-1", &[Role::Smtp]).await;
    let code = |result: Result<EnrolResponse, Status>| result.unwrap_err().code();
    assert_eq!(code(server.enrol("token-x", "mx-1").await), Code::Unauthenticated);
    assert_eq!(code(server.enrol(&token, "mx-2").await), Code::PermissionDenied);
    assert_eq!(code(server.enrol(&token, "../mx").await), Code::InvalidArgument);
    let request = EnrolRequest {
        join_token: token.clone(),
        signing_request: b"not a request".to_vec(),
        node_name: "mx-1".to_owned(),
        address: String::new(),
        agent_version: String::new(),
    };
    assert_eq!(code(server.send(request).await), Code::InvalidArgument);
    assert!(
        store::nodes::find(server.pool(), &NodeRef::Name("mx-1".to_owned()))
            .await
            .unwrap()
            .is_none()
    );
    server.enrol(&token, "mx-1").await.unwrap();

    let late = server.token("mx-2", &[Role::Smtp]).await;
    server.clock.advance(Duration::minutes(15));
    assert_eq!(code(server.enrol(&late, "mx-2").await), Code::Unauthenticated);
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_up_to_thirty_days_after_its_end() {
    for (age, renewed) in [
        (Duration::hours(12), true),
        (Duration::days(30), true),
        (Duration::days(31) + Duration::hours(1), false),
    ] {
        let server = Server::new(age).await;
        let node = server.node("mx-1", &[Role::Pop]).await;
        server.clock.advance(age);
        let server = server.serve().await;
        let not_after = server.renew(&node).await;
        assert_eq!(not_after.is_ok(), renewed, "{age}: {not_after:?}");
        if let Ok(not_after) = not_after {
            let left = not_after - server.clock.now();
            assert!(left > Duration::hours(23), "{left}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_revoked_node_is_cut_off_and_cannot_come_back() {
    let server = Server::new(Duration::ZERO).await;
    let (node, other) =
        (server.node("mx-1", &[Role::Smtp]).await, server.node("mx-2", &[Role::Smtp]).await);
    let server = server.serve().await;
    let watch = async |node: &Node| {
        let mut client = HealthClient::new(server.channel(Some(node)).await.unwrap());
        let service = "umail.agent.v1.EnrolmentService".to_owned();
        let mut stream = client.watch(HealthCheckRequest { service }).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
        stream
    };
    let (mut stream, mut others) = (watch(&node).await, watch(&other).await);
    // By another instance: this one learns of it from the database.
    server.revoke(&node).await;
    let revoked = Instant::now();
    let end = timeout(StdDuration::from_secs(1), stream.message()).await;
    assert!(end.expect("cut within a second").is_err());
    assert!(revoked.elapsed() < StdDuration::from_secs(1));
    assert!(timeout(StdDuration::from_millis(600), others.message()).await.is_err());
    assert_eq!(server.renew(&node).await, Err(Code::PermissionDenied));
    server.renew(&other).await.unwrap();
    drop((stream, others));
    server.stop().await;
}

#[tokio::test]
async fn who_enrols_again_is_the_same_node_with_a_new_certificate() {
    let server = Server::new(Duration::ZERO).await;
    let first = server.node("mx-1", &[Role::Storage]).await;
    server.revoke(&first).await;
    let second = server.node("mx-1", &[Role::Storage]).await;
    assert_eq!(first.id, second.id);
    let server = server.serve().await;
    assert_eq!(server.renew(&first).await, Err(Code::PermissionDenied));
    server.renew(&second).await.unwrap();
    let token = server.token("mx-1", &[Role::Smtp]).await;
    let status = server.enrol(&token, "mx-1").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    server.stop().await;
}

#[tokio::test]
async fn certificates_of_another_authority_are_refused() {
    let server = Server::new(Duration::ZERO).await.serve().await;
    let foreign = Server::new(Duration::ZERO).await.node("mx-1", &[Role::Smtp]).await;
    // By TLS: a certificate that is only unknown to the database would be denied.
    let code = server.renew(&foreign).await.unwrap_err();
    assert!(matches!(code, Code::Cancelled | Code::Unknown | Code::Unavailable), "{code:?}");
    server.stop().await;
}

async fn heartbeat(channel: Channel) -> Result<(), Code> {
    let request = HeartbeatRequest {
        boot: "01890000-0000-7000-8000-000000000000".to_owned(),
        directory_version: 0,
        generation: 0,
    };
    let answer = AgentServiceClient::new(channel).heartbeat(request).await;
    answer.map(|_| ()).map_err(|status| status.code())
}

#[tokio::test]
async fn only_a_good_certificate_does_more_than_renew() {
    let server = Server::new(Duration::hours(23)).await;
    let (node, revoked) =
        (server.node("mx-1", &[Role::Smtp]).await, server.node("mx-2", &[Role::Smtp]).await);
    server.revoke(&revoked).await;
    server.clock.advance(Duration::hours(23));
    let server = server.serve().await;
    let channel = server.channel(Some(&node)).await.unwrap();
    assert_eq!(heartbeat(channel.clone()).await, Ok(()));
    let anonymous = server.channel(None).await.unwrap();
    assert_eq!(heartbeat(anonymous).await, Err(Code::Unauthenticated));
    let stranger = server.channel(Some(&revoked)).await.unwrap();
    assert_eq!(heartbeat(stranger).await, Err(Code::PermissionDenied));

    // The open connection of a certificate that has just ended.
    server.clock.advance(Duration::hours(1));
    assert_eq!(heartbeat(channel).await, Err(Code::Unauthenticated));
    let channel = server.channel(Some(&node)).await.unwrap();
    assert_eq!(heartbeat(channel).await, Err(Code::Unauthenticated));
    server.renew(&node).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_certificate_of_a_mail_daemon_is_nobody_here() {
    let server = Server::new(Duration::ZERO).await.serve().await;
    let mail = server.state.authority().issue_mail("mx-1", [10, 0, 0, 1].into()).unwrap();
    let key = KeyPair::from_pem(&mail.key_pem).unwrap();
    let id = NodeId::generate(server.clock.now());
    let node = Node { id, key, chain: mail.chain_pem };
    let code = match server.channel(Some(&node)).await {
        Ok(channel) => heartbeat(channel).await.unwrap_err(),
        Err(_) => Code::Unavailable,
    };
    assert!(matches!(code, Code::Cancelled | Code::Unknown | Code::Unavailable), "{code:?}");
    server.stop().await;
}
