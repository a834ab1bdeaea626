//! Reports: counted once however often they come, and what never came is shown.

use prost_types::Timestamp;
use reqwest::StatusCode;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::Code;
use umail_api::store;
use umail_proto::agent::{
    ActionFindings, ActionOutcome, AppPasswordUse, Load, MailboxUsage, ObservedState, Queue,
    ReportActionRequest, ReportStatusRequest, ReportTrafficRequest, TrafficCount, TrafficKind,
    TrafficReport,
};
use umail_tests::agents::{Agent, Server};
use uuid::Uuid;

use crate::fixture::{domain, user};

fn stamp(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: 0 }
}

fn report(agent: &Agent, sequence: u64, messages: u64, at: OffsetDateTime) -> TrafficReport {
    TrafficReport {
        boot: agent.boot.clone(),
        sequence,
        started_at: Some(stamp(at - time::Duration::seconds(10))),
        ended_at: Some(stamp(at)),
        counts: vec![TrafficCount {
            kind: TrafficKind::Received.into(),
            messages,
            bytes: messages * 100,
        }],
        usage: Vec::new(),
        app_password_uses: Vec::new(),
    }
}

async fn send(agent: &Agent, reports: Vec<TrafficReport>) -> Result<Vec<(String, u64)>, Code> {
    let request = ReportTrafficRequest { reports };
    let answer = agent.client.clone().report_traffic(request).await.map_err(|status| status.code());
    Ok(answer?.into_inner().accepted.into_iter().map(|one| (one.boot, one.sequence)).collect())
}

async fn traffic(server: &Server) -> serde_json::Value {
    server.api.get("/v1/nodes/smtp-1/traffic").await.is(StatusCode::OK).body
}

