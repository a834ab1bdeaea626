//! Accepts connections of agents: TLS, who it is, and when the connection must end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{self, Poll},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::{
    context::State,
    error::{Error, Result},
    fleet::links::Link,
    grpc::identity::Peer,
    pki::{Authority, NodeCertificate, verifier::Verifier},
    store,
};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at the same time; ten thousand nodes that come back at once queue up.
const HANDSHAKES: usize = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections at the same time of those who show no good certificate.
const STRANGERS: usize = 1_024;
/// Long enough to enrol or renew, for whoever may do nothing else.
const STRANGER_LIFETIME: Duration = Duration::from_mins(1);

/// Accepts connections until it shall stop.
pub(super) fn accept(
    state: &State,
    listener: TcpListener,
    tracker: &TaskTracker,
    stop: CancellationToken,
) -> Result<ReceiverStream<io::Result<Connection>>> {
    let acceptor = Acceptor {
        state: state.clone(),
        tls: TlsAcceptor::from(Arc::new(tls(state)?)),
        handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        strangers: Arc::new(Semaphore::new(STRANGERS)),
    };
    let (sender, incoming) = mpsc::channel(1);
    tracker.spawn(acceptor.run(listener, sender, tracker.clone(), stop));
    Ok(ReceiverStream::new(incoming))
}

fn tls(state: &State) -> Result<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let authority = Arc::clone(state.authority());
    let verifier = Verifier::new(&authority, Arc::clone(&provider), state.clock().clone())?;
    let resolver = Resolver::new(authority, Arc::clone(&provider), state)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::internal)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would not show its certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[derive(Clone)]
struct Acceptor {
    state: State,
    tls: TlsAcceptor,
    handshakes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Acceptor {
    async fn run(
        self,
        listener: TcpListener,
        sender: mpsc::Sender<io::Result<Connection>>,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) {
        loop {
            let Ok(permit) = Arc::clone(&self.handshakes).acquire_owned().await else { return };
            let (stream, address) = match stop.run_until_cancelled(listener.accept()).await {
                None => return,
                Some(Ok(accepted)) => accepted,
                Some(Err(error)) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (acceptor, sender) = (self.clone(), sender.clone());
            let handshake = async move {
                let connection = timeout(HANDSHAKE_TIMEOUT, acceptor.handshake(stream, address));
                let connection = connection.await.unwrap_or_else(|late| Err(late.to_string()));
                drop(permit);
                let outcome = if connection.is_ok() { "accepted" } else { "refused" };
                metrics::counter!("umail_api_node_handshakes_total", "outcome" => outcome)
                    .increment(1);
                match connection {
                    // Fails only when nobody serves any more.
                    Ok(connection) => drop(sender.send(Ok(connection)).await),
                    Err(reason) => debug!(%address, reason, "a handshake failed"),
                }
            };
            tracker.spawn(stop.clone().run_until_cancelled_owned(handshake));
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<Connection, String> {
        // Fails only when the connection is gone already.
        let _ = stream.set_nodelay(true);
        let stream = self.tls.accept(stream).await.map_err(|error| error.to_string())?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(NodeCertificate::read);
        let certificate = match certificate {
            Some(None) => return Err("the certificate names no node".to_owned()),
            Some(Some(certificate)) => Some(certificate),
            None => None,
        };
        // First counted, then looked up: a revocation in between finds the connection.
        let link = certificate.as_ref().map(|one| self.state.fleet().links().open(one));
        let revoked = match &certificate {
            Some(one) => !self.is_good(one).await?,
            None => false,
        };
        let number = link.as_ref().map(Link::number);
        let peer = Peer { address, certificate, link: number, revoked };
        let left = left(&peer, self.state.clock().now());
        let stranger = match left {
            Some(_) => None,
            None => Some(Arc::clone(&self.strangers).try_acquire_owned()),
        };
        let stranger = stranger.transpose().map_err(|_full| "too many strangers".to_owned())?;
        let lifetime = left.unwrap_or(STRANGER_LIFETIME);
        let cut = link.as_ref().map(Link::cut).unwrap_or_default();
        let end = Box::pin(async move {
            tokio::select! { () = cut.cancelled() => {}, () = sleep(lifetime) => {} }
        });
        Ok(Connection { stream, peer, end: Some(end), _link: link, _stranger: stranger })
    }

    async fn is_good(&self, certificate: &NodeCertificate) -> Result<bool, String> {
        let serials = [certificate.serial.clone()];
        let good = store::node_certificates::list_good(self.state.pool(), &serials).await;
        Ok(!good.map_err(|error| error.to_string())?.is_empty())
    }
}

/// How long a good certificate is good; a connection ends with it, and the agent comes back
/// with its new one.
fn left(peer: &Peer, now: OffsetDateTime) -> Option<Duration> {
    let certificate = peer.certificate.as_ref().filter(|_| !peer.revoked)?;
    let left = Duration::try_from(certificate.not_after - now).ok()?;
    Some(left).filter(|left| !left.is_zero())
}

/// A connection of an agent, or of somebody who wants to become one.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// Done when the connection shall end; none once it has.
    end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _link: Option<Link>,
    _stranger: Option<OwnedSemaphorePermit>,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ended = self.end.as_mut().is_none_or(|end| end.as_mut().poll(cx).is_ready());
        if ended {
            self.end = None;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Shows the server's own certificate, and makes a new one at half of its life.
#[derive(Debug)]
struct Resolver {
    authority: Arc<Authority>,
    provider: Arc<CryptoProvider>,
    state: State,
    current: Mutex<(Arc<CertifiedKey>, OffsetDateTime)>,
}

impl Resolver {
    fn new(
        authority: Arc<Authority>,
        provider: Arc<CryptoProvider>,
        state: &State,
    ) -> Result<Self> {
        let current = Mutex::new(issue(&authority, &provider, state.clock().now())?);
        Ok(Self { authority, provider, state: state.clone(), current })
    }
}

fn issue(
    authority: &Authority,
    provider: &CryptoProvider,
    now: OffsetDateTime,
) -> Result<(Arc<CertifiedKey>, OffsetDateTime)> {
    let issued = authority.issue_server()?;
    let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(Error::internal)?;
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).map_err(Error::internal)?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(Error::internal)?;
    Ok((Arc::new(key), now + (issued.not_after - now) / 2))
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.state.clock().now();
        if now >= current.1 {
            match issue(&self.authority, &self.provider, now) {
                Ok(issued) => *current = issued,
                Err(error) => warn!(%error, "cannot make a new certificate for this server"),
            }
        }
        Some(Arc::clone(&current.0))
    }
}
