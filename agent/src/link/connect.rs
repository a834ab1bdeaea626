//! Connecting to one API server over mTLS.

use std::{io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::identity::SERVER_NAME;

/// How long a connection may take to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How often a silent connection is probed, and how long the answer may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(10);
/// The port of a server whose address names none.
const DEFAULT_PORT: u16 = 7443;

/// Why a server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address in `agent.toml` is not one.
    #[error("not an address such as https://umail.example.net:7443")]
    Address,
    /// The connection was not made, or was not trusted.
    #[error("{0}")]
    Transport(String),
}

/// Connects to the server with this address.
pub async fn connect(server: &str, config: Arc<ClientConfig>) -> Result<Channel, ConnectError> {
    let uri: Uri = server.parse().map_err(|_error| ConnectError::Address)?;
    let host = uri.host().ok_or(ConnectError::Address)?;
    let address =
        (host.trim_matches(['[', ']']).to_owned(), uri.port_u16().unwrap_or(DEFAULT_PORT));
    let mut config = (*config).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let connector = tower::service_fn(move |_uri: Uri| {
        let (config, address) = (Arc::clone(&config), address.clone());
        async move {
            let stream = tokio::time::timeout(CONNECT_LIMIT, dial(address, config))
                .await
                .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The connector does TLS itself: to tonic the connection is a plain one to that name.
    Endpoint::from_shared(format!("http://{SERVER_NAME}"))
        .map_err(|_error| ConnectError::Address)?
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_LIMIT)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| ConnectError::Transport(root_cause(&error)))
}

async fn dial(
    address: (String, u16),
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

/// The innermost error says what happened; those around it only that something did.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
