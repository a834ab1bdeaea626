//! From agent to agent: mTLS on the peer port, one connection a copy.
//!
//! The source says in one line which mailbox it brings; the destination answers `ok` or the
//! reason why not; what follows is dsync's own talk. Who the source is says its certificate.

use std::{net::IpAddr, sync::Arc, time::Duration};

use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_proto::agent::Peer;

use super::{Parts, mailbox, refusal};
use crate::{drivers::Refusal, identity::peer_node_id};

/// Copies that a node takes at a time.
const SLOTS: usize = 32;
/// How long connecting, the handshake and the first line may take.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// How long a copy may take in all.
const COPY_LIMIT: Duration = Duration::from_hours(24);
/// How much of what dsync complains about is told.
const COMPLAINT_LIMIT: usize = 1_024;
/// Longest first line.
const LINE_LIMIT: u64 = 1_024;

/// A connection on which dsync may begin to talk.
pub(super) type Connection = BufReader<client::TlsStream<TcpStream>>;

/// What the source says first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    move_id: String,
    user_id: String,
}

/// Reaches the destination of a copy and has it take this mailbox.
pub(super) async fn connect(
    parts: &Parts,
    peer: &Peer,
    move_id: &str,
    user_id: &str,
) -> Result<Connection, Refusal> {
    let hello = Hello { move_id: move_id.to_owned(), user_id: user_id.to_owned() };
    let connected = tokio::time::timeout(HELLO_LIMIT, greet(parts, peer, &hello)).await;
    let named = |error: String| Refusal(format!("node {}: {error}", peer.name));
    match connected {
        Ok(connected) => connected.map_err(named),
        Err(_elapsed) => Err(named("it does not answer".to_owned())),
    }
}

async fn greet(parts: &Parts, peer: &Peer, hello: &Hello) -> Result<Connection, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let address: IpAddr = peer.address.parse().map_err(|_error| "its address is none")?;
    let name = ServerName::try_from(format!("{}.node.umail", peer.node_id));
    let name = name.map_err(|error| text(&error))?;
    let stream = TcpStream::connect((address, parts.peer_port)).await.map_err(|e| text(&e))?;
    stream.set_nodelay(true).map_err(|error| text(&error))?;
    let connector = TlsConnector::from(parts.identity.client_config());
    let stream = connector.connect(name, stream).await.map_err(|error| text(&error))?;
    let mut stream = BufReader::new(stream);
    let mut line = serde_json::to_vec(hello).map_err(|error| text(&error))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(|error| text(&error))?;
    stream.flush().await.map_err(|error| text(&error))?;
    match read_line(&mut stream).await?.as_str() {
        "ok" => Ok(stream),
        refused => Err(refused.chars().filter(|one| !one.is_control()).take(300).collect()),
    }
}

/// Takes copies until it is told to stop; those that run then are broken off, and asked again.
pub(super) async fn serve(parts: &Arc<Parts>, listener: TcpListener, stop: CancellationToken) {
    let tracker = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(SLOTS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _address)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: not a reason to spin.
                tracing::warn!(%error, "a node cannot be let in");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let (parts, stop) = (Arc::clone(parts), stop.clone());
        tracker.spawn(async move {
            let taken = tokio::select! {
                () = stop.cancelled() => return,
                taken = take(&parts, stream) => taken,
            };
            if let Err(error) = taken {
                tracing::warn!(error, "a copy was not taken");
            }
            drop(slot);
        });
    }
    tracker.close();
    tracker.wait().await;
}

/// Takes one copy.
async fn take(parts: &Parts, stream: TcpStream) -> Result<(), String> {
    let (mut stream, mut child) = tokio::time::timeout(HELLO_LIMIT, welcome(parts, stream))
        .await
        .map_err(|_elapsed| "the other side says nothing")??;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("dsync has no streams".to_owned());
    };
    let stderr = child.stderr.take();
    let complain = async {
        let mut text = String::new();
        if let Some(stderr) = stderr {
            // To its end: dsync writes a line for each message and must not be held up by it.
            let mut lines = BufReader::new(stderr).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = String::from_utf8_lossy(&line);
                if text.len() < COMPLAINT_LIMIT && !line.contains(": Info: ") {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
        }
        text
    };
    let mut dsync = tokio::io::join(stdout, stdin);
    let talk = async {
        // An end of either side in the middle is told by the exit status, in better words.
        tokio::io::copy_bidirectional(&mut stream, &mut dsync).await.ok();
        drop(dsync);
        child.wait().await
    };
    let (ended, complaint) =
        tokio::time::timeout(COPY_LIMIT, async { tokio::join!(talk, complain) })
            .await
            .map_err(|_elapsed| "the copy takes too long")?;
    let status = ended.map_err(|error| error.to_string())?;
    if status.success() || complaint.trim().is_empty() {
        Ok(())
    } else {
        Err(complaint.trim().to_owned())
    }
}

type Welcomed = (BufReader<server::TlsStream<TcpStream>>, tokio::process::Child);

/// Finds out who is there and what it brings, and starts dsync if that is expected.
async fn welcome(parts: &Parts, stream: TcpStream) -> Result<Welcomed, String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let acceptor = TlsAcceptor::from(parts.identity.server_config());
    let stream = acceptor.accept(stream).await.map_err(|error| error.to_string())?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let source = peer_node_id(certificates).ok_or("the other side is no node")?;
    let mut stream = BufReader::new(stream);
    let line = read_line(&mut stream).await?;
    let (answer, child) = match start(parts, &source, &line).await {
        Ok(child) => ("ok".to_owned(), Ok(child)),
        Err(Refusal(reason)) => (format!("refused: {reason}"), Err(reason)),
    };
    stream.write_all(format!("{answer}\n").as_bytes()).await.map_err(|e| e.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    Ok((stream, child?))
}

async fn start(parts: &Parts, source: &str, line: &str) -> Result<tokio::process::Child, Refusal> {
    let Hello { move_id, user_id } = serde_json::from_str(line).map_err(refusal)?;
    if !parts.records.is_expected(&move_id, &user_id, source, parts.clock.now()) {
        return Err(Refusal(format!("this node does not expect move {move_id} from {source}")));
    }
    mailbox(parts, &user_id).await?.receive()
}

async fn read_line<S: tokio::io::AsyncBufRead + Unpin>(stream: &mut S) -> Result<String, String> {
    let mut line = Vec::new();
    let mut bounded = stream.take(LINE_LIMIT);
    bounded.read_until(b'\n', &mut line).await.map_err(|error| error.to_string())?;
    match line.pop() {
        Some(b'\n') => String::from_utf8(line).map_err(|error| error.to_string()),
        _ => Err("it ended the connection".to_owned()),
    }
}
