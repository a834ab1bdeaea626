//! Purges against scripted agents over mutual TLS, with all the tasks of a server.

use std::sync::{Arc, Mutex};

use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{Duration, sleep, timeout};
use umail_proto::agent::{Action, ActionFindings, ActionOutcome, RowKind, action::Verb};
use umail_tests::{
    agents::{Agent, Replica, Server},
    api::PASSWORD,
};

const USERS: &str = "/v1/domains/example.com/users";

/// Whose mailboxes a node was asked to remove.
fn purged(asked: &Mutex<Vec<Action>>) -> Vec<String> {
    let of = |action: &Action| match &action.verb {
        Some(Verb::PurgeMailbox(purge)) => purge.user_id.clone(),
        other => panic!("{other:?}"),
    };
    asked.lock().unwrap().iter().map(of).collect()
}

/// Waits until the list of deleted users has so many.
async fn deleted(server: &Server, count: usize) {
    let reached = async {
        let path = format!("{USERS}?deleted=true");
        while server.api.get(&path).await.items("id").len() != count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), reached).await.unwrap();
}

async fn user(server: &Server, name: &str, node: &str) -> String {
    let body = json!({"local_part": name, "password": PASSWORD, "storage_node": node});
    server.api.post(USERS, body).await.is(StatusCode::CREATED).id()
}

/// A node that does what it is asked, and looks at its directory while it does.
async fn obey(agent: &Agent) -> Arc<Mutex<Vec<Action>>> {
    let script = |verb: &Verb, replica: &Replica| {
        let Verb::PurgeMailbox(purge) = verb else { panic!("{verb:?}") };
        // The row is there still, as one that was deleted: mail is refused to the end.
        let row = replica.user(&purge.user_id).unwrap();
        assert_eq!(row.status, 6);
        (ActionOutcome::Done, ActionFindings::default())
    };
    agent.obey(Arc::new(script)).await
}

#[tokio::test]
async fn the_mailbox_goes_before_the_user_and_a_dead_node_delays_only_its_own() {
    let server = Server::start().await;
    let smtp = server.agent("smtp-1", &["smtp"]).await;
    let first = server.agent("storage-1", &["storage"]).await;
    let second = server.agent("storage-2", &["storage"]).await;
    for agent in [&smtp, &first, &second] {
        agent.follow().await;
    }
    server.api.domain("example.com").await;
    let anna = user(&server, "anna", "storage-1").await;
    let bert = user(&server, "bert", "storage-2").await;
    let carl = user(&server, "carl", "storage-1").await;
    for id in [&anna, &bert] {
        server.api.delete(format!("/v1/users/{id}")).await.is(StatusCode::NO_CONTENT);
    }
    for agent in [&smtp, &first, &second] {
        let is_deleted = |replica: &Replica| {
            let rows = [&anna, &bert].into_iter().filter_map(|id| replica.user(id));
            rows.clone().count() > 0 && rows.into_iter().all(|row| row.status == 6)
        };
        agent.until(is_deleted).await;
    }
    let asked_first = obey(&first).await;
    for id in [&anna, &bert] {
        let purge = server.api.post(format!("/v1/users/{id}/purge"), json!(null)).await;
        purge.is(StatusCode::ACCEPTED);
    }
    deleted(&server, 1).await;
    assert_eq!(purged(&asked_first), [anna.as_str()]);
    for agent in [&smtp, &first] {
        agent.until(|replica| replica.user(&anna).is_none()).await;
        assert!(agent.replica().user(&carl).is_some());
    }
    // Anna's password went with her, from every node that had it.
    let credentials = |replica: &Replica| {
        replica.rows.keys().filter(|(kind, _)| *kind == RowKind::Credential).count()
    };
    first.until(|replica| credentials(replica) == 1).await;
    let body = json!({"local_part": "bert", "password": PASSWORD});
    server.api.post(USERS, body).await.is_problem(StatusCode::CONFLICT);
    assert!(smtp.replica().user(&bert).is_some());

    // The node is there again: what it was asked comes once, however often it connects.
    let asked_second = obey(&second).await;
    deleted(&server, 0).await;
    assert_eq!(purged(&asked_second), [bert.as_str()]);
    second.until(|replica| replica.user(&bert).is_none()).await;
    smtp.until(|replica| replica.user(&bert).is_none()).await;
    assert_eq!(purged(&asked_first), [anna.as_str()]);
    let again = server.api.get(USERS).await;
    assert_eq!(again.items("address"), ["carl@example.com"]);
    server.stop().await;
}
