//! Drivers: how the agent observes, configures and steers one mail service.

pub mod dovecot;
mod install;
mod listeners;
pub mod postfix;
mod settings;
mod tls;

use std::{fmt, path::PathBuf};

use futures_util::future::BoxFuture;
use umail_proto::agent::{DesiredState, ListenerKind, ServiceHealth, ServiceKind};

/// Drives one service of this node. The reconciler knows services by this trait only.
pub trait Driver: Send + Sync {
    /// Which service this is.
    fn kind(&self) -> ServiceKind;

    /// Looks at the service. An error of the observation itself is told in `detail`.
    fn observe(&self) -> BoxFuture<'_, Observation>;

    /// The files that this state asks for, in the order in which they are installed.
    fn render(&self, desired: &DesiredState) -> Result<Vec<ConfigFile>, Refusal>;

    /// Renders the configuration for this state, validates it aside, and installs it if it differs
    /// from what is installed. After a refusal the last good configuration is still in place.
    fn configure<'a>(&'a self, desired: &'a DesiredState)
    -> BoxFuture<'a, Result<Change, Refusal>>;

    /// Starts the service; nothing to do if it runs.
    fn start(&self) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Stops the service; nothing to do if it does not run.
    fn stop(&self) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Makes the running service read its configuration again, keeping sessions where it can.
    fn reload(&self) -> BoxFuture<'_, Result<(), Refusal>>;
}

/// A file of a service's configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it is installed.
    pub path: PathBuf,
    /// What stands in it.
    pub content: String,
    /// Its permissions; 0600 means that it holds a secret.
    pub mode: u32,
}

impl ConfigFile {
    /// Whether only the daemon may see the content.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.mode.trailing_zeros() >= 6
    }
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = if self.is_secret() { "(secret)" } else { &self.content };
        let file = &mut f.debug_struct("ConfigFile");
        file.field("path", &self.path).field("mode", &self.mode).field("content", &content).finish()
    }
}

/// What a driver saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Whether it runs.
    pub health: ServiceHealth,
    /// Listeners that are open, sorted.
    pub listeners: Vec<ListenerKind>,
    /// Version of the installed package; empty when it could not be told.
    pub version: String,
    /// What is wrong; empty when nothing is.
    pub detail: String,
}

/// What has to happen for an installed configuration to take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing changed.
    None,
    /// A running service has to be reloaded.
    Reload,
    /// A running service has to be restarted.
    Restart,
}

/// A configuration or a step that was refused, with the reason for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);
