//! Supervisors: who starts and stops the mail daemons of this node.

pub mod direct;
pub mod systemd;

use futures_util::future::BoxFuture;
use umail_proto::agent::ServiceKind;

use crate::drivers::Refusal;

/// Starts and stops daemons. They outlive the agent: mail flows while it is stopped or upgraded.
pub trait Supervisor: Send + Sync {
    /// Starts the service; nothing to do if it runs.
    fn start(&self, service: ServiceKind) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Stops the service and waits for its end; nothing to do if it does not run.
    fn stop(&self, service: ServiceKind) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Makes the running service read its configuration again.
    fn reload(&self, service: ServiceKind) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Whether the service runs.
    fn running(&self, service: ServiceKind) -> BoxFuture<'_, Result<bool, Refusal>>;
}
