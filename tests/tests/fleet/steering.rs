//! Steering: what is wanted reaches the node at once, and what the node says is shown.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::time::timeout;
use tonic::Streaming;
use umail_proto::agent::{
    Alarm, DesiredState, HeartbeatRequest, ListenerKind, Load, ObservedService, ObservedState,
    Queue, ReportStatusRequest, ServiceHealth, ServiceKind, WatchDesiredStateRequest,
    WatchDesiredStateResponse,
};
use umail_tests::agents::{Agent, Server};

async fn watch(agent: &Agent) -> Streaming<WatchDesiredStateResponse> {
    let mut client = agent.client.clone();
    client.watch_desired_state(WatchDesiredStateRequest {}).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<WatchDesiredStateResponse>) -> DesiredState {
    let message = timeout(Duration::from_secs(1), stream.message()).await;
    message.unwrap().unwrap().unwrap().state.unwrap()
}

fn dovecot(state: &DesiredState) -> &umail_proto::agent::DesiredService {
    state.services.iter().find(|one| one.kind() == ServiceKind::Dovecot).unwrap()
}

#[tokio::test]
async fn every_change_of_what_is_wanted_reaches_the_node_with_a_higher_generation() {
    let server = Server::start().await;
    let agent = server.agent("pop-1", &["pop"]).await;
    let mut stream = watch(&agent).await;
    let first = next(&mut stream).await;
    let path = "/v1/nodes/pop-1/services/dovecot";
    server.api.patch(path, json!({"listeners": ["imap"]})).await.is(StatusCode::OK);
    let second = next(&mut stream).await;
    assert_eq!(dovecot(&second).listeners, [i32::from(ListenerKind::Imap)]);
    server.api.post(format!("{path}/restart"), json!({})).await.is(StatusCode::OK);
    let third = next(&mut stream).await;
    assert_eq!(dovecot(&third).restarts, 1);
    server.agent("storage-1", &["storage"]).await;
    let fourth = next(&mut stream).await;
    assert_eq!(fourth.peers.len(), 1);
    let states = [first, second, third, fourth];
    assert!(states.windows(2).all(|pair| pair[0].generation < pair[1].generation));
    drop(stream);
    server.stop().await;
}

fn report(agent: &Agent, sequence: u64) -> ObservedState {
    ObservedState {
        boot: agent.boot.clone(),
        sequence,
        agent_version: "1.2.3".to_owned(),
        accepted_generation: 2,
        applied_generation: 2,
        services: vec![ObservedService {
            kind: ServiceKind::Dovecot.into(),
            health: ServiceHealth::Running.into(),
            listeners: vec![ListenerKind::Pop3.into(), ListenerKind::Imap.into()],
            version: "2.3.19".to_owned(),
            ..ObservedService::default()
        }],
        load: Some(Load { load_1m: 0.5, cpus: 2, ..Load::default() }),
        queue: Some(Queue { deferred: 7, ..Queue::default() }),
        ..ObservedState::default()
    }
}

#[tokio::test]
async fn a_node_is_shown_as_it_reports() {
    let server = Server::start().await;
    let agent = server.agent("pop-1", &["pop"]).await;
    let mut client = agent.client.clone();
    let epoch = next(&mut watch(&agent).await).await.epoch;
    let beat = HeartbeatRequest { boot: agent.boot.clone(), ..HeartbeatRequest::default() };
    assert!(client.heartbeat(beat).await.unwrap().into_inner().report_in_full);

    let state = ObservedState { epoch: epoch.clone(), ..report(&agent, 1) };
    client.report_status(ReportStatusRequest { state: Some(state) }).await.unwrap();
    let node = server.api.get("/v1/nodes/pop-1").await.is(StatusCode::OK).body;
    assert_eq!((&node["status"], &node["status_reason"]), (&json!("ready"), &json!("")));
    assert_eq!(node["generation"], json!({"desired": 2, "accepted": 2, "applied": 2}));
    assert_eq!(node["agent_version"], "1.2.3");
    assert_eq!(node["load"]["cpus"], 2);
    assert_eq!(node["queue"], json!({"active": 0, "deferred": 7, "hold": 0, "incoming": 0}));
    assert_eq!(node["services"][0]["observed"]["listeners"], json!(["pop3", "imap"]));
    assert_eq!(node["services"][0]["observed"]["health"], "running");

    let alarm = Alarm { kind: "disk_full".to_owned(), detail: "/var".to_owned() };
    let state = ObservedState { epoch, alarms: vec![alarm], ..report(&agent, 2) };
    client.report_status(ReportStatusRequest { state: Some(state) }).await.unwrap();
    let node = server.api.get("/v1/nodes/pop-1").await.body;
    assert_eq!(node["status"], "degraded");
    assert_eq!(node["status_reason"], "disk_full: /var");
    assert_eq!(node["alarms"][0]["kind"], "disk_full");

    // What it says of another life of the database counts for nothing here.
    let other = "01890000-0000-7000-8000-000000000000".to_owned();
    let state = ObservedState { epoch: other, ..report(&agent, 3) };
    client.report_status(ReportStatusRequest { state: Some(state) }).await.unwrap();
    let node = server.api.get("/v1/nodes/pop-1").await.body;
    assert_eq!(node["generation"], json!({"desired": 2, "accepted": 0, "applied": 0}));
    server.stop().await;
}
