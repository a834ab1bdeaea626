//! Steps of a move are asked again, after crashes, out of order, and by those who may not.

use std::time::Duration;

use crate::{
    lmtp,
    node::{ADA, BOB, DESTINATION, Fleet, Node, OTHER, SOURCE, copy_of},
};

/// Source and destination, with this many messages for Ada on the source.
async fn nodes(fleet: &Fleet, messages: usize) -> (Node, Node) {
    let source = Node::start(fleet, SOURCE).await;
    let destination = Node::start(fleet, DESTINATION).await;
    destination.serve().await;
    for number in 0..messages {
        let answer = lmtp::deliver(source.lmtp, ADA.1, number).await.unwrap();
        assert!(answer.starts_with('2'), "{answer}");
    }
    (source, destination)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_may_be_asked_twice_with_crashes_in_between() {
    let fleet = Fleet::new();
    let (mut source, mut destination) = nodes(&fleet, 30).await;
    let before = source.messages(ADA.1);
    for _ in 0..2 {
        destination.prepare().await.unwrap();
        destination.restart_agent().await;
    }
    for _ in 0..2 {
        source.copy().await.unwrap();
        source.restart_agent().await;
        destination.restart_agent().await;
    }
    for _ in 0..2 {
        source.freeze().await.unwrap();
        source.restart_agent().await;
        assert!(lmtp::deliver(source.lmtp, ADA.1, 99).await.unwrap().starts_with("45"));
    }
    source.copy().await.unwrap();
    for _ in 0..2 {
        assert_eq!(source.verify().await.unwrap(), destination.verify().await.unwrap());
        source.restart_agent().await;
    }
    for node in [&destination, &source] {
        node.place(DESTINATION).await;
    }
    for _ in 0..2 {
        destination.release().await.unwrap();
        source.remove().await.unwrap();
        source.restart_agent().await;
    }
    assert_eq!(destination.messages(ADA.1), before);
    assert!(!source.mailbox(ADA.0).exists());
    assert!(lmtp::deliver(destination.lmtp, ADA.1, 99).await.unwrap().starts_with('2'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_broken_off_is_finished_by_the_next_one() {
    let fleet = Fleet::new();
    let (source, destination) = nodes(&fleet, 200).await;
    destination.prepare().await.unwrap();
    for milliseconds in [10, 40, 90] {
        let limit = Duration::from_millis(milliseconds);
        tokio::time::timeout(limit, source.copy()).await.ok();
    }
    source.freeze().await.unwrap();
    source.copy().await.unwrap();
    assert_eq!(source.verify().await.unwrap(), destination.verify().await.unwrap());
    assert_eq!(destination.messages(ADA.1), source.messages(ADA.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_that_is_ours_or_not_verified_or_has_changed() {
    let fleet = Fleet::new();
    let (source, destination) = nodes(&fleet, 3).await;
    destination.prepare().await.unwrap();
    source.copy().await.unwrap();
    assert!(source.remove().await.is_err(), "it is ours");
    source.place(DESTINATION).await;
    assert!(source.remove().await.is_err(), "it was not verified");
    source.verify().await.unwrap();
    source.doveadm(&["flags", "add", "-u", ADA.1, "\\Flagged", "mailbox", "INBOX", "uid", "1"]);
    assert!(source.remove().await.is_err(), "it has changed");
    assert_eq!(source.messages(ADA.1).len(), 3);
    source.verify().await.unwrap();
    source.remove().await.unwrap();
    assert!(!source.mailbox(ADA.0).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_takes_only_what_it_was_told_to_expect() {
    let fleet = Fleet::new();
    let (source, destination) = nodes(&fleet, 1).await;
    let refused = source.copy().await.unwrap_err().to_string();
    assert!(refused.contains("does not expect"), "{refused}");
    destination.prepare().await.unwrap();
    // The same move for another user, and from another node of the fleet.
    assert!(source.run(copy_of(BOB.0)).await.is_err());
    let other = Node::start(&fleet, OTHER).await;
    let refused = other.copy().await.unwrap_err().to_string();
    assert!(refused.contains("does not expect"), "{refused}");
    // A node of another fleet is not even heard.
    let stranger = Node::start(&Fleet::with_port_of(&fleet), SOURCE).await;
    assert!(stranger.copy().await.is_err());
    assert!(!destination.mailbox(ADA.0).exists());
    source.copy().await.unwrap();
    destination.release().await.unwrap();
    assert!(source.copy().await.is_err(), "what was prepared is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_without_messages_moves_too() {
    let fleet = Fleet::new();
    let (source, destination) = nodes(&fleet, 0).await;
    destination.prepare().await.unwrap();
    source.freeze().await.unwrap();
    source.copy().await.unwrap();
    assert_eq!(source.verify().await.unwrap(), destination.verify().await.unwrap());
    source.place(DESTINATION).await;
    source.remove().await.unwrap();
}
