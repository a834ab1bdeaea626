//! A move while messages arrive: none is lost, none is there twice, and nothing else changes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::task::TaskTracker;

use crate::{
    lmtp,
    node::{ADA, BOB, DESTINATION, Fleet, Node, SOURCE},
};

/// Messages that are there before the move.
const BEFORE: usize = 120;

/// Hands in numbered messages until it is told to stop, each until it is taken, as Postfix does.
struct Traffic {
    port: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
    next: Arc<AtomicUsize>,
    deferred: Arc<AtomicUsize>,
    tasks: TaskTracker,
}

impl Traffic {
    fn start(port: u16) -> Self {
        let traffic = Self {
            port: Arc::new(AtomicU16::new(port)),
            stop: Arc::default(),
            next: Arc::new(AtomicUsize::new(BEFORE)),
            deferred: Arc::default(),
            tasks: TaskTracker::new(),
        };
        for _ in 0..4 {
            let (port, stop) = (Arc::clone(&traffic.port), Arc::clone(&traffic.stop));
            let (next, deferred) = (Arc::clone(&traffic.next), Arc::clone(&traffic.deferred));
            traffic.tasks.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    hand_in(&port, number, &deferred).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        traffic.tasks.close();
        traffic
    }

    /// Ends it when every message is taken: how many there were in all.
    async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.wait().await;
        (self.next.load(Ordering::SeqCst), self.deferred.load(Ordering::SeqCst))
    }
}

async fn hand_in(port: &AtomicU16, number: usize, deferred: &AtomicUsize) {
    loop {
        let answer = lmtp::deliver(port.load(Ordering::SeqCst), ADA.1, number).await;
        let Some(answer) = answer else { panic!("the answer to message {number} was lost") };
        match answer.as_bytes()[0] {
            b'2' => return,
            b'4' => deferred.fetch_add(1, Ordering::SeqCst),
            _ => panic!("message {number} was bounced: {answer}"),
        };
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_moves_while_messages_arrive() {
    let fleet = Fleet::new();
    let source = Node::start(&fleet, SOURCE).await;
    let destination = Node::start(&fleet, DESTINATION).await;
    destination.serve().await;
    for number in 0..BEFORE {
        let answer = lmtp::deliver(source.lmtp, ADA.1, number).await.unwrap();
        assert!(answer.starts_with('2'), "{answer}");
    }
    assert!(lmtp::deliver(source.lmtp, BOB.1, 1).await.unwrap().starts_with('2'));
    source.doveadm(&[
        "flags",
        "add",
        "-u",
        ADA.1,
        "\\Seen $Work",
        "mailbox",
        "INBOX",
        "uid",
        "1:40",
    ]);
    source.doveadm(&["move", "-u", ADA.1, "Trash", "mailbox", "INBOX", "uid", "30:50"]);
    let before = source.messages(ADA.1);
    assert_eq!(before.len(), BEFORE);

    let traffic = Traffic::start(source.lmtp);
    destination.prepare().await.unwrap();
    source.copy().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    source.copy().await.unwrap();
    source.freeze().await.unwrap();
    let frozen = source.messages(ADA.1);
    source.copy().await.unwrap();
    let (here, there) = (source.verify().await.unwrap(), destination.verify().await.unwrap());
    assert_eq!(here, there);
    assert_eq!(usize::try_from(here.messages).unwrap(), frozen.len());
    assert_eq!(source.messages(ADA.1), frozen, "the freeze is a barrier");
    destination.place(DESTINATION).await;
    source.place(DESTINATION).await;
    traffic.port.store(destination.lmtp, Ordering::SeqCst);
    destination.release().await.unwrap();
    source.remove().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (handed_in, deferred) = traffic.end().await;

    let after = destination.messages(ADA.1);
    let expected: std::collections::BTreeSet<_> =
        (0..handed_in).map(|number| format!("<{number}@client.example>")).collect();
    let found: std::collections::BTreeSet<_> = after.keys().cloned().collect();
    assert_eq!(found, expected);
    for (message, place) in &frozen {
        assert_eq!(after[message], *place, "{message}: folder, UID and flags");
    }
    assert!(handed_in > BEFORE + 20 && deferred > 0, "{handed_in} messages, {deferred} deferred");
    assert!(!source.mailbox(ADA.0).exists());
    assert_eq!(source.messages(BOB.1).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_ends_deliveries_that_are_under_way() {
    let fleet = Fleet::new();
    let source = Node::start(&fleet, SOURCE).await;
    let mut session = lmtp::Session::open(source.lmtp).await.unwrap();
    assert!(session.begin(ADA.1).await.unwrap().starts_with('3'));
    source.freeze().await.unwrap();
    let answer = session.ask(&format!("{}.", lmtp::message(1))).await;
    assert!(answer.is_none_or(|answer| answer.starts_with('4')), "it was taken");
    assert!(source.messages(ADA.1).is_empty());
    let answer = lmtp::deliver(source.lmtp, ADA.1, 1).await.unwrap();
    assert!(answer.starts_with("45"), "{answer}");
    assert!(lmtp::deliver(source.lmtp, BOB.1, 1).await.unwrap().starts_with('2'));
    source.release().await.unwrap();
    assert!(lmtp::deliver(source.lmtp, ADA.1, 1).await.unwrap().starts_with('2'));
    assert_eq!(source.messages(ADA.1).len(), 1);
}
