//! Actions: at most once, in their epoch, before their deadline.

use prost_types::Timestamp;
use umail_proto::agent::{
    Action, ActionOutcome, FlushQueue, KickUser, ListenerKind, VerifyMailbox, action::Verb,
};

use crate::{
    node::{EPOCH, NEXT_EPOCH, Node, a_while, desired, until},
    server::Server,
};

const SMTP: &[ListenerKind] = &[ListenerKind::Smtp];

fn action(number: u64, verb: Option<Verb>, node: &Node) -> Action {
    let deadline = node.clock.now() + time::Duration::minutes(5);
    Action {
        action_id: format!("0198c0de-0000-7000-8000-{number:012}"),
        epoch: EPOCH.to_owned(),
        deadline: Some(Timestamp { seconds: deadline.unix_timestamp(), nanos: 0 }),
        verb,
    }
}

const FLUSH: Option<Verb> = Some(Verb::FlushQueue(FlushQueue {}));

#[tokio::test]
async fn an_action_is_executed_and_its_findings_are_reported() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, SMTP)));
    let verb = Some(Verb::VerifyMailbox(VerifyMailbox::default()));
    node.script.actions.send_replace(vec![action(1, verb, &node)]);
    let agent = node.start(&server).await;
    until("a report", || node.script.heard(|heard| heard.actions.len()) == 1).await;
    let report = node.script.heard(|heard| heard.actions[0].clone());
    assert_eq!(report.outcome(), ActionOutcome::Done);
    assert_eq!(report.findings.unwrap().messages, 7);
    assert!(agent.stop().await);
}

#[tokio::test]
async fn an_action_whose_report_is_lost_is_executed_once_and_reported_later() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, SMTP)));
    *node.script.loses_reports.lock().unwrap() = true;
    node.script.actions.send_replace(vec![action(1, FLUSH, &node)]);
    let agent = node.start(&server).await;
    until("an execution", || node.verbs.executed() == 1).await;
    a_while().await;
    assert!(agent.stop().await);
    let agent = node.start(&server).await;
    a_while().await;
    *node.script.loses_reports.lock().unwrap() = false;
    until("a report", || node.script.heard(|heard| heard.actions.len()) == 1).await;
    assert_eq!(node.script.heard(|heard| heard.actions[0].outcome()), ActionOutcome::Done);
    assert_eq!(node.verbs.executed(), 1);
    assert!(agent.stop().await);
}

#[tokio::test]
async fn an_action_that_ran_when_the_agent_was_stopped_has_failed() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, SMTP)));
    let verb = Some(Verb::KickUser(KickUser { user_id: EPOCH.to_owned() }));
    node.script.actions.send_replace(vec![action(1, verb, &node)]);
    let agent = node.start(&server).await;
    until("an execution", || node.verbs.executed() == 1).await;
    assert!(!agent.stop().await, "the action was given up");
    let agent = node.start(&server).await;
    until("a report", || node.script.heard(|heard| heard.actions.len()) == 1).await;
    assert_eq!(node.script.heard(|heard| heard.actions[0].outcome()), ActionOutcome::Failed);
    assert_eq!(node.verbs.executed(), 1);
    assert!(agent.stop().await);
}

#[tokio::test]
async fn actions_of_the_past_of_another_epoch_or_of_an_unknown_verb_are_refused() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, SMTP)));
    let mut late = action(1, FLUSH, &node);
    late.deadline.as_mut().unwrap().seconds -= 301;
    let mut foreign = action(2, FLUSH, &node);
    foreign.epoch = NEXT_EPOCH.to_owned();
    let unknown = action(3, None, &node);
    let mut endless = action(4, FLUSH, &node);
    endless.deadline = None;
    let mut nameless = action(5, FLUSH, &node);
    nameless.action_id = "../ledger".to_owned();
    node.script.actions.send_replace(vec![late, foreign, unknown, endless, nameless]);
    let agent = node.start(&server).await;
    until("five reports", || node.script.heard(|heard| heard.actions.len()) == 5).await;
    node.script.heard(|heard| {
        for report in &heard.actions {
            assert_eq!(report.outcome(), ActionOutcome::Refused, "{report:?}");
            assert!(!report.detail.is_empty());
        }
    });
    assert_eq!(node.verbs.executed(), 0);
    assert!(agent.stop().await);
}
