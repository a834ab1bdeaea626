//! `/v1/users/{user}/moves`

use reqwest::StatusCode;
use serde_json::json;
use umail_tests::{api::Api, nodes};

#[tokio::test]
async fn a_move_needs_a_user_that_there_is() {
    let api = Api::start().await;
    nodes::join(&api, "storage-1", &["storage"]).await;
    let path = "/v1/users/alice@example.com/moves";
    let missing = api.post(path, json!({"storage_node": "storage-1"})).await;
    missing.is_problem(StatusCode::NOT_FOUND);
    let unknown = api.post(path, json!({"storage_node": "storage-1", "force": true})).await;
    unknown.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_move_needs_a_storage_node_that_there_is() {
    let api = Api::start().await;
    nodes::join(&api, "mx-1", &["smtp"]).await;
    api.domain("example.com").await;
    api.user("alice@example.com").await;
    for node in ["mx-1", "mx-2", "a\u{0}b", "Not A Name", ""] {
        let answer = api.post("/v1/users/alice@example.com/moves", json!({"storage_node": node}));
        answer.await.is_invalid(&["/storage_node"]);
    }
    for user in ["bob@example.com", "a%00b@example.com", "a%00b"] {
        let path = format!("/v1/users/{user}/moves");
        let answer = api.post(path, json!({"storage_node": "mx-1"})).await;
        answer.is_problem(StatusCode::NOT_FOUND);
        api.get(format!("/v1/users/{user}/usage")).await.is_problem(StatusCode::NOT_FOUND);
    }
}
