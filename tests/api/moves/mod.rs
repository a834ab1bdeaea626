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
