//! The running server: listeners, background work, and how they end.

use std::{future::IntoFuture, net::SocketAddr, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::{interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    app,
    config::Config,
    context::State,
    database::embedded::Cluster,
    error::{Error, Result},
    fleet, grpc, http, tasks as periodic,
};

/// Requests may end by themselves for so long.
const SOFT_STOP: Duration = Duration::from_secs(4);
const RENEWAL_PERIOD: Duration = Duration::from_hours(1);

/// The sockets, bound before anything else so that a taken port is found out first.
#[derive(Debug)]
pub struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
}

impl Listeners {
    /// Binds both.
    pub async fn bind(config: &Config) -> Result<Self> {
        Ok(Self {
            http: bind("http.listen", config.http.listen).await?,
            grpc: bind("grpc.listen", config.grpc.listen).await?,
        })
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|cause| Error::internal(format_args!("{key}: {address}: {cause}")))
}

/// SIGTERM and SIGINT, noticed from the moment this is made: one that comes while the server
/// still starts stops it as soon as it has.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them over from the system, which would end the process.
    pub fn listen() -> Result<Self> {
        let terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
        Ok(Self { terminate, interrupt })
    }

    async fn wait(mut self, stop: &CancellationToken) -> Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => Ok(()),
            _ = self.interrupt.recv() => Ok(()),
            () = stop.cancelled() => Err(Error::internal("a listener failed")),
        }
    }
}

/// Serves until SIGTERM or SIGINT, or until a listener fails.
///
/// Stopping takes less than 10 seconds: nothing new is accepted, requests have `SOFT_STOP` to
/// end, connections are cut, then the database is stopped.
pub async fn run(
    state: State,
    listeners: Listeners,
    metrics: PrometheusHandle,
    cluster: Option<Box<Cluster>>,
    signals: Signals,
) -> Result<()> {
    let (stop, stop_database) = (CancellationToken::new(), CancellationToken::new());
    let (tasks, database) = (TaskTracker::new(), TaskTracker::new());
    if let Some(cluster) = cluster {
        database.spawn(cluster.supervise(stop_database.clone()));
    }
    tasks.spawn(fleet::roster::run(state.clone(), stop.clone()));
    periodic::start(&state, &tasks, &stop);
    tasks.spawn(renew_mail_certificates(state.clone(), stop.clone()));
    info!(http = ?listeners.http.local_addr().ok(), grpc = ?listeners.grpc.local_addr().ok(), "serving");
    let router = http::router(state.clone()).merge(http::probes::router(state.clone(), metrics));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let http = axum::serve(listeners.http, service)
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    tasks.spawn(until_failed("http", stop.clone(), async { http.await.map_err(Error::internal) }));
    let grpc = grpc::serve(state.clone(), listeners.grpc, stop.clone());
    tasks.spawn(until_failed("grpc", stop.clone(), grpc));
    tasks.close();
    database.close();

    let signalled = signals.wait(&stop).await;
    info!("stopping");
    stop.cancel();
    if timeout(SOFT_STOP, tasks.wait()).await.is_err() {
        warn!("cutting off what has not ended");
    }
    stop_database.cancel();
    database.wait().await;
    signalled
}

/// Ends the server when a listener ends before it shall.
async fn until_failed(
    name: &'static str,
    stop: CancellationToken,
    serve: impl Future<Output = Result<()>>,
) {
    if let Err(cause) = serve.await {
        error!(%cause, listener = name, "a listener failed");
    }
    stop.cancel();
}

async fn renew_mail_certificates(state: State, stop: CancellationToken) {
    let mut ticks = interval(RENEWAL_PERIOD);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match app::mail_certificates::renew_due(&state).await {
            Ok(0) => {}
            Ok(renewed) => info!(renewed, "renewed mail certificates"),
            Err(error) => warn!(%error, "cannot renew mail certificates"),
        }
    }
}
