//! A server that does what the test tells it, and remembers what it was told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use futures_util::{Stream, StreamExt, stream};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::aws_lc_rs,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use time::Duration;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::{broadcast, watch},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream, WatchStream};
use tonic::{
    Request, Response, Status,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use umail_agent::identity::peer_node_id;
use umail_proto::agent::{
    AcceptedReports, Action, DesiredState, EnrolRequest, EnrolResponse, GetDesiredStateRequest,
    GetDesiredStateResponse, HeartbeatRequest, HeartbeatResponse, ListActionsRequest,
    ListActionsResponse, ListDirectoryRowsRequest, ListDirectoryRowsResponse, RenewRequest,
    RenewResponse, ReportActionRequest, ReportActionResponse, ReportStatusRequest,
    ReportStatusResponse, ReportTrafficRequest, ReportTrafficResponse, WatchActionsRequest,
    WatchActionsResponse, WatchDesiredStateRequest, WatchDesiredStateResponse,
    WatchDirectoryRequest, WatchDirectoryResponse,
    agent_service_server::{AgentService, AgentServiceServer},
    enrolment_service_server::{EnrolmentService, EnrolmentServiceServer},
    watch_directory_response::Event,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{node::NODE, pki::Authority};

/// What the agent has said.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) enrolments: Vec<EnrolRequest>,
    pub(crate) renewals: usize,
    pub(crate) heartbeats: Vec<HeartbeatRequest>,
    pub(crate) statuses: Vec<umail_proto::agent::ObservedState>,
    pub(crate) directory: Vec<WatchDirectoryRequest>,
    pub(crate) actions: Vec<ReportActionRequest>,
    pub(crate) reports: Vec<umail_proto::agent::TrafficReport>,
}

/// What the server says, and has heard. Survives a restart of the server.
pub(crate) struct Script {
    pub(crate) authority: Authority,
    pub(crate) desired: watch::Sender<Option<DesiredState>>,
    /// Sent again to each watcher until it is answered.
    pub(crate) actions: watch::Sender<Vec<Action>>,
    /// What each next stream of the directory begins with.
    pub(crate) openings: Mutex<VecDeque<Vec<Event>>>,
    /// What a stream begins with for a node without a directory when nothing else is told.
    pub(crate) whole: Mutex<Vec<Event>>,
    /// What all open streams of the directory get.
    pub(crate) directory: broadcast::Sender<Event>,
    pub(crate) heard: Mutex<Heard>,
    /// Whether a report of an action, or the answer to one of traffic, is lost on its way.
    pub(crate) loses_reports: Mutex<bool>,
}

impl Script {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            authority: Authority::new(),
            desired: watch::Sender::new(None),
            actions: watch::Sender::new(Vec::new()),
            openings: Mutex::default(),
            whole: Mutex::default(),
            directory: broadcast::channel(1_000).0,
            heard: Mutex::default(),
            loses_reports: Mutex::default(),
        })
    }

    pub(crate) fn open_with(&self, events: Vec<Event>) {
        self.openings.lock().unwrap().push_back(events);
    }

    pub(crate) fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().unwrap())
    }

    /// The last status that was reported.
    pub(crate) fn status(&self) -> umail_proto::agent::ObservedState {
        self.heard(|heard| heard.statuses.last().cloned()).unwrap_or_default()
    }
}

/// A running server. It lives in a runtime of its own, so that it can vanish at once.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) fn start(script: &Arc<Script>) -> Self {
        Self::start_on(script, "127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_on(script: &Arc<Script>, address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls(&script.authority)));
        let service = Service(Arc::clone(script));
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            tonic::transport::Server::builder()
                .add_service(AgentServiceServer::new(service.clone()))
                .add_service(EnrolmentServiceServer::new(service))
                .serve_with_incoming(incoming(listener, acceptor))
                .await
                .unwrap();
        });
        Self { address, runtime: Some(runtime) }
    }

    /// Ends the server and cuts its connections.
    pub(crate) fn stop(mut self) -> SocketAddr {
        self.runtime.take().unwrap().shutdown_background();
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn incoming(
    listener: TcpListener,
    acceptor: TlsAcceptor,
) -> impl Stream<Item = std::io::Result<TlsStream<TcpStream>>> {
    TcpListenerStream::new(listener).filter_map(move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream.ok()?).await.ok().map(Ok) }
    })
}

