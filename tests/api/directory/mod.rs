//! `/v1/directory`

use reqwest::StatusCode;
use umail_tests::{api::Api, nodes};

#[tokio::test]
async fn nodes_that_were_never_seen_hold_up_nobody() {
    let api = Api::start().await;
    nodes::join(&api, "pop-1", &["pop"]).await;
    let body = api.get("/v1/directory").await.is(StatusCode::OK).body;
    assert_eq!(body["nodes"][0]["name"], "pop-1");
    assert_eq!(
        (&body["nodes"][0]["reachable"], &body["nodes"][0]["version"]),
        (&false.into(), &0.into())
    );
    api.get("/v1/directory?wait_seconds=61").await.is_invalid(&["wait_seconds"]);
}