#[tokio::test]
async fn a_report_that_is_repeated_a_hundred_times_counts_once() {
    let server = Server::start().await;
    let agent = server.agent("smtp-1", &["smtp"]).await;
    let now = server.api.state.clock().now();
    let both = vec![report(&agent, 1, 5, now), report(&agent, 2, 7, now)];
    for _ in 0..4 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..25 {
            let (mut client, reports) = (agent.client.clone(), both.clone());
            calls.spawn(async move {
                let request = ReportTrafficRequest { reports };
                client.report_traffic(request).await.unwrap().into_inner().accepted
            });
        }
        for accepted in calls.join_all().await {
            assert_eq!(accepted.len(), 1);
            assert_eq!(accepted[0].sequence, 2);
        }
    }
    // Twice in one call, too.
    send(&agent, vec![report(&agent, 3, 1, now), report(&agent, 3, 1, now)]).await.unwrap();
    let body = traffic(&server).await;
    assert_eq!(body["totals"], json!([{"kind": "received", "messages": 13, "bytes": 1300}]));
    assert_eq!(body["missing_reports"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_gap_is_shown_until_it_is_filled() {
    let server = Server::start().await;
    let mut agent = server.agent("smtp-1", &["smtp"]).await;
    let now = server.api.state.clock().now();
    send(&agent, vec![report(&agent, 1, 1, now), report(&agent, 4, 1, now)]).await.unwrap();
    assert_eq!(traffic(&server).await["missing_reports"], 2);
    send(&agent, vec![report(&agent, 2, 1, now)]).await.unwrap();
    assert_eq!(traffic(&server).await["missing_reports"], 1);
    // Another start counts on its own, from 1.
    agent.boot = Uuid::new_v4().to_string();
    send(&agent, vec![report(&agent, 2, 1, now)]).await.unwrap();
    let body = traffic(&server).await;
    assert_eq!(body["missing_reports"], 2);
    assert_eq!(body["totals"][0]["messages"], 4);
    server.stop().await;
}

#[tokio::test]
async fn reports_of_the_future_are_dated_now_and_nonsense_is_refused() {
    let server = Server::start().await;
    let agent = server.agent("smtp-1", &["smtp"]).await;
    let now = server.api.state.clock().now();
    let later = now + time::Duration::days(400);
    send(&agent, vec![report(&agent, 1, 9, later)]).await.unwrap();
    assert_eq!(traffic(&server).await["totals"][0]["messages"], 9);
    for bad in [
        TrafficReport { sequence: 0, ..report(&agent, 1, 1, now) },
        TrafficReport { boot: "x".to_owned(), ..report(&agent, 2, 1, now) },
        TrafficReport { ended_at: None, ..report(&agent, 2, 1, now) },
        report(&agent, u64::MAX, 1, now),
        TrafficReport {
            counts: vec![TrafficCount { kind: 0, messages: 1, bytes: 1 }],
            ..report(&agent, 2, 1, now)
        },
    ] {
        assert_eq!(send(&agent, vec![bad]).await, Err(Code::InvalidArgument));
    }
    // What a later agent counts is passed over, and what is older than agents keep is of the oldest time.
    let counts = vec![TrafficCount { kind: 999, messages: 1, bytes: 1 }];
    let unknown = TrafficReport { counts, ..report(&agent, 2, 1, now) };
    send(&agent, vec![unknown, report(&agent, 3, 1, now - time::Duration::days(9_000))])
        .await
        .unwrap();
    let oldest: (OffsetDateTime, i64) =
        sqlx::query_as("SELECT min(minute), count(DISTINCT kind) FROM traffic")
            .fetch_one(server.api.state.pool())
            .await
            .unwrap();
    assert!(oldest.0 > now - time::Duration::days(33) && oldest.1 == 1, "{oldest:?}");
    let many = (1..=501).map(|sequence| report(&agent, sequence, 1, now)).collect();
    assert_eq!(send(&agent, many).await, Err(Code::InvalidArgument));
    assert_eq!(traffic(&server).await["totals"][0]["messages"], 9);
    server.stop().await;
}

#[tokio::test]
async fn a_node_speaks_only_for_the_mailboxes_that_it_holds() {
    let server = Server::start().await;
    let pool = server.api.state.pool();
    let (first, second) = (
        server.agent("storage-1", &["storage"]).await,
        server.agent("storage-2", &["storage"]).await,
    );
    let example = domain(pool, "example.com").await;
    let (alice, _) = user(pool, example, "alice", first.id).await;
    let path = "/v1/users/alice@example.com/usage";
    let before = server.api.get(path).await.is(StatusCode::OK).body;
    assert_eq!(before["bytes"], serde_json::Value::Null);
    let now = server.api.state.clock().now();
    let with = |agent: &Agent, bytes| TrafficReport {
        usage: vec![MailboxUsage { user_id: alice.to_string(), bytes, messages: 2 }],
        ..report(agent, 1, 0, now)
    };
    send(&second, vec![with(&second, 999)]).await.unwrap();
    assert_eq!(server.api.get(path).await.body["bytes"], serde_json::Value::Null);
    send(&first, vec![with(&first, 4_096)]).await.unwrap();
    let after = server.api.get(path).await.body;
    assert_eq!((&after["bytes"], &after["messages"]), (&json!(4_096), &json!(2)));
    server.stop().await;
}

#[tokio::test]
async fn the_last_use_of_an_app_password_is_the_newest_that_a_node_of_the_user_tells() {
    let server = Server::start().await;
    let pool = server.api.state.pool();
    let mut nodes = Vec::new();
    for (name, role) in
        [("storage-1", "storage"), ("storage-2", "storage"), ("pop-1", "pop"), ("smtp-1", "smtp")]
    {
        nodes.push(server.agent(name, &[role]).await);
    }
    let [first, second, pop, smtp] = &nodes[..] else { unreachable!() };
    let example = domain(pool, "example.com").await;
    user(pool, example, "alice", first.id).await;
    let path = "/v1/users/alice@example.com/app_passwords";
    let made = server.api.post(path, json!({"label": "phone"})).await.is(StatusCode::CREATED).body;
    assert_eq!(made["last_used_at"], serde_json::Value::Null);
    let id = made["id"].as_str().unwrap().to_owned();
    let now = server.api.state.clock().now().replace_nanosecond(0).unwrap();
    let minutes = time::Duration::minutes;
    let said = async |agent: &Agent, sequence, id: &str, at: OffsetDateTime, from: &str| {
        let one = AppPasswordUse {
            credential_id: id.to_owned(),
            used_at: Some(stamp(at)),
            client_address: from.to_owned(),
        };
        let report =
            TrafficReport { app_password_uses: vec![one], ..report(agent, sequence, 0, now) };
        send(agent, vec![report]).await
    };
    let shown = async || {
        let one = server.api.get(path).await.is(StatusCode::OK).body["items"][0].clone();
        (one["last_used_at"].clone(), one["last_client_address"].clone())
    };
    let is =
        |time: OffsetDateTime, from: &str| (json!(time.format(&Rfc3339).unwrap()), json!(from));
    // Neither of these has let her in.
    said(second, 1, &id, now, "192.0.2.66").await.unwrap();
    said(pop, 1, &id, now, "192.0.2.66").await.unwrap();
    assert_eq!(shown().await, (json!(null), json!(null)));
    let before = now - minutes(60);
    said(first, 1, &id, before, "192.0.2.1").await.unwrap();
    assert_eq!(shown().await, is(before, "192.0.2.1"));
    said(smtp, 1, &id, now, "2001:db8::1").await.unwrap();
    said(first, 2, &id, now - minutes(1), "192.0.2.2").await.unwrap();
    assert_eq!(shown().await, is(now, "2001:db8::1"));
    // A clock that is far ahead, and no address.
    said(first, 3, &id, now + minutes(600), "<x>").await.unwrap();
    let (time, from) = shown().await;
    let time = OffsetDateTime::parse(time.as_str().unwrap(), &Rfc3339).unwrap();
    assert!(time < now + minutes(10) && from.is_null(), "{time} {from}");
    // Unknown ones are passed over, and others than ids refused.
    said(first, 4, &Uuid::nil().to_string(), now, "").await.unwrap();
    assert_eq!(said(first, 5, "x", now, "").await, Err(Code::InvalidArgument));
    server.stop().await;
}

#[tokio::test]
async fn a_status_report_that_was_overtaken_changes_nothing() {
    let server = Server::start().await;
    let mut agent = server.agent("smtp-1", &["smtp"]).await;
    let mut say = async |sequence, deferred| {
        let state = ObservedState {
            boot: agent.boot.clone(),
            sequence,
            load: Some(Load { load_1m: 0.5, cpus: 2, ..Load::default() }),
            queue: Some(Queue { deferred, ..Queue::default() }),
            ..ObservedState::default()
        };
        agent.client.report_status(ReportStatusRequest { state: Some(state) }).await.unwrap();
    };
    say(2, 20).await;
    say(1, 10).await;
    let body = server.api.get("/v1/nodes/smtp-1/load").await.is(StatusCode::OK).body;
    let minutes = body["minutes"].as_array().unwrap();
    assert_eq!((minutes.len(), &minutes[0]["queue_deferred"]), (1, &json!(20)), "{body:#}");
    say(3, 0).await;
    let node = server.api.get("/v1/nodes/smtp-1").await.body;
    assert_eq!(node["queue"]["deferred"], 0, "{node:#}");
    server.stop().await;
}

#[tokio::test]
async fn times_are_checked() {
    let server = Server::start().await;
    server.agent("smtp-1", &["smtp"]).await;
    let now = server.api.state.clock().now();
    let text = |time: OffsetDateTime| time.format(&Rfc3339).unwrap().replace('+', "%2B");
    let get = async |query: String| {
        server.api.get(format!("/v1/nodes/smtp-1/traffic?{query}")).await.status
    };
    let (early, late) = (text(now - time::Duration::days(8)), text(now));
    assert_eq!(get(format!("from={early}&to={late}")).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(get(format!("from={late}&to={early}")).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(get("from=yesterday".to_owned()).await, StatusCode::UNPROCESSABLE_ENTITY);
    let day_before = text(now - time::Duration::days(1));
    assert_eq!(get(format!("from={day_before}&to={late}")).await, StatusCode::OK);
    server.api.get("/v1/nodes/mx-9/traffic").await.is_problem(StatusCode::NOT_FOUND);
    server.api.get("/v1/nodes/mx-9/load").await.is_problem(StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn a_flush_ends_with_the_first_answer_of_the_node_itself() {
    let server = Server::start().await;
    let smtp = server.agent("smtp-1", &["smtp"]).await;
    let other = server.agent("smtp-2", &["smtp"]).await;
    server.agent("storage-1", &["storage"]).await;
    let path = "/v1/nodes/smtp-1/queue/flush";
    let operation = server.api.post(path, json!(null)).await.is(StatusCode::ACCEPTED).id();
    let request = umail_proto::agent::ListActionsRequest {};
    let open = smtp.client.clone().list_actions(request).await.unwrap().into_inner().actions;
    assert_eq!(open.len(), 1);
    let say = async |agent: &Agent, outcome: ActionOutcome| {
        let report = ReportActionRequest {
            action_id: open[0].action_id.clone(),
            outcome: outcome.into(),
            detail: "postqueue is missing".to_owned(),
            findings: Some(ActionFindings::default()),
        };
        agent.client.clone().report_action(report).await.map(|_| ()).map_err(|one| one.code())
    };
    assert_eq!(say(&other, ActionOutcome::Done).await, Err(Code::NotFound));
    assert_eq!(say(&smtp, ActionOutcome::Failed).await, Ok(()));
    // Repeated, and contradicted: the first answer counts.
    assert_eq!(say(&smtp, ActionOutcome::Done).await, Ok(()));
    let path = format!("/v1/operations/{operation}?wait_seconds=10");
    let end = server.api.get(path).await.body;
    assert_eq!(end["state"], "failed", "{end:#}");
    assert!(end["error"].as_str().unwrap().contains("postqueue is missing"));
    let refused = server.api.post("/v1/nodes/storage-1/queue/flush", json!(null)).await;
    refused.is_problem(StatusCode::CONFLICT);
    server.stop().await;
}

#[tokio::test]
async fn heartbeats_reach_the_database_within_seconds() {
    let server = Server::start().await;
    let agent = server.agent("smtp-1", &["smtp"]).await;
    agent.follow().await;
    let example = domain(server.api.state.pool(), "example.com").await;
    agent.until(|replica| replica.has(umail_proto::agent::RowKind::Domain, example)).await;
    let seen = async {
        loop {
            let nodes = store::node_status::list_applied(server.api.state.pool()).await.unwrap();
            if nodes[0].version > 0 && nodes[0].seen_at.is_some() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), seen).await.expect("it is written");
    server.stop().await;
}