fn tls(authority: &Authority) -> ServerConfig {
    let (chain, key) = authority.server();
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(chain.last().unwrap().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(Arc::new(EvenExpired(verifier)))
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Lets expired certificates in, as far as `Renew`.
#[derive(Debug)]
struct EvenExpired(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for EvenExpired {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        use rustls::{CertificateError, Error};
        match self.0.verify_client_cert(leaf, chain, now) {
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => Ok(ClientCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[derive(Clone)]
struct Service(Arc<Script>);

/// The node that calls, and whether its certificate is still good.
fn caller<T>(request: &Request<T>) -> Result<(String, bool), Status> {
    let info = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let chain = info.and_then(TlsConnectInfo::peer_certs);
    let chain = chain.ok_or_else(|| Status::unauthenticated("no certificate"))?;
    let node = peer_node_id(&chain).ok_or_else(|| Status::unauthenticated("not a node"))?;
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    Ok((node, leaf.validity().is_valid()))
}

fn node<T>(request: &Request<T>) -> Result<String, Status> {
    match caller(request)? {
        (node, true) => Ok(node),
        _ => Err(Status::unauthenticated("the certificate has expired")),
    }
}

type Stream_<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl EnrolmentService for Service {
    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        let request = request.into_inner();
        self.0.heard.lock().unwrap().enrolments.push(request.clone());
        if request.join_token != "good-token" {
            return Err(Status::unauthenticated("the join token is not known"));
        }
        let certificate =
            self.0.authority.node(&request.signing_request, NODE, Duration::hours(24));
        Ok(Response::new(EnrolResponse {
            node_id: NODE.to_owned(),
            certificate: Some(certificate),
        }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let (node, _) = caller(&request)?;
        self.0.heard.lock().unwrap().renewals += 1;
        let request = request.into_inner();
        // Until long after any time that a test's clock shows.
        let certificate =
            self.0.authority.node(&request.signing_request, &node, Duration::days(100));
        Ok(Response::new(RenewResponse { certificate: Some(certificate) }))
    }
}

#[tonic::async_trait]
impl AgentService for Service {
    type WatchDesiredStateStream = Stream_<WatchDesiredStateResponse>;
    type WatchDirectoryStream = Stream_<WatchDirectoryResponse>;
    type WatchActionsStream = Stream_<WatchActionsResponse>;

    async fn watch_desired_state(
        &self,
        request: Request<WatchDesiredStateRequest>,
    ) -> Result<Response<Self::WatchDesiredStateStream>, Status> {
        node(&request)?;
        let states = WatchStream::new(self.0.desired.subscribe())
            .filter_map(async |state| state)
            .map(|state| Ok(WatchDesiredStateResponse { state: Some(state) }));
        Ok(Response::new(Box::pin(states)))
    }

    async fn get_desired_state(
        &self,
        _request: Request<GetDesiredStateRequest>,
    ) -> Result<Response<GetDesiredStateResponse>, Status> {
        Err(Status::unimplemented("agents do not ask"))
    }

    async fn watch_directory(
        &self,
        request: Request<WatchDirectoryRequest>,
    ) -> Result<Response<Self::WatchDirectoryStream>, Status> {
        node(&request)?;
        let request = request.into_inner();
        let later = BroadcastStream::new(self.0.directory.subscribe()).map(Result::unwrap);
        let opening = self.0.openings.lock().unwrap().pop_front().unwrap_or_else(|| {
            let is_empty = request.epoch.is_empty();
            if is_empty { self.0.whole.lock().unwrap().clone() } else { Vec::new() }
        });
        self.0.heard.lock().unwrap().directory.push(request);
        let events = stream::iter(opening).chain(later);
        let events = events.map(|event| Ok(WatchDirectoryResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(events)))
    }

    async fn list_directory_rows(
        &self,
        _request: Request<ListDirectoryRowsRequest>,
    ) -> Result<Response<ListDirectoryRowsResponse>, Status> {
        Err(Status::unimplemented("agents do not ask"))
    }

    async fn watch_actions(
        &self,
        request: Request<WatchActionsRequest>,
    ) -> Result<Response<Self::WatchActionsStream>, Status> {
        node(&request)?;
        let script = Arc::clone(&self.0);
        let actions = WatchStream::new(self.0.actions.subscribe())
            .map(move |actions| {
                let answered = |action: &Action| {
                    script.heard(|heard| {
                        heard.actions.iter().any(|report| report.action_id == action.action_id)
                    })
                };
                let open: Vec<_> = actions.into_iter().filter(|action| !answered(action)).collect();
                stream::iter(open)
            })
            .flatten()
            .map(|action| Ok(WatchActionsResponse { action: Some(action) }));
        Ok(Response::new(Box::pin(actions)))
    }

    async fn list_actions(
        &self,
        _request: Request<ListActionsRequest>,
    ) -> Result<Response<ListActionsResponse>, Status> {
        Err(Status::unimplemented("agents do not ask"))
    }

    async fn report_action(
        &self,
        request: Request<ReportActionRequest>,
    ) -> Result<Response<ReportActionResponse>, Status> {
        node(&request)?;
        if *self.0.loses_reports.lock().unwrap() {
            return Err(Status::unavailable("lost"));
        }
        self.0.heard.lock().unwrap().actions.push(request.into_inner());
        Ok(Response::new(ReportActionResponse {}))
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        node(&request)?;
        self.0.heard.lock().unwrap().heartbeats.push(request.into_inner());
        Ok(Response::new(HeartbeatResponse::default()))
    }

    async fn report_status(
        &self,
        request: Request<ReportStatusRequest>,
    ) -> Result<Response<ReportStatusResponse>, Status> {
        node(&request)?;
        self.0.heard.lock().unwrap().statuses.push(request.into_inner().state.unwrap());
        Ok(Response::new(ReportStatusResponse {}))
    }

    async fn report_traffic(
        &self,
        request: Request<ReportTrafficRequest>,
    ) -> Result<Response<ReportTrafficResponse>, Status> {
        node(&request)?;
        let reports = request.into_inner().reports;
        let accepted = reports
            .iter()
            .map(|report| AcceptedReports { boot: report.boot.clone(), sequence: report.sequence });
        let accepted = accepted.collect();
        self.0.heard.lock().unwrap().reports.extend(reports);
        if *self.0.loses_reports.lock().unwrap() {
            return Err(Status::unavailable("lost"));
        }
        Ok(Response::new(ReportTrafficResponse { accepted }))
    }
}
