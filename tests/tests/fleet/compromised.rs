//! A compromised account: what nodes are asked for, and how it is told until all have done it.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use umail_proto::agent::{ActionFindings, ActionOutcome, action::Verb};
use umail_tests::agents::{Agent, Replica, Server};

use crate::fixture::{domain, user};

struct Fleet {
    server: Server,
    smtp: Agent,
    storage: Agent,
    user: String,
}

/// An smtp and a pop node, the user's storage node, and another one.
async fn fleet() -> (Fleet, Agent, Agent) {
    let server = Server::start().await;
    let smtp = server.agent("smtp-1", &["smtp"]).await;
    let pop = server.agent("pop-1", &["pop"]).await;
    let storage = server.agent("storage-1", &["storage"]).await;
    let other = server.agent("storage-2", &["storage"]).await;
    let pool = server.api.state.pool();
    let example = domain(pool, "example.com").await;
    let (user, _) = user(pool, example, "alice", storage.id).await;
    for agent in [&smtp, &pop, &storage, &other] {
        agent.follow().await;
        agent.until(|replica| replica.snapshots == 1).await;
    }
    let user = user.to_string();
    storage.until(|replica| replica.user(&user).is_some()).await;
    (Fleet { server, smtp, storage, user }, pop, other)
}

impl Fleet {
    async fn secure(&self) -> Value {
        let path = "/v1/users/alice@example.com/compromised";
        let ask = self.server.api.ask(reqwest::Method::POST, path).send().await;
        ask.is(StatusCode::ACCEPTED).body
    }

    async fn read(&self, id: &str, wait: u16) -> Value {
        let path = format!("/v1/operations/{id}?wait_seconds={wait}");
        self.server.api.get(path).await.is(StatusCode::OK).body
    }

    /// Waits until the operation tells this of a node.
    async fn tells(&self, id: &str, node: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..500 {
            let seen = self.read(id, 0).await;
            let nodes = seen["nodes"].as_array().unwrap();
            let place = nodes.iter().find(|one| one["name"] == node).unwrap();
            if wanted(place) {
                return seen;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{:#}", self.read(id, 0).await);
    }
}

fn word(verb: &Verb) -> &'static str {
    match verb {
        Verb::KickUser(_) => "kick",
        Verb::HoldMail(_) => "hold",
        _ => "something else",
    }
}

fn done(_: &Verb, _: &Replica) -> (ActionOutcome, ActionFindings) {
    (ActionOutcome::Done, ActionFindings { messages: 7, ..ActionFindings::default() })
}

#[tokio::test]
async fn every_node_that_may_serve_the_user_is_asked_after_it_has_locked_the_user() {
    let (fleet, pop, other) = fleet().await;
    let user = fleet.user.clone();
    let obey = move |verb: &Verb, replica: &Replica| {
        // Nobody who is kicked gets in again.
        assert_eq!(replica.user(&user).unwrap().status, 2);
        let messages = if matches!(verb, Verb::HoldMail(_)) { 3 } else { 0 };
        (ActionOutcome::Done, ActionFindings { messages, ..ActionFindings::default() })
    };
    let obey = Arc::new(obey);
    let asked = [
        fleet.smtp.obey(obey.clone()).await,
        pop.obey(obey.clone()).await,
        fleet.storage.obey(obey).await,
        other.obey(Arc::new(done)).await,
    ];
    let begun = fleet.secure().await;
    assert_eq!(begun["user_id"], fleet.user);
    let names: Vec<_> =
        begun["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()).collect();
    assert_eq!(names, ["pop-1", "smtp-1", "storage-1"]);
    let end = fleet.read(begun["id"].as_str().unwrap(), 30).await;
    assert_eq!(end["state"], "succeeded", "{end:#}");
    assert_eq!(end["result"]["messages"], 3);
    for node in end["nodes"].as_array().unwrap() {
        assert_eq!((&node["done"], &node["detail"]), (&json!(true), &json!("")));
        let held = if node["name"] == "smtp-1" { 3 } else { 0 };
        assert_eq!(node["held_messages"], held);
    }
    let words = asked.map(|asked| {
        let asked = asked.lock().unwrap();
        asked.iter().map(|action| word(action.verb.as_ref().unwrap())).collect::<Vec<_>>()
    });
    assert_eq!(words, [vec!["hold"], vec!["kick"], vec!["kick"], vec![]]);
    fleet.server.stop().await;
}

#[tokio::test]
async fn it_is_told_until_a_node_that_was_away_has_done_it() {
    let (fleet, pop, _other) = fleet().await;
    fleet.storage.obey(Arc::new(done)).await;
    pop.obey(Arc::new(done)).await;
    // The smtp node follows the directory, and does not take actions yet.
    let begun = fleet.secure().await;
    let id = begun["id"].as_str().unwrap();
    let seen = fleet.tells(id, "storage-1", |node| node["done"] == true).await;
    assert_eq!(seen["state"], "running");
    let seen = fleet.tells(id, "smtp-1", |node| node["detail"] == "the node has to answer").await;
    assert_eq!(seen["state"], "running");
    let failing = |_: &Verb, _: &Replica| (ActionOutcome::Failed, ActionFindings::default());
    fleet.smtp.obey(Arc::new(failing)).await;
    let told = |node: &Value| node["detail"].as_str().unwrap().starts_with("a node did not do it");
    let seen = fleet.tells(id, "smtp-1", told).await;
    assert_eq!((&seen["state"], &seen["error"]), (&json!("running"), &Value::Null));
    // A node that is revoked has nobody signed in.
    let revoke = fleet.server.api.post("/v1/nodes/smtp-1/revoke", json!(null)).await;
    revoke.is(StatusCode::OK);
    let end = fleet.read(id, 30).await;
    assert_eq!(end["state"], "succeeded", "{end:#}");
    fleet.server.stop().await;
}

#[tokio::test]
async fn it_can_be_given_up() {
    let (fleet, _pop, _other) = fleet().await;
    let begun = fleet.secure().await;
    let id = begun["id"].as_str().unwrap();
    fleet.tells(id, "pop-1", |node| node["detail"] == "the node has to answer").await;
    let cancel = fleet.server.api.post(format!("/v1/operations/{id}/cancel"), json!(null)).await;
    cancel.is(StatusCode::ACCEPTED);
    assert_eq!(fleet.read(id, 30).await["state"], "cancelled");
    // The user stays locked.
    let user = fleet.server.api.get("/v1/users/alice@example.com").await.body;
    assert_eq!(user["status"], "locked");
    fleet.server.stop().await;
}
