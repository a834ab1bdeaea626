//! The reconciler: brings the services to the desired state, over and over. It takes no input but
//! the ledger and what the drivers see.

mod plan;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use umail_proto::agent::{
    DesiredService, DesiredState, ListenerKind, ObservedService, ServiceHealth, ServiceKind,
};

use self::plan::{Step, Wish, plan};
use crate::{
    drivers::{Change, Driver, Observation, Refusal},
    state::State,
    status::AlarmKind,
};

/// How long a service may take until its listeners are what they shall be.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
const SETTLE_INTERVAL: Duration = Duration::from_millis(250);

/// Brings the services of one node to the desired state.
pub struct Reconciler {
    state: Arc<State>,
    drivers: Vec<Arc<dyn Driver>>,
    /// Changes that are installed and have not taken effect yet.
    pending: HashMap<ServiceKind, Change>,
    /// Epoch and generation that were brought about last.
    done: Option<(String, u64)>,
}

impl Reconciler {
    /// A reconciler of these services.
    #[must_use]
    pub fn new(state: Arc<State>, drivers: Vec<Arc<dyn Driver>>) -> Self {
        let unsettled = drivers.iter().filter(|driver| state.ledger.is_unsettled(driver.kind()));
        // What was installed before the crash may need the most.
        let pending = unsettled.map(|driver| (driver.kind(), Change::Restart)).collect();
        Self { state, drivers, pending, done: None }
    }

