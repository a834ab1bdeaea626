//! A service and verbs that do what the test tells them, and remember what was done.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures_util::{FutureExt, future::BoxFuture};
use time::OffsetDateTime;
use umail_agent::{
    actions::Verbs,
    drivers::{Change, ConfigFile, Driver, Observation, Refusal},
};
use umail_proto::agent::{
    ActionFindings, DesiredState, ListenerKind, Peer, ServiceHealth, ServiceKind, action::Verb,
};

/// A service that lives outside of the agent, as the real ones do.
#[derive(Default)]
pub(crate) struct Service {
    pub(crate) is_running: bool,
    pub(crate) installed: Vec<ListenerKind>,
    pub(crate) open: Vec<ListenerKind>,
    pub(crate) done: Vec<String>,
    /// What `configure` answers for a state, by its generation.
    pub(crate) refuses: BTreeMap<u64, String>,
}

#[derive(Clone, Default)]
pub(crate) struct Fake(pub(crate) Arc<Mutex<Service>>);

impl Fake {
    pub(crate) fn done(&self) -> Vec<String> {
        self.0.lock().unwrap().done.clone()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.done().iter().filter(|done| *done == what).count()
    }

    fn set(&self, what: &str, change: impl FnOnce(&mut Service)) {
        let mut service = self.0.lock().unwrap();
        service.done.push(what.to_owned());
        change(&mut service);
    }
}

impl Driver for Fake {
    fn kind(&self) -> ServiceKind {
        ServiceKind::Postfix
    }

    fn observe(&self) -> BoxFuture<'_, Observation> {
        let service = self.0.lock().unwrap();
        let running = service.is_running;
        let health = if running { ServiceHealth::Running } else { ServiceHealth::Stopped };
        let listeners = if running { service.open.clone() } else { vec![] };
        let (version, detail) = ("1.0".to_owned(), String::new());
        let seen = Observation { health, listeners, version, detail };
        async move { seen }.boxed()
    }

    fn render(&self, _desired: &DesiredState) -> Result<Vec<ConfigFile>, Refusal> {
        Ok(Vec::new())
    }

    fn configure<'a>(
        &'a self,
        desired: &'a DesiredState,
    ) -> BoxFuture<'a, Result<Change, Refusal>> {
        let mut service = self.0.lock().unwrap();
        let refused = service.refuses.get(&desired.generation).cloned();
        let change = if let Some(reason) = refused {
            Err(Refusal(reason))
        } else {
            let listeners: Vec<_> = desired.services[0].listeners().collect();
            let is_new = service.installed != listeners;
            service.installed = listeners;
            Ok(if is_new { Change::Reload } else { Change::None })
        };
        async move { change }.boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.set("start", |service| {
            service.is_running = true;
            service.open = service.installed.clone();
        });
        async { Ok(()) }.boxed()
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.set("stop", |service| service.is_running = false);
        async { Ok(()) }.boxed()
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.set("reload", |service| service.open = service.installed.clone());
        async { Ok(()) }.boxed()
    }
}

/// Verbs that are counted. `KickUser` never ends, the others are done at once.
#[derive(Clone, Default)]
pub(crate) struct Counted(Arc<Mutex<usize>>);

impl Counted {
    pub(crate) fn executed(&self) -> usize {
        *self.0.lock().unwrap()
    }
}

impl Verbs for Counted {
    fn execute<'a>(
        &'a self,
        verb: &'a Verb,
        _deadline: OffsetDateTime,
        _peers: &'a [Peer],
    ) -> BoxFuture<'a, Result<ActionFindings, Refusal>> {
        *self.0.lock().unwrap() += 1;
        async move {
            match verb {
                Verb::KickUser(_) => std::future::pending().await,
                Verb::VerifyMailbox(_) => Ok(ActionFindings { messages: 7, ..Default::default() }),
                _ => Ok(ActionFindings::default()),
            }
        }
        .boxed()
    }
}
