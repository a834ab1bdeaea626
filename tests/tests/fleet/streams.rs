//! What agents receive over mutual TLS, from the real server.

use std::time::Duration;

use tonic::Code;
use umail_api::store::changes;
use umail_proto::agent::{
    Delta, GetDesiredStateRequest, HeartbeatRequest, ListDirectoryRowsRequest, RowKind,
    WatchDesiredStateRequest, WatchDirectoryRequest,
};
use umail_tests::agents::{Server, key};
use uuid::Uuid;

use crate::fixture::{changed, domain, run, user};

#[tokio::test]
async fn a_new_agent_gets_a_snapshot_and_then_deltas() {
    let server = Server::start().await;
    let pool = server.api.state.pool();
    let storage = server.agent("storage-1", &["storage"]).await;
    let pop = server.agent("pop-1", &["pop"]).await;
    let example = domain(pool, "example.com").await;
    pop.follow().await;
    pop.until(|replica| replica.has(RowKind::Domain, example)).await;
    for turn in 0..20 {
        user(pool, example, &format!("user-{turn}"), storage.id).await;
        server.api.state.changes().notify_one();
    }
    pop.until(|replica| {
        replica.rows.keys().filter(|key| key.0 == RowKind::Credential).count() == 20
    })
    .await;
    let replica = pop.replica();
    assert_eq!(replica.snapshots, 1);
    // What came by deltas is what a newcomer gets at once.
    let mut token = String::new();
    let mut rows = Vec::new();
    loop {
        let request = ListDirectoryRowsRequest { page_size: 7, page_token: token };
        let page = pop.client.clone().list_directory_rows(request).await.unwrap().into_inner();
        rows.extend(page.rows);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let listed: std::collections::BTreeMap<_, _> =
        rows.into_iter().map(|row| (key(&row), row)).collect();
    assert_eq!(listed, replica.rows);
    server.stop().await;
}

#[tokio::test]
async fn an_agent_resumes_by_version_and_starts_anew_after_a_restored_dump() {
    let server = Server::start().await;
    let pool = server.api.state.pool();
    let pop = server.agent("pop-1", &["pop"]).await;
    domain(pool, "example.com").await;
    pop.follow().await;
    pop.until(|replica| replica.snapshots == 1).await;
    let directory = server.api.get("/v1/directory?wait_seconds=10").await.body;
    pop.until(|replica| Some(replica.version) == directory["version"].as_u64()).await;
    let here = pop.replica();
    let watch = async |epoch: &str, version| {
        let request = WatchDirectoryRequest { epoch: epoch.to_owned(), version, schema: 1 };
        pop.client.clone().watch_directory(request).await.unwrap().into_inner()
    };
    let mut stream = watch(&here.epoch, here.version).await;
    let other = domain(pool, "example.org").await;
    server.api.state.changes().notify_one();
    let first = stream.message().await.unwrap().unwrap().event.unwrap();
    let umail_proto::agent::watch_directory_response::Event::Delta(Delta { upserts, .. }) = first
    else {
        panic!("a delta was expected, not {first:?}");
    };
    assert_eq!(upserts.iter().map(key).collect::<Vec<_>>(), [(RowKind::Domain, other.to_string())]);
    for (epoch, version) in [(Uuid::new_v4().to_string(), 1), (here.epoch.clone(), 1_000_000)] {
        let mut stream = watch(&epoch, version).await;
        let first = stream.message().await.unwrap().unwrap().event.unwrap();
        assert!(
            matches!(first, umail_proto::agent::watch_directory_response::Event::SnapshotBegin(_)),
            "{first:?}"
        );
    }
    server.stop().await;
}

/// Deltas by many writers at once, an agent that reads slowly, and the log trimmed in between:
/// every replica ends as the database is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_converges_under_load() {
    let server = Server::start().await;
    let state = server.api.state.clone();
    let storage = server.agent("storage-1", &["storage"]).await;
    let smtp = server.agent("smtp-1", &["smtp"]).await;
    let example = domain(state.pool(), "example.com").await;
    smtp.follow().await;
    storage.follow().await;
    smtp.until(|replica| replica.snapshots == 1).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (state, storage) = (state.clone(), storage.id);
        writers.spawn(async move {
            for turn in 0..25 {
                let name = format!("user-{writer}-{turn}");
                let (id, _) = user(state.pool(), example, &name, storage).await;
                if turn % 5 == 0 {
                    run(
                        state.pool(),
                        format!("UPDATE account SET functions = 1 WHERE id = '{id}'"),
                    )
                    .await;
                    changed(state.pool(), RowKind::User, id, Some(&[storage])).await;
                }
                state.changes().notify_one();
                if writer == 0 && turn == 10 {
                    let mut tx = state.pool().begin().await.unwrap();
                    let long_ago = crate::fixture::now();
                    changes::trim(&mut tx, long_ago, 20).await.unwrap();
                    tx.commit().await.unwrap();
                }
            }
        });
    }
    writers.join_all().await;
    let answer = server.api.get("/v1/directory?wait_seconds=10").await;
    assert_eq!(answer.body["converged"], true, "{:#}", answer.body);
    for agent in [&smtp, &storage] {
        let version = answer.body["version"].as_u64().unwrap();
        agent.until(|replica| replica.version >= version).await;
        let request = ListDirectoryRowsRequest { page_size: 1_000, page_token: String::new() };
        let rows =
            agent.client.clone().list_directory_rows(request).await.unwrap().into_inner().rows;
        let database: std::collections::BTreeMap<_, _> =
            rows.into_iter().map(|row| (key(&row), row)).collect();
        assert_eq!(agent.replica().rows, database);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_slow_agent_holds_up_nobody() {
    let server = Server::start().await;
    let pool = server.api.state.pool();
    let slow = server.agent("pop-1", &["pop"]).await;
    let quick = server.agent("pop-2", &["pop"]).await;
    run(
        pool,
        "INSERT INTO domain_name (name, owner_id)
         SELECT 'd' || n || '.example', gen_random_uuid() FROM generate_series(1, 5000) AS n;
         INSERT INTO domain (id, name, functions, created_at, updated_at)
         SELECT owner_id, name, 63, now(), now() FROM domain_name",
    )
    .await;
    // Never read: the sender waits with the second part of the snapshot.
    let request = WatchDirectoryRequest::default();
    let _unread = slow.client.clone().watch_directory(request).await.unwrap();
    quick.follow().await;
    quick.until(|replica| replica.rows.len() >= 5_000).await;
    // No transaction is left open on behalf of the slow one.
    let idle: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
          WHERE state LIKE 'idle in transaction%' AND datname = current_database()",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(idle, 0);
    server.stop().await;
}

#[tokio::test]
async fn the_desired_state_is_sent_again_when_it_changes() {
    let server = Server::start().await;
    let mut pop = server.agent("pop-1", &["pop"]).await;
    let mut stream =
        pop.client.watch_desired_state(WatchDesiredStateRequest {}).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().state.unwrap();
    assert_eq!(first.node_id, pop.id.to_string());
    let body = serde_json::json!({"listeners": ["imap"]});
    let answer = server.api.patch("/v1/nodes/pop-1/services/dovecot", body).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    let next = tokio::time::timeout(Duration::from_secs(2), stream.message()).await;
    let next = next.unwrap().unwrap().unwrap().state.unwrap();
    assert!(next.generation > first.generation);
    let got = pop.client.get_desired_state(GetDesiredStateRequest {}).await.unwrap().into_inner();
    assert_eq!(got.state.unwrap(), next);
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_node_is_cut_off_within_a_second() {
    let server = Server::start().await;
    let mut pop = server.agent("pop-1", &["pop"]).await;
    let mut stream = pop.client.watch_directory(WatchDirectoryRequest::default()).await.unwrap();
    run(server.api.state.pool(), "UPDATE node SET revoked_at = now()").await;
    let ends = async {
        while let Ok(Some(_)) = stream.get_mut().message().await {}
        let beat = pop.beat();
        while pop.client.heartbeat(beat.clone()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), ends).await.expect("the node is cut off");
    server.stop().await;
}

#[tokio::test]
async fn a_heartbeat_says_who_is_alive_and_asks_a_stranger_for_a_report() {
    let server = Server::start().await;
    let mut pop = server.agent("pop-1", &["pop"]).await;
    let directory = server.api.get("/v1/directory").await.body;
    assert_eq!(directory["nodes"][0]["reachable"], false);
    let beat = pop.beat();
    assert!(pop.client.heartbeat(beat.clone()).await.unwrap().into_inner().report_in_full);
    pop.follow().await;
    pop.until(|replica| replica.snapshots == 1).await;
    while pop.client.heartbeat(beat.clone()).await.unwrap().into_inner().report_in_full {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let directory = server.api.get("/v1/directory?wait_seconds=5").await.body;
    assert_eq!(directory["nodes"][0]["reachable"], true, "{directory:#}");
    assert_eq!(directory["converged"], true);
    let bad = HeartbeatRequest { boot: "x".to_owned(), ..HeartbeatRequest::default() };
    assert_eq!(pop.client.heartbeat(bad).await.unwrap_err().code(), Code::InvalidArgument);
    server.stop().await;
}

#[tokio::test]
async fn the_second_of_two_agents_with_one_certificate_is_refused_and_noticed() {
    let server = Server::start().await;
    let mut pop = server.agent("pop-1", &["pop"]).await;
    let mut twin = pop.twin().await;
    pop.client.heartbeat(pop.beat()).await.unwrap();
    let refused = twin.client.heartbeat(twin.beat()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    pop.client.heartbeat(pop.beat()).await.unwrap();
    let node = server.api.get("/v1/nodes/pop-1").await.body;
    assert_eq!(node["alarms"][0]["kind"], "certificate_shared", "{node:#}");
    // When the first one has gone, it was a restart.
    drop(pop);
    while twin.client.heartbeat(twin.beat()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_node_that_stops_taking_submissions_loses_the_password_hashes() {
    let server = Server::start().await;
    let pool = server.api.state.pool();
    let smtp = server.agent("smtp-1", &["smtp"]).await;
    let storage = server.agent("storage-1", &["storage"]).await;
    let example = domain(pool, "example.com").await;
    user(pool, example, "alice", storage.id).await;
    server.api.state.changes().notify_one();
    smtp.follow().await;
    let has_hashes = |replica: &umail_tests::agents::Replica| {
        replica.rows.keys().any(|(kind, _)| *kind == RowKind::Credential)
    };
    smtp.until(has_hashes).await;
    for (listeners, has) in [(vec!["smtp"], false), (vec!["smtp", "submission"], true)] {
        let body = serde_json::json!({"listeners": listeners});
        let answer = server.api.patch("/v1/nodes/smtp-1/services/postfix", body).await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        smtp.until(|replica| has_hashes(replica) == has).await;
    }
    server.stop().await;
}