    /// Works until it is told to stop: at once when the desired state has changed or a service is
    /// not what it shall be, and after a while in any case.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut desired = self.state.ledger.watch();
        let mut due = Instant::now();
        while !stop.is_cancelled() {
            let wish = desired.borrow_and_update().clone();
            let observations = self.observe().await;
            let is_due =
                Instant::now() >= due || self.state.restart_services.load(Ordering::SeqCst);
            match wish {
                Some(wish) if is_due || self.is_behind(&wish, &observations) => {
                    let is_done = self.pass(&wish).await;
                    let pace = self.state.pace;
                    let wait = if is_done { pace.reconcile_full } else { pace.reconcile_retry };
                    due = Instant::now() + wait;
                }
                _ => self.report(&observations),
            }
            tokio::select! {
                () = stop.cancelled() => break,
                _ = desired.changed() => due = Instant::now(),
                () = self.state.reconcile.notified() => due = Instant::now(),
                () = tokio::time::sleep(self.state.pace.observe) => {}
            }
        }
    }

    async fn observe(&self) -> Vec<(ServiceKind, Observation)> {
        let mut observations = Vec::with_capacity(self.drivers.len());
        for driver in &self.drivers {
            observations.push((driver.kind(), driver.observe().await));
        }
        observations
    }

    /// Whether a generation that was brought about no longer holds.
    fn is_behind(&self, wish: &DesiredState, seen: &[(ServiceKind, Observation)]) -> bool {
        self.done.as_ref().is_some_and(|(epoch, generation)| {
            *epoch == wish.epoch
                && *generation == wish.generation
                && seen.iter().any(|(kind, seen)| {
                    let is_running = service(wish, *kind).is_some_and(|service| service.running);
                    is_running != (seen.health == ServiceHealth::Running)
                })
        })
    }

    /// One pass over all services. True when all of them are what they shall be.
    async fn pass(&mut self, wish: &DesiredState) -> bool {
        let mut refusals = Vec::new();
        if let Err(error) = self.settings(wish).await {
            refusals.push(error);
        }
        let everything = self.state.restart_services.swap(false, Ordering::SeqCst);
        for driver in self.drivers.clone() {
            if everything {
                self.pending.insert(driver.kind(), Change::Restart);
            }
            if let Err(refusal) = self.bring(&*driver, wish).await {
                let name = driver.kind().as_str_name().trim_start_matches("SERVICE_KIND_");
                refusals.push(format!("{}: {refusal}", name.to_lowercase()));
            }
        }
        let refusal = refusals.join("; ");
        if refusal.is_empty() {
            if let Err(error) = self.state.ledger.applied(wish) {
                tracing::error!(%error, "the ledger cannot be written");
            }
            self.done = Some((wish.epoch.clone(), wish.generation));
        } else {
            tracing::warn!(generation = wish.generation, refusal, "not applied");
            self.done = None;
        }
        let alarm = (!refusal.is_empty()).then(|| refusal.clone());
        self.state.status.alarm(AlarmKind::ConfigurationRefused, alarm);
        self.state.status.refuse(wish.generation, &refusal);
        let observations = self.observe().await;
        self.report(&observations);
        refusal.is_empty()
    }

    /// What the views of the replica need to know of the node.
    async fn settings(&self, wish: &DesiredState) -> Result<(), String> {
        let postmaster = wish.settings.as_ref().map_or("", |settings| &settings.postmaster_address);
        for (key, value) in [
            ("postmaster_address", postmaster),
            ("node_id", &wish.node_id),
            ("node_name", &wish.node_name),
        ] {
            let set = self.state.replica.set_setting(key, value).await;
            set.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Brings one service to what it shall be.
    async fn bring(&mut self, driver: &dyn Driver, wish: &DesiredState) -> Result<(), Refusal> {
        let kind = driver.kind();
        let Some(service) = service(wish, kind) else {
            return match driver.observe().await.health {
                ServiceHealth::Stopped => Ok(()),
                _ => driver.stop().await,
            };
        };
        let configured = self.configure(driver, wish).await;
        let seen = driver.observe().await;
        let is_restart_due = service.restarts > self.state.ledger.restarts(kind);
        let wishes = Wish { is_running: service.running, is_restart_due };
        let change = self.pending.get(&kind).copied().unwrap_or(Change::None);
        let step = match (plan(wishes, seen.health, change), &configured) {
            // What runs is left alone under a refused configuration; what shall run is started
            // with the last good one.
            (Step::Reload | Step::Restart, Err(_)) if seen.health == ServiceHealth::Running => {
                Step::Leave
            }
            (step, _) => step,
        };
        if step != Step::Leave {
            tracing::info!(
                service = kind.as_str_name(),
                ?step,
                generation = wish.generation,
                "step"
            );
        }
        let taken = take(driver, step).await;
        configured?;
        taken?;
        settled(driver, service, step).await?;
        self.pending.remove(&kind);
        self.state.ledger.unsettle(kind, false).map_err(|error| unwritten(&error))?;
        self.state.ledger.restarted(kind, service.restarts).map_err(|error| unwritten(&error))
    }

    /// Installs the configuration and notes what it takes to make it effective.
    async fn configure(&mut self, driver: &dyn Driver, wish: &DesiredState) -> Result<(), Refusal> {
        let kind = driver.kind();
        let done = (wish.epoch.clone(), wish.generation);
        if self.done.as_ref() != Some(&done) {
            self.state.ledger.unsettle(kind, true).map_err(|error| unwritten(&error))?;
        }
        let configured = driver.configure(wish).await;
        if configured.is_err() && !self.pending.contains_key(&kind) {
            self.state.ledger.unsettle(kind, false).map_err(|error| unwritten(&error))?;
        }
        let change = configured?;
        if change != Change::None && self.pending.get(&kind) != Some(&Change::Restart) {
            self.pending.insert(kind, change);
        }
        Ok(())
    }

    fn report(&self, observations: &[(ServiceKind, Observation)]) {
        let services = observations.iter().map(|(kind, seen)| ObservedService {
            kind: (*kind).into(),
            health: seen.health.into(),
            listeners: seen.listeners.iter().map(|listener| (*listener).into()).collect(),
            version: seen.version.clone(),
            restarts: self.state.ledger.restarts(*kind),
            detail: seen.detail.clone(),
        });
        self.state.status.services(services.collect());
    }
}

fn service(wish: &DesiredState, kind: ServiceKind) -> Option<&DesiredService> {
    wish.services.iter().find(|service| service.kind() == kind)
}

async fn take(driver: &dyn Driver, step: Step) -> Result<(), Refusal> {
    match step {
        Step::Leave => Ok(()),
        Step::Start => driver.start().await,
        Step::Stop => driver.stop().await,
        Step::Reload => driver.reload().await,
        Step::Restart => {
            driver.stop().await?;
            driver.start().await
        }
    }
}

/// Waits until a service that was touched is what it shall be: daemons open and close their
/// listeners a moment after their command has returned.
async fn settled(driver: &dyn Driver, wish: &DesiredService, step: Step) -> Result<(), Refusal> {
    if !wish.running {
        return Ok(());
    }
    let limit = Instant::now() + if step == Step::Leave { Duration::ZERO } else { SETTLE_LIMIT };
    loop {
        let Some(wrong) = difference(&driver.observe().await, wish) else { return Ok(()) };
        if Instant::now() >= limit {
            return Err(Refusal(wrong));
        }
        tokio::time::sleep(SETTLE_INTERVAL).await;
    }
}

/// What is not as it shall be with a service that shall run.
fn difference(seen: &Observation, wish: &DesiredService) -> Option<String> {
    if seen.health != ServiceHealth::Running {
        return Some(format!("it does not run {}", seen.detail).trim_end().to_owned());
    }
    let wished: Vec<ListenerKind> = wish.listeners().collect();
    let name = |listener: &ListenerKind| {
        listener.as_str_name().trim_start_matches("LISTENER_KIND_").to_lowercase()
    };
    if let Some(closed) = wished.iter().find(|listener| !seen.listeners.contains(listener)) {
        return Some(format!("{} is not open", name(closed)));
    }
    let open = seen.listeners.iter().find(|listener| !wished.contains(listener))?;
    Some(format!("{} is still open", name(open)))
}

fn unwritten(error: &io::Error) -> Refusal {
    Refusal(format!("the ledger cannot be written: {error}"))
}
