//! Lines to and from a mail server, in clear or over TLS.

use std::{net::IpAddr, net::SocketAddr, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{Because, Result, Trust};
use crate::ensure;

/// How long a server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection to a mail server.
pub struct Conversation {
    stream: BufReader<Box<dyn Stream>>,
    server: IpAddr,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Conversation {
    /// Connects; over TLS from the first byte if there is somebody to trust.
    pub async fn connect(server: SocketAddr, trust: Option<&Trust>) -> Result<Self> {
        let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect(server)).await;
        let stream = connecting.because(format!("connect to {server}"))?;
        let stream = stream.because(format!("connect to {server}"))?;
        stream.set_nodelay(true)?;
        let plain = Self { stream: BufReader::new(Box::new(stream)), server: server.ip() };
        match trust {
            Some(trust) => plain.start_tls(trust).await,
            None => Ok(plain),
        }
    }

    /// Goes on over TLS; the certificate must name the server's address.
    pub async fn start_tls(self, trust: &Trust) -> Result<Self> {
        let connector = TlsConnector::from(trust.config());
        let name = ServerName::IpAddress(self.server.into());
        let handshake = connector.connect(name, self.stream.into_inner());
        let stream = tokio::time::timeout(PATIENCE, handshake).await.because("TLS handshake")?;
        let stream = stream.because(format!("TLS with {}", self.server))?;
        Ok(Self { stream: BufReader::new(Box::new(stream)), server: self.server })
    }

    /// Sends one line.
    pub async fn say(&mut self, line: &str) -> Result {
        self.send(format!("{line}\r\n").as_bytes()).await
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next line, without its end.
    pub async fn hear(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let reading = self.stream.read_until(b'\n', &mut line);
        let count = tokio::time::timeout(PATIENCE, reading).await.because("no answer")??;
        ensure!(count > 0, "{} closed the connection", self.server);
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next bytes, exactly this many.
    pub async fn hear_bytes(&mut self, count: usize) -> Result<String> {
        let mut bytes = vec![0; count];
        let reading = self.stream.read_exact(&mut bytes);
        tokio::time::timeout(PATIENCE, reading).await.because("no answer")??;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
