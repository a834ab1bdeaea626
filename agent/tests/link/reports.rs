//! Traffic: handed over when it is there, forgotten when the server has it.

use umail_agent::spool::Interval;
use umail_proto::agent::{TrafficCount, TrafficKind};

use crate::{
    node::{Node, a_while, until},
    server::Server,
};

fn interval(messages: u64, node: &Node) -> Interval {
    let now = Some(node.clock.now());
    let counts =
        vec![TrafficCount { kind: TrafficKind::Received.into(), messages, bytes: 100 * messages }];
    Interval { counts, started_at: now, ended_at: now, ..Interval::default() }
}

#[tokio::test]
async fn traffic_is_sent_again_until_its_answer_arrives_and_then_forgotten() {
    let node = Node::new();
    let server = Server::start(&node.script);
    *node.script.loses_reports.lock().unwrap() = true;
    let agent = node.start(&server).await;
    let spool = &agent.state().spool;
    spool.append(interval(3, &node), b"").unwrap();
    until("a second attempt", || node.script.heard(|heard| heard.reports.len()) >= 2).await;
    assert!(!spool.is_empty());
    *node.script.loses_reports.lock().unwrap() = false;
    until("an empty spool", || spool.is_empty()).await;
    node.script.heard(|heard| assert!(heard.reports.iter().all(|one| *one == heard.reports[0])));
    let sent = node.script.heard(|heard| heard.reports.len());
    a_while().await;
    assert_eq!(node.script.heard(|heard| heard.reports.len()), sent);
    assert!(agent.stop().await);
}

#[tokio::test]
async fn traffic_of_an_earlier_boot_arrives_after_an_outage() {
    let node = Node::new();
    let server = Server::start(&node.script);
    let address = server.stop();
    for round in 1..=3 {
        let agent = node.start_with(&[address]).await;
        agent.state().spool.append(interval(round, &node), b"").unwrap();
        assert!(agent.stop().await);
    }
    let server = Server::start_on(&node.script, address);
    let agent = node.start(&server).await;
    until("an empty spool", || agent.state().spool.is_empty()).await;
    let messages = |report: &umail_proto::agent::TrafficReport| report.counts[0].messages;
    let mut heard: Vec<_> = node.script.heard(|heard| heard.reports.iter().map(messages).collect());
    heard.dedup();
    assert_eq!(heard.iter().sum::<u64>(), 6, "{heard:?}");
    assert!(agent.stop().await);
}
