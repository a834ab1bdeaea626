//! `/v1/nodes`

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::{app::desired_state, model::operator::OperatorRole};
use umail_proto::agent::DesiredState;
use umail_tests::{
    api::Api,
    nodes::{self, Node},
};

async fn desired(api: &Api, node: &Node) -> DesiredState {
    desired_state::build(&api.state, node.id).await.unwrap()
}

#[tokio::test]
async fn a_node_that_joined_is_listed_and_unknown() {
    let api = Api::start().await;
    let node = nodes::join(&api, "mx-1", &["smtp", "storage"]).await;
    let list = api.get("/v1/nodes").await.is(StatusCode::OK);
    assert_eq!(list.items("name"), ["mx-1"]);
    let by_name = api.get("/v1/nodes/mx-1").await.is(StatusCode::OK);
    let by_id = api.get(format!("/v1/nodes/{}", node.id)).await.is(StatusCode::OK);
    assert_eq!(by_name.body, by_id.body);
    assert_eq!(by_name.body["status"], "unknown");
    assert_eq!(by_name.body["address"], "10.0.0.1");
    assert_eq!(by_name.body["roles"], json!(["smtp", "storage"]));
    assert_eq!(by_name.body["generation"], json!({"desired": 2, "accepted": 0, "applied": 0}));
    assert_eq!(by_name.body["services"].as_array().unwrap().len(), 2);
    api.get("/v1/nodes/mx-2").await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_cannot_be_a_name_names_no_node() {
    let api = Api::start().await;
    for name in ["a%00b", "%0a", "A", "a%20b", "%F0%9F%93%AC"] {
        for rest in ["", "/services", "/services/postfix", "/traffic", "/load"] {
            let path = format!("/v1/nodes/{name}{rest}");
            api.get(path).await.is_problem(StatusCode::NOT_FOUND);
        }
        let path = format!("/v1/nodes/{name}/queue/flush");
        api.post(path, json!(null)).await.is_problem(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn the_desired_state_is_complete_and_the_same_each_time() {
    let api = Api::start().await;
    let node = nodes::join(&api, "mx-1", &["smtp"]).await;
    let state = desired(&api, &node).await;
    assert_eq!(state, desired(&api, &node).await);
    assert_eq!(state.node_name, "mx-1");
    assert_eq!(state.services.len(), 2);
    let tls = state.mail_tls.clone().unwrap();
    assert!(tls.key_pem.contains("PRIVATE KEY"));
    assert_eq!(tls.roots_pem, api.state.authority().roots_pem());

    // Another node is news to it, and raises its generation.
    let other = nodes::join(&api, "store-1", &["storage"]).await;
    let next = desired(&api, &node).await;
    assert!(next.generation > state.generation);
    assert_eq!(next.peers.len(), 1);
    assert_eq!(next.peers[0].node_id, other.id.to_string());
    assert_eq!(desired(&api, &other).await.peers[0].name, "mx-1");
    let same = DesiredState { generation: state.generation, peers: Vec::new(), ..next };
    assert_eq!(same, state);
}

#[tokio::test]
async fn update_node_reaches_the_others() {
    let api = Api::start().await;
    let node = nodes::join(&api, "store-1", &["storage"]).await;
    let other = nodes::join(&api, "mx-1", &["smtp"]).await;
    let before = desired(&api, &node).await.mail_tls;
    let body = json!({"address": "10.9.9.9", "eligible": false});
    let etag = api.get("/v1/nodes/store-1").await.etag();
    let ask = api.ask(Method::PATCH, "/v1/nodes/store-1").header("if-match", etag.as_bytes());
    let changed = ask.json(body).send().await.is(StatusCode::OK);
    assert_eq!(changed.body["address"], "10.9.9.9");
    assert_eq!(changed.body["eligible"], false);
    assert_eq!(desired(&api, &other).await.peers[0].address, "10.9.9.9");
    assert_ne!(desired(&api, &node).await.mail_tls, before);

    let stale = api.ask(Method::PATCH, "/v1/nodes/store-1").header("if-match", etag.as_bytes());
    stale.json(json!({"eligible": true})).send().await.is_problem(StatusCode::PRECONDITION_FAILED);
    let without = api.ask(Method::PATCH, "/v1/nodes/store-1").json(json!({"eligible": true}));
    without.send().await.is_problem(StatusCode::PRECONDITION_REQUIRED);
    for address in ["here", "0.0.0.0", "224.0.0.1", ""] {
        let answer = api.patch("/v1/nodes/store-1", json!({"address": address})).await;
        answer.is_invalid(&["/address"]);
    }
    api.patch("/v1/nodes/store-1", json!({"roles": ["smtp"]}))
        .await
        .is_problem(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn revoke_node_takes_it_from_its_peers() {
    let api = Api::start().await;
    nodes::join(&api, "store-1", &["storage"]).await;
    let other = nodes::join(&api, "mx-1", &["smtp"]).await;
    for _ in 0..2 {
        let answer = api.post("/v1/nodes/store-1/revoke", json!({})).await.is(StatusCode::OK);
        assert_eq!(answer.body["status"], "unreachable");
        assert!(answer.body["revoked_at"].is_string());
        assert_eq!(answer.body["revision"], 2);
    }
    assert_eq!(desired(&api, &other).await.peers, []);
    nodes::join(&api, "store-1", &["storage"]).await;
    assert!(api.get("/v1/nodes/store-1").await.body["revoked_at"].is_null());
    assert_eq!(desired(&api, &other).await.peers.len(), 1);
}

#[tokio::test]
async fn delete_node_removes_it_and_tells_the_others() {
    let api = Api::start().await;
    nodes::join(&api, "mx-1", &["smtp"]).await;
    let other = nodes::join(&api, "mx-2", &["smtp"]).await;
    let before = desired(&api, &other).await.generation;
    api.delete("/v1/nodes/mx-1").await.is(StatusCode::NO_CONTENT);
    api.get("/v1/nodes/mx-1").await.is_problem(StatusCode::NOT_FOUND);
    let state = desired(&api, &other).await;
    assert_eq!(state.peers, []);
    assert!(state.generation > before);
}

#[tokio::test]
async fn delete_node_rejects_one_that_keeps_mail() {
    let api = Api::start().await;
    nodes::join(&api, "storage-1", &["storage"]).await;
    api.domain("example.org").await;
    api.user("alice@example.org").await;
    let answer = api.delete("/v1/nodes/storage-1").await.is_problem(StatusCode::CONFLICT);
    assert!(answer.body["detail"].as_str().unwrap().contains("move them first"), "{}", answer.body);
    api.get("/v1/nodes/storage-1").await.is(StatusCode::OK);
    let stale = api.ask(Method::DELETE, "/v1/nodes/storage-1").header("if-match", "\"99\"");
    stale.send().await.is_problem(StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn nodes_are_for_system_admins() {
    let api = Api::start().await;
    nodes::join(&api, "mx-1", &["smtp"]).await;
    api.operator("weak", OperatorRole::SuperDomainAdmin).await;
    let weak = api.sign_in("weak").await;
    for (method, path) in [
        (Method::GET, "/v1/nodes"),
        (Method::GET, "/v1/nodes/mx-1"),
        (Method::GET, "/v1/nodes/nobody"),
        (Method::DELETE, "/v1/nodes/mx-1"),
        (Method::POST, "/v1/nodes/mx-1/revoke"),
        (Method::GET, "/v1/nodes/mx-1/services"),
        (Method::GET, "/v1/nodes/mx-1/services/postfix"),
        (Method::POST, "/v1/nodes/mx-1/services/postfix/restart"),
    ] {
        let ask = api.ask(method.clone(), path).by(&weak).header("if-match", "*");
        ask.send().await.is_problem(StatusCode::FORBIDDEN);
        let ask = api.ask(method, path).anonymous().header("if-match", "*");
        ask.send().await.is_problem(StatusCode::UNAUTHORIZED);
    }
    api.get("/v1/nodes/mx-1").await.is(StatusCode::OK);
}
