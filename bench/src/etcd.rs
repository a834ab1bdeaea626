//! A private etcd with watchers that speak its own gRPC.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::StreamExt as _;
use tonic::{
    Request,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::{
    Failure,
    outcome::median,
    server::{Process, free_port},
};

/// Clients that wait for the key, each with a stream of its own.
pub(crate) const WATCHERS: usize = 1_000;
/// Streams that share a connection.
const STREAMS: usize = 100;
const KEY: &[u8] = b"bench";
const LIMIT: Duration = Duration::from_secs(20);

// The part of etcd's protocol that is needed; fields that are left out are skipped.

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchCreateRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchResponse {
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Nothing>,
}

/// What a watcher tells.
enum News {
    Ready,
    Seen(Instant),
}

/// etcd with its watchers; gone when it is dropped.
pub(crate) struct Etcd {
    client: Grpc<Channel>,
    news: mpsc::UnboundedReceiver<News>,
    _watchers: JoinSet<()>,
    _process: Process,
}

impl Etcd {
    /// Starts it, with its data in this folder, and waits until every watcher stands.
    pub(crate) async fn start(folder: &Path) -> Result<Self, Failure> {
        let url = format!("http://127.0.0.1:{}", free_port()?);
        let peer = format!("http://127.0.0.1:{}", free_port()?);
        let mut command = Command::new("etcd");
        command
            .arg("--data-dir")
            .arg(folder.join("etcd"))
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::start(&mut command)?;
        let endpoint = Endpoint::from_shared(url)?;
        let mut client = Grpc::new(endpoint.connect_lazy());
        let started = Instant::now();
        while let Err(error) = put(&mut client, b"before").await {
            if started.elapsed() > LIMIT {
                return Err(format!("etcd does not start: {error}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (sender, news) = mpsc::unbounded_channel();
        let mut watchers = JoinSet::new();
        for _connection in 0..WATCHERS / STREAMS {
            let channel = endpoint.connect().await?;
            for _stream in 0..STREAMS {
                watchers.spawn(watch(Grpc::new(channel.clone()), sender.clone()));
            }
        }
        let mut etcd = Self { client, news, _watchers: watchers, _process: process };
        for _watcher in 0..WATCHERS {
            let News::Ready = etcd.hear().await? else { return Err("an event too early".into()) };
        }
        Ok(etcd)
    }

    /// Seconds from each of so many puts until half of the watchers have seen it.
    pub(crate) async fn puts(&mut self, count: usize) -> Result<Vec<f64>, Failure> {
        let mut seconds = Vec::with_capacity(count);
        for change in 0..count {
            let started = Instant::now();
            put(&mut self.client, format!("{change:04}").as_bytes()).await?;
            let mut seen = Vec::with_capacity(WATCHERS);
            while seen.len() < WATCHERS {
                let News::Seen(at) = self.hear().await? else { continue };
                seen.push(at.duration_since(started).as_secs_f64());
            }
            seconds.push(median(&seen));
        }
        Ok(seconds)
    }

    async fn hear(&mut self) -> Result<News, Failure> {
        let news = tokio::time::timeout(LIMIT, self.news.recv()).await?;
        news.ok_or_else(|| "the watchers are gone".into())
    }
}

async fn put(client: &mut Grpc<Channel>, value: &[u8]) -> Result<(), Failure> {
    let request = PutRequest { key: KEY.to_vec(), value: value.to_vec() };
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
    client.ready().await?;
    let codec = ProstCodec::<PutRequest, Nothing>::default();
    client.unary(Request::new(request), path, codec).await?;
    Ok(())
}

/// Says once that the watch stands, then tells of each event. Silence is noticed by who listens.
async fn watch(mut client: Grpc<Channel>, news: mpsc::UnboundedSender<News>) {
    let create = Some(WatchCreateRequest { key: KEY.to_vec() });
    // etcd ends the watch with the requests.
    let requests = tokio_stream::once(WatchRequest { create }).chain(tokio_stream::pending());
    let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
    let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
    if client.ready().await.is_err() {
        return;
    }
    let Ok(answer) = client.streaming(Request::new(requests), path, codec).await else { return };
    let mut answers = answer.into_inner();
    while let Ok(Some(answer)) = answers.message().await {
        if answer.created {
            news.send(News::Ready).ok();
        }
        for _event in answer.events {
            news.send(News::Seen(Instant::now())).ok();
        }
    }
}
