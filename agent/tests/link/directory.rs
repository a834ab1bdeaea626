//! The directory: resumed, refused, filled anew.

use umail_agent::replica::Position;
use umail_proto::agent::{
    Delta, DirectoryRow, SnapshotBegin, SnapshotChunk, SnapshotEnd, watch_directory_response::Event,
};

use crate::{
    node::{EPOCH, NEXT_EPOCH, Node, a_while, delta, desired, domains, snapshot, until, version},
    server::Server,
};

#[tokio::test]
async fn a_stream_goes_on_from_the_version_of_the_replica_after_a_disconnect() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.open_with(snapshot(EPOCH, 10, &["one.example"]));
    let agent = node.start(&server).await;
    until("version 10", || node.script.status().directory_version == 10).await;
    node.script.directory.send(delta(10, 12, &["two.example"])).unwrap();
    until("version 12", || node.script.status().directory_version == 12).await;

    let address = server.stop();
    a_while().await;
    node.script.open_with(vec![delta(12, 13, &["three.example"])]);
    let server = Server::start_on(&node.script, address);
    until("version 13", || node.script.status().directory_version == 13).await;
    let asked = node.script.heard(|heard| heard.directory.clone());
    assert_eq!((asked[0].epoch.as_str(), asked[0].version), ("", 0));
    let last = asked.last().unwrap();
    assert_eq!((last.epoch.as_str(), last.version), (EPOCH, 12));
    // What the heartbeats say follows.
    until("a heartbeat", || {
        node.script.heard(|heard| heard.heartbeats.last().unwrap().directory_version == 13)
    })
    .await;
    assert!(agent.stop().await);
    drop(server);
}

#[tokio::test]
async fn a_second_server_takes_over() {
    let node = Node::new();
    let first = Server::start(&node.script);
    let second = Server::start(&node.script);
    let agent = node.start_with(&[first.address, second.address]).await;
    until("heartbeats", || node.script.heard(|heard| !heard.heartbeats.is_empty())).await;
    first.stop();
    let before = node.script.heard(|heard| heard.heartbeats.len());
    until("heartbeats again", || node.script.heard(|heard| heard.heartbeats.len()) > before + 3)
        .await;
    assert!(agent.stop().await);
}

#[tokio::test]
async fn a_new_epoch_forces_a_snapshot() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(7, &[])));
    node.script.open_with(snapshot(EPOCH, 10, &["one.example", "two.example"]));
    let agent = node.start(&server).await;
    until("version 10", || node.script.status().directory_version == 10).await;
    until("generation 7", || node.script.status().applied_generation == 7).await;
    // The database was restored: lower version, lower generation, other epoch.
    node.script.open_with(snapshot(NEXT_EPOCH, 4, &["one.example"]));
    let mut restored = desired(1, &[]);
    restored.epoch = NEXT_EPOCH.to_owned();
    node.script.desired.send_replace(Some(restored));
    until("version 4", || node.script.status().directory_version == 4).await;
    let position = agent.state().replica.position().await.unwrap();
    assert_eq!(position, Some(Position { epoch: NEXT_EPOCH.to_owned(), version: 4 }));
    assert!(agent.stop().await);
}

/// Each of these is what only a broken or hostile server sends.
fn hostile() -> Vec<(&'static str, Vec<Event>)> {
    let begin = || Event::SnapshotBegin(SnapshotBegin { epoch: EPOCH.to_owned(), version: 99 });
    let chunk = |rows| Event::SnapshotChunk(SnapshotChunk { rows });
    let mut broken = domains(&["x.example"]);
    broken.push(DirectoryRow { row: None });
    let mut traversing = domains(&["x.example"]);
    if let Some(umail_proto::agent::directory_row::Row::Domain(domain)) = &mut traversing[0].row {
        "../../etc".clone_into(&mut domain.id);
    }
    let poison = Event::Delta(Delta {
        epoch: EPOCH.to_owned(),
        from_version: 10,
        to_version: 11,
        upserts: broken.clone(),
        removals: vec![],
    });
    let names: Vec<String> = (0..400).map(|number| format!("d{number}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let huge = std::iter::once(begin()).chain((0..4).map(|_| chunk(domains(&names))));
    vec![
        ("a delta from elsewhere", vec![delta(50, 51, &["x.example"])]),
        ("a delta that leads back", vec![delta(10, 9, &["x.example"])]),
        ("a row of no kind", vec![poison]),
        ("a snapshot with broken rows", vec![begin(), chunk(broken)]),
        ("an id that is a path", vec![begin(), chunk(traversing)]),
        (
            "a snapshot that lacks rows",
            vec![
                begin(),
                chunk(domains(&["x.example"])),
                Event::SnapshotEnd(SnapshotEnd { rows: 2 }),
            ],
        ),
        ("a snapshot without an end", huge.collect()),
        ("an end without a snapshot", vec![Event::SnapshotEnd(SnapshotEnd { rows: 0 })]),
        ("a snapshot in a snapshot", vec![begin(), begin()]),
        ("a delta in a snapshot", vec![begin(), delta(10, 11, &["x.example"])]),
    ]
}

#[tokio::test]
async fn what_a_hostile_server_sends_changes_nothing() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.open_with(snapshot(EPOCH, 10, &["one.example"]));
    let agent = node.start(&server).await;
    until("version 10", || node.script.status().directory_version == 10).await;
    for (name, events) in hostile() {
        let streams = node.script.heard(|heard| heard.directory.len());
        for event in events {
            // The stream may be closed already by what came before.
            node.script.directory.send(event).ok();
        }
        until(name, || node.script.heard(|heard| heard.directory.len()) > streams).await;
        assert_eq!(version(agent.state()).await, 10, "{name}");
        assert!(
            node.script.status().alarms.iter().any(|alarm| alarm.kind == "directory_refused")
                || agent.state().status.directory_version() == 10,
            "{name}"
        );
    }
    until("an alarm", || {
        node.script.status().alarms.iter().any(|alarm| alarm.kind == "directory_refused")
    })
    .await;
    // Heartbeats went on all the time, and a good delta is still taken.
    let resumed = || node.script.heard(|heard| heard.directory.last().unwrap().version == 10);
    until("a stream from version 10", resumed).await;
    a_while().await;
    node.script.directory.send(delta(10, 11, &["two.example"])).unwrap();
    until("version 11", || node.script.status().directory_version == 11).await;
    until("no alarms", || node.script.status().alarms.is_empty()).await;
    assert!(agent.stop().await);
}

#[tokio::test]
async fn a_damaged_replica_is_noticed_and_filled_again_and_services_restart() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.script.desired.send_replace(Some(desired(1, &[])));
    node.script.open_with(snapshot(EPOCH, 10, &["one.example"]));
    let agent = node.start(&server).await;
    until("version 10", || node.script.status().directory_version == 10).await;
    until("generation 1", || node.script.status().applied_generation == 1).await;
    node.script.open_with(snapshot(EPOCH, 10, &["one.example"]));
    std::fs::remove_file(agent.state().layout.directory_db()).unwrap();
    until("a second snapshot", || node.script.heard(|heard| heard.directory.len()) == 2).await;
    assert_eq!(node.script.heard(|heard| heard.directory[1].version), 0);
    until("version 10 again", || node.script.status().directory_version == 10).await;
    until("a restart", || node.service.count("stop") == 1).await;
    assert_eq!(version(agent.state()).await, 10);
    assert!(agent.stop().await);
}
