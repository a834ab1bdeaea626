//! `/v1/nodes/{node}/services`

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::app::desired_state;
use umail_proto::agent::{DesiredService, ListenerKind, ServiceKind};
use umail_tests::{
    api::Api,
    nodes::{self, Node},
};

async fn desired(api: &Api, node: &Node, kind: ServiceKind) -> DesiredService {
    let state = desired_state::build(&api.state, node.id).await.unwrap();
    state.services.into_iter().find(|service| service.kind() == kind).unwrap()
}

#[tokio::test]
async fn a_node_has_the_services_of_its_roles() {
    let api = Api::start().await;
    nodes::join(&api, "pop-1", &["pop"]).await;
    let list = api.get("/v1/nodes/pop-1/services").await.is(StatusCode::OK);
    assert_eq!(list.items("kind"), ["dovecot"]);
    let one = api.get("/v1/nodes/pop-1/services/dovecot").await.is(StatusCode::OK);
    assert_eq!(one.body, list.body["items"][0]);
    assert_eq!(one.body["listeners"], json!(["pop3", "imap"]));
    assert_eq!(one.body["available_listeners"], json!(["pop3", "imap"]));
    assert_eq!(one.body["running"], true);
    assert!(one.body["observed"].is_null());
    for path in ["postfix", "exim", "%2e%2e"] {
        let answer = api.get(format!("/v1/nodes/pop-1/services/{path}")).await;
        answer.is_problem(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn update_service_stops_one_listener() {
    let api = Api::start().await;
    let node = nodes::join(&api, "pop-1", &["pop"]).await;
    let path = "/v1/nodes/pop-1/services/dovecot";
    let before = api.get(path).await;
    let watch = desired_state::watch(&api.state, node.id);
    let changed = api.patch(path, json!({"listeners": ["imap"]})).await.is(StatusCode::OK);
    assert_eq!(changed.body["listeners"], json!(["imap"]));
    assert!(watch.has_changed().unwrap(), "whoever watches is woken");
    let generation = |body: &serde_json::Value| body["generation"]["desired"].as_i64().unwrap();
    assert_eq!(generation(&changed.body), generation(&before.body) + 1);
    let service = desired(&api, &node, ServiceKind::Dovecot).await;
    assert_eq!(service.listeners, [i32::from(ListenerKind::Imap)]);
    assert!(service.running);

    // What changes nothing raises nothing.
    let same = api.patch(path, json!({"listeners": ["imap"], "running": true})).await;
    assert_eq!(same.is(StatusCode::OK).body, changed.body);
    let stale = api.ask(Method::PATCH, path).header("if-match", before.etag().as_bytes());
    stale.json(json!({"running": false})).send().await.is_problem(StatusCode::PRECONDITION_FAILED);
    api.patch(path, json!({"running": false})).await.is(StatusCode::OK);
    assert!(!desired(&api, &node, ServiceKind::Dovecot).await.running);
}

#[tokio::test]
async fn update_service_rejects_listeners_that_the_node_cannot_have() {
    let api = Api::start().await;
    nodes::join(&api, "pop-1", &["pop"]).await;
    let path = "/v1/nodes/pop-1/services/dovecot";
    for listeners in [json!(["lmtp"]), json!(["smtp"]), json!(["imap", "imap"])] {
        api.patch(path, json!({"listeners": listeners})).await.is_invalid(&["/listeners"]);
    }
    api.patch(path, json!({"listeners": ["ftp"]})).await.is_invalid(&["/listeners/0"]);
    api.patch(path, json!({"listeners": null})).await.is_invalid(&["/listeners"]);
}

#[tokio::test]
async fn restart_service_counts() {
    let api = Api::start().await;
    let node = nodes::join(&api, "mx-1", &["smtp"]).await;
    let path = "/v1/nodes/mx-1/services/postfix";
    for restarts in 1..=2 {
        let answer = api.post(format!("{path}/restart"), json!({})).await.is(StatusCode::OK);
        assert_eq!(answer.body["restarts"], restarts);
        assert_eq!(desired(&api, &node, ServiceKind::Postfix).await.restarts, restarts);
    }
    api.patch(path, json!({"running": false})).await.is(StatusCode::OK);
    api.post(format!("{path}/restart"), json!({})).await.is_problem(StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_repeated_restart_with_one_key_restarts_once() {
    let api = Api::start().await;
    let node = nodes::join(&api, "mx-1", &["smtp"]).await;
    for _ in 0..3 {
        let path = "/v1/nodes/mx-1/services/postfix/restart";
        let ask = api.ask(Method::POST, path).header("idempotency-key", "once");
        let answer = ask.send().await.is(StatusCode::OK);
        assert_eq!(answer.body["restarts"], 1);
    }
    assert_eq!(desired(&api, &node, ServiceKind::Postfix).await.restarts, 1);
    for _ in 0..2 {
        let path = "/v1/nodes/mx-1/revoke";
        for key in ["one", "other"] {
            let ask = api.ask(Method::POST, path).header("idempotency-key", key);
            assert_eq!(ask.send().await.is(StatusCode::OK).body["status"], "unreachable");
        }
    }
}
