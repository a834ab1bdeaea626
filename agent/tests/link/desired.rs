//! Desired states: accepted, refused, applied, not applied.

use umail_proto::agent::{ListenerKind, ServiceHealth, ServiceKind};

use crate::{
    node::{NEXT_EPOCH, Node, a_while, desired, until},
    server::Server,
};

const SMTP: &[ListenerKind] = &[ListenerKind::Smtp];
const BOTH: &[ListenerKind] = &[ListenerKind::Smtp, ListenerKind::Submission];

#[tokio::test]
async fn a_state_is_applied_and_reported_and_a_listener_closed_by_a_reload() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, BOTH)));
    let agent = node.start(&server).await;
    until("generation 1", || node.script.status().applied_generation == 1).await;
    let status = node.script.status();
    assert_eq!(status.services[0].health(), ServiceHealth::Running);
    assert_eq!(status.services[0].listeners().collect::<Vec<_>>(), BOTH);
    node.script.desired.send_replace(Some(desired(2, SMTP)));
    until("generation 2", || node.script.status().applied_generation == 2).await;
    assert_eq!(node.script.status().services[0].listeners().collect::<Vec<_>>(), SMTP);
    assert_eq!(node.service.done(), ["start", "reload"]);
    assert!(agent.stop().await);
    assert!(node.service.0.lock().unwrap().is_running, "services outlive the agent");
}

#[tokio::test]
async fn a_refused_configuration_is_answered_with_its_reason_and_the_last_good_one_stays() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, BOTH)));
    let agent = node.start(&server).await;
    until("generation 1", || node.script.status().applied_generation == 1).await;
    node.service.0.lock().unwrap().refuses.insert(2, "bad value of myhostname".to_owned());
    node.script.desired.send_replace(Some(desired(2, SMTP)));
    until("a refusal", || node.script.status().refusal.contains("bad value of myhostname")).await;
    let status = node.script.status();
    assert_eq!((status.accepted_generation, status.applied_generation), (2, 1));
    assert_eq!(status.alarms[0].kind, "configuration_refused");
    assert_eq!(status.services[0].listeners().collect::<Vec<_>>(), BOTH);
    assert_eq!(node.service.done(), ["start"]);
    // The next generation is good again.
    node.script.desired.send_replace(Some(desired(3, SMTP)));
    until("generation 3", || node.script.status().applied_generation == 3).await;
    until("no refusal", || node.script.status().refusal.is_empty()).await;
    assert!(agent.stop().await);
}

#[tokio::test]
async fn a_restart_is_carried_out_once_however_often_the_agent_starts() {
    let node = Node::new();
    let server = Server::start(&node.script);
    let mut state = desired(1, SMTP);
    state.services[0].restarts = 4;
    node.script.desired.send_replace(Some(state.clone()));
    let agent = node.start(&server).await;
    until("generation 1", || node.script.status().applied_generation == 1).await;
    assert_eq!(node.service.done(), ["start"], "the first state is where counting begins");
    state.generation = 2;
    state.services[0].restarts = 5;
    node.script.desired.send_replace(Some(state));
    until("generation 2", || node.script.status().applied_generation == 2).await;
    assert_eq!(node.service.done(), ["start", "stop", "start"]);
    assert!(agent.stop().await);
    let agent = node.start(&server).await;
    a_while().await;
    assert_eq!(node.service.done(), ["start", "stop", "start"]);
    assert_eq!(node.script.status().services[0].restarts, 5);
    assert!(agent.stop().await);
}

#[tokio::test]
async fn lower_generations_and_changed_content_are_refused_and_a_new_epoch_is_not() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(5, BOTH)));
    let agent = node.start(&server).await;
    until("generation 5", || node.script.status().applied_generation == 5).await;

    node.script.desired.send_replace(Some(desired(4, SMTP)));
    let alarmed = |text: &str| {
        let status = node.script.status();
        status.accepted_generation == 5
            && status
                .alarms
                .iter()
                .any(|alarm| alarm.kind == "state_refused" && alarm.detail.contains(text))
    };
    until("lower refused", || alarmed("generation 5 is accepted already")).await;
    node.script.desired.send_replace(Some(desired(5, SMTP)));
    until("other content refused", || alarmed("other content")).await;
    assert_eq!(agent.state().ledger.desired().unwrap().services[0].listeners.len(), 2);

    let mut restored = desired(2, SMTP);
    restored.epoch = NEXT_EPOCH.to_owned();
    node.script.desired.send_replace(Some(restored));
    until("the new epoch", || {
        let status = node.script.status();
        status.epoch == NEXT_EPOCH && status.applied_generation == 2 && status.alarms.is_empty()
    })
    .await;
    assert!(agent.stop().await);
}

#[tokio::test]
async fn states_that_no_server_sends_change_nothing() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, BOTH)));
    let agent = node.start(&server).await;
    until("generation 1", || node.script.status().applied_generation == 1).await;
    let mut foreign = desired(2, SMTP);
    foreign.node_id = NEXT_EPOCH.to_owned();
    let mut unknown = desired(3, SMTP);
    unknown.services[0].kind = 42;
    let mut injected = desired(4, SMTP);
    injected.settings.as_mut().unwrap().hostname =
        "a\nsmtpd_relay_restrictions = permit".to_owned();
    for state in [foreign, unknown, injected] {
        let generation = state.generation;
        node.script.desired.send_replace(Some(state));
        until("refused", || {
            node.script
                .status()
                .alarms
                .iter()
                .any(|alarm| alarm.detail.starts_with(&format!("generation {generation}:")))
        })
        .await;
    }
    assert_eq!(node.script.status().accepted_generation, 1);
    assert_eq!(node.service.done(), ["start"]);
    assert!(agent.stop().await);
}

#[tokio::test]
async fn a_state_that_cannot_be_written_down_is_not_acted_on_and_taken_later() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, BOTH)));
    let agent = node.start(&server).await;
    until("generation 1", || node.script.status().applied_generation == 1).await;
    // A folder in the way of the new ledger, as a full disk would be.
    let obstacle = node.folder.path().join("agent/ledger.new");
    std::fs::create_dir(&obstacle).unwrap();
    node.script.desired.send_replace(Some(desired(2, SMTP)));
    until("an alarm", || {
        node.script.status().alarms.iter().any(|alarm| alarm.kind == "state_refused")
    })
    .await;
    assert_eq!(node.script.status().accepted_generation, 1);
    assert_eq!(node.service.done(), ["start"]);
    std::fs::remove_dir(&obstacle).unwrap();
    until("generation 2", || node.script.status().applied_generation == 2).await;
    until("no alarms", || node.script.status().alarms.is_empty()).await;
    assert!(agent.stop().await);
}

#[tokio::test]
async fn a_configuration_whose_installation_was_interrupted_takes_effect_after_the_crash() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, BOTH)));
    let agent = node.start(&server).await;
    until("generation 1", || node.script.status().applied_generation == 1).await;
    // Killed between installing and reloading: the files are new, what runs is old.
    agent.state().ledger.unsettle(ServiceKind::Postfix, true).unwrap();
    assert!(agent.stop().await);
    node.service.0.lock().unwrap().open = SMTP.to_vec();
    let agent = node.start(&server).await;
    until("a restart", || node.service.done() == ["start", "stop", "start"]).await;
    assert_eq!(node.service.0.lock().unwrap().open, BOTH);
    until("a settled service", || !agent.state().ledger.is_unsettled(ServiceKind::Postfix)).await;
    assert!(agent.stop().await);
}
