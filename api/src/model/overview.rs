//! A node as a whole: what is wanted of it, what it says, and what that comes to.

use time::OffsetDateTime;
use umail_api_types::nodes::Generation;
use umail_proto::agent::{
    Alarm, ObservedService, ObservedState, ServiceHealth, ServiceKind as Kind,
};

use crate::model::node::{Node, NodeStatus, Service, ServiceKind};

/// What a node said last.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// When it was heard of.
    pub seen_at: Option<OffsetDateTime>,
    /// Of its agent; empty before its first report.
    pub agent_version: String,
    /// In its ledger, of this life of the database.
    pub accepted_generation: i64,
    /// To which its services were brought, of this life of the database.
    pub applied_generation: i64,
    /// Of the directory, of this life of the database.
    pub directory_version: i64,
    /// Why the accepted generation is not applied.
    pub refusal: String,
    /// When another agent showed its certificate, last.
    pub rival_seen_at: Option<OffsetDateTime>,
    /// What an operator should look at, worst first: what the node says, and what the server saw.
    pub alarms: Vec<Alarm>,
    /// Its last report, whole.
    pub observed: Option<ObservedState>,
}

/// A node as a whole.
#[derive(Clone, Debug)]
pub struct Overview {
    /// As it is wanted.
    pub node: Node,
    /// Its services, as they are wanted.
    pub services: Vec<Service>,
    /// What it said last.
    pub said: Said,
    /// What that comes to.
    pub status: NodeStatus,
    /// Why it is not ready; empty when it is.
    pub reason: String,
}

impl Overview {
    /// Judges a node; `is_silent` when nothing was heard of it for too long.
    #[must_use]
    pub fn new(node: Node, services: Vec<Service>, said: Said, is_silent: bool) -> Self {
        let (status, reason) = judge(&node, &services, &said, is_silent);
        Self { node, services, said, status, reason }
    }

    /// How far the node has followed what is wanted of it.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation {
            desired: self.node.generation,
            accepted: self.said.accepted_generation,
            applied: self.said.applied_generation,
        }
    }

    /// What the node says of a service.
    #[must_use]
    pub fn observed(&self, kind: ServiceKind) -> Option<&ObservedService> {
        observed(&self.said, kind)
    }
}

fn observed(said: &Said, kind: ServiceKind) -> Option<&ObservedService> {
    let kind = match kind {
        ServiceKind::Postfix => Kind::Postfix,
        ServiceKind::Dovecot => Kind::Dovecot,
    };
    said.observed.as_ref()?.services.iter().find(|one| one.kind() == kind)
}

fn judge(node: &Node, services: &[Service], said: &Said, is_silent: bool) -> (NodeStatus, String) {
    if node.revoked_at.is_some() {
        return (NodeStatus::Unreachable, "revoked".to_owned());
    }
    let (Some(seen_at), Some(_)) = (said.seen_at, &said.observed) else {
        return (NodeStatus::Unknown, "has not reported yet".to_owned());
    };
    if is_silent {
        return (NodeStatus::Unreachable, format!("not heard of since {seen_at}"));
    }
    if !said.refusal.is_empty() {
        return (NodeStatus::Degraded, format!("refused: {}", said.refusal));
    }
    for service in services.iter().filter(|service| service.running) {
        let what = match observed(said, service.kind).map(ObservedService::health) {
            Some(ServiceHealth::Running) => continue,
            Some(ServiceHealth::Failed) => "has failed",
            Some(ServiceHealth::Stopped | ServiceHealth::Unspecified) | None => "does not run",
        };
        return (NodeStatus::Degraded, format!("{} {what}", service.kind.name()));
    }
    match said.alarms.first() {
        Some(alarm) => (NodeStatus::Degraded, format!("{}: {}", alarm.kind, alarm.detail)),
        None => (NodeStatus::Ready, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use umail_proto::ids::NodeId;

    use super::*;
    use crate::model::node::Role;

    fn node() -> Node {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        Node {
            id: NodeId::generate(now),
            name: "mx-1".to_owned(),
            address: [10, 0, 0, 1].into(),
            roles: vec![Role::Smtp],
            eligible: true,
            generation: 3,
            revoked_at: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    fn status(node: Node, said: Said, is_silent: bool) -> NodeStatus {
        let services = Service::defaults(node.id, &node.roles).collect();
        Overview::new(node, services, said, is_silent).status
    }

    fn said(report: ObservedState) -> Said {
        Said { seen_at: Some(node().created_at), observed: Some(report), ..Said::default() }
    }

    fn report(health: ServiceHealth) -> ObservedState {
        let service = |kind: Kind| ObservedService {
            kind: kind.into(),
            health: health.into(),
            ..ObservedService::default()
        };
        let services = vec![service(Kind::Postfix), service(Kind::Dovecot)];
        ObservedState { services, ..ObservedState::default() }
    }

    #[test]
    fn a_node_is_what_it_says_unless_it_is_silent_or_revoked() {
        let good = || said(report(ServiceHealth::Running));
        assert_eq!(status(node(), good(), false), NodeStatus::Ready);
        assert_eq!(status(node(), good(), true), NodeStatus::Unreachable);
        assert_eq!(status(node(), Said::default(), false), NodeStatus::Unknown);
        let revoked = Node { revoked_at: Some(node().created_at), ..node() };
        assert_eq!(status(revoked, good(), false), NodeStatus::Unreachable);
    }

    #[test]
    fn refusals_failures_and_alarms_degrade_a_node() {
        let good = || said(report(ServiceHealth::Running));
        let refused = Said { refusal: "postfix check".to_owned(), ..good() };
        assert_eq!(status(node(), refused, false), NodeStatus::Degraded);
        let failed = said(report(ServiceHealth::Failed));
        assert_eq!(status(node(), failed.clone(), false), NodeStatus::Degraded);
        let down = said(report(ServiceHealth::Stopped));
        assert_eq!(status(node(), down, false), NodeStatus::Degraded);
        let silent = said(ObservedState::default());
        assert_eq!(status(node(), silent, false), NodeStatus::Degraded);
        let services = Service::defaults(node().id, &[Role::Smtp])
            .map(|one| Service { running: false, ..one })
            .collect();
        assert_eq!(Overview::new(node(), services, failed, false).status, NodeStatus::Ready);
        let alarms = vec![Alarm { kind: "disk_full".to_owned(), detail: String::new() }];
        assert_eq!(status(node(), Said { alarms, ..good() }, false), NodeStatus::Degraded);
    }
}
