//! The systemd supervisor: the units of the packages, over D-Bus.

use std::{future, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use tokio::sync::Mutex;
use umail_proto::agent::ServiceKind;
use zbus::{Connection, OwnedObjectPath, connection};

use super::Supervisor;
use crate::drivers::Refusal;

/// How long a job may take: systemd gives a stopping unit 90 seconds.
const JOB_LIMIT: Duration = Duration::from_secs(100);
/// How long systemd may take to answer.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// A new job takes the place of one that waits.
const MODE: &str = "replace";

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
trait Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
}

/// Starts and stops the units of Postfix and Dovecot.
pub struct Systemd {
    /// Of the bus; none for the system's.
    address: Option<String>,
    /// Made when it is first needed, and anew after it broke.
    connection: Mutex<Option<Connection>>,
}

/// What is asked of a unit.
#[derive(Clone, Copy, Debug)]
enum Job {
    Start,
    Stop,
    Reload,
}

impl Systemd {
    /// A supervisor that speaks over the system's bus.
    #[must_use]
    pub const fn on_system_bus() -> Self {
        Self { address: None, connection: Mutex::const_new(None) }
    }

    /// A supervisor that speaks over the bus at this address.
    #[must_use]
    pub fn on_bus(address: &str) -> Self {
        Self { address: Some(address.to_owned()), connection: Mutex::const_new(None) }
    }

    /// A connection that held when it was last used.
    async fn connect(&self) -> zbus::Result<Connection> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let builder = match &self.address {
            Some(address) => connection::Builder::address(address.as_str()),
            None => connection::Builder::system(),
        };
        let fresh = builder.method_timeout(CALL_LIMIT).build().await?;
        // Without it systemd tells nobody about the ends of jobs.
        ManagerProxy::new(&fresh).await?.subscribe().await?;
        *connection = Some(fresh.clone());
        Ok(fresh)
    }

    /// Tells what went wrong; a connection that may be broken is not used again.
    async fn refuse(&self, unit: &str, error: zbus::Error) -> Refusal {
        if let zbus::Error::MethodError(_, text, _) = &error {
            let text = text.clone().unwrap_or_else(|| error.to_string());
            return Refusal(format!("systemd: {unit}: {text}"));
        }
        *self.connection.lock().await = None;
        Refusal(format!("systemd: {unit}: {error}"))
    }

    async fn is_active(&self, service: ServiceKind) -> Result<bool, Refusal> {
        let unit = unit(service)?;
        match self.state(unit).await {
            Ok(state) => Ok(matches!(state.as_str(), "active" | "reloading")),
            Err(error) => Err(self.refuse(unit, error).await),
        }
    }

    /// The state of a unit. One that is not loaded is loaded for the answer.
    async fn state(&self, unit: &str) -> zbus::Result<String> {
        let connection = self.connect().await?;
        let path = ManagerProxy::new(&connection).await?.load_unit(unit).await?;
        UnitProxy::builder(&connection).path(path).build().await?.active_state().await
    }

    async fn run(&self, service: ServiceKind, job: Job) -> Result<(), Refusal> {
        let unit = unit(service)?;
        let result = match tokio::time::timeout(JOB_LIMIT, self.job(unit, job)).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => return Err(self.refuse(unit, error).await),
            Err(_elapsed) => "it does not end".to_owned(),
        };
        if result == "done" {
            Ok(())
        } else {
            Err(Refusal(format!("systemd: {unit}: {job:?}: {result}")))
        }
    }

    /// Begins a job, waits for its end and returns its result.
    async fn job(&self, unit: &str, job: Job) -> zbus::Result<String> {
        let connection = self.connect().await?;
        let manager = ManagerProxy::new(&connection).await?;
        // Before the job begins: a short one would have ended unseen.
        let ends = manager.receive_job_removed().await?;
        let path = match job {
            Job::Start => manager.start_unit(unit, MODE).await?,
            Job::Stop => manager.stop_unit(unit, MODE).await?,
            Job::Reload => manager.reload_unit(unit, MODE).await?,
        };
        let results = ends.filter_map(|end| {
            let end = end.args().ok().filter(|end| end.job == path).map(|end| end.result);
            future::ready(end)
        });
        let gone = || zbus::Error::Failure("the bus has gone away".to_owned());
        std::pin::pin!(results).next().await.ok_or_else(gone)
    }
}

impl Supervisor for Systemd {
    fn start(&self, service: ServiceKind) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            if self.is_active(service).await? {
                return Ok(());
            }
            self.run(service, Job::Start).await?;
            // A unit whose condition does not hold ends its job as if it had been started.
            if self.is_active(service).await? {
                Ok(())
            } else {
                Err(Refusal(format!("systemd: {}: does not run", unit(service)?)))
            }
        }
        .boxed()
    }

    fn stop(&self, service: ServiceKind) -> BoxFuture<'_, Result<(), Refusal>> {
        // Also one that is not active: it may be about to start.
        self.run(service, Job::Stop).boxed()
    }

    fn reload(&self, service: ServiceKind) -> BoxFuture<'_, Result<(), Refusal>> {
        self.run(service, Job::Reload).boxed()
    }

    fn running(&self, service: ServiceKind) -> BoxFuture<'_, Result<bool, Refusal>> {
        self.is_active(service).boxed()
    }
}

/// The unit of the package; `deploy/systemd` points both at the agent's configuration.
fn unit(service: ServiceKind) -> Result<&'static str, Refusal> {
    match service {
        ServiceKind::Postfix => Ok("postfix@-.service"),
        ServiceKind::Dovecot => Ok("dovecot.service"),
        ServiceKind::Unspecified => Err(Refusal("no such service".to_owned())),
    }
}
