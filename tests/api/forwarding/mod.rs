//! `/v1/users/{user}/forwarding`

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_tests::api::Api;

const PATH: &str = "/v1/users/anna@example.com/forwarding";

#[tokio::test]
async fn update_forwarding_replaces_it() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    let none = api.ask(Method::GET, PATH).by(&anna).send().await.is(StatusCode::OK);
    assert_eq!(none.body, json!({"targets": [], "keep_copy": true}));
    let put = |etag: reqwest::header::HeaderValue, body| {
        api.ask(Method::PUT, PATH).by(&anna).header("if-match", etag).json(body).send()
    };
    let body = json!({"targets": ["Bert@Example.org"], "keep_copy": false});
    let first = put(none.etag(), body.clone()).await.is(StatusCode::OK);
    assert_eq!(first.body, json!({"targets": ["bert@example.org"], "keep_copy": false}));
    put(none.etag(), body).await.is_problem(StatusCode::PRECONDITION_FAILED);
    let read = api.get(PATH).await.is(StatusCode::OK);
    assert_eq!((&read.body, read.etag()), (&first.body, first.etag()));
    let empty = put(first.etag(), json!({"targets": [], "keep_copy": true})).await;
    assert_eq!(empty.is(StatusCode::OK).body, none.body);
    // It is no alias, and the address is the user's.
    assert!(api.get("/v1/domains/example.com/aliases").await.items("id").is_empty());
}

#[tokio::test]
async fn a_forwarding_is_no_alias() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let body = json!({"targets": ["b@example.org"], "keep_copy": true});
    api.put(PATH, body).await.is(StatusCode::OK);
    assert!(api.get("/v1/domains/example.com/aliases").await.items("id").is_empty());
}

#[tokio::test]
async fn update_forwarding_refuses_fields_that_break_their_rules() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    for (targets, field) in [
        (json!(["x"]), "/targets/0"),
        (json!(["a@example.org", "anna@example.com"]), "/targets/1"),
        (json!(vec!["a@example.org"; 101]), "/targets"),
        (json!("a@example.org"), "/targets"),
    ] {
        let body = json!({"targets": targets, "keep_copy": true});
        api.put(PATH, body).await.is_invalid(&[field]);
    }
    let blind = api.ask(Method::PUT, PATH).json(json!({"targets": [], "keep_copy": true}));
    blind.send().await.is_problem(StatusCode::PRECONDITION_REQUIRED);
}

#[tokio::test]
async fn forwarding_is_out_of_reach_of_others() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    api.user("bert@example.com").await;
    let bert = api.sign_in("bert@example.com").await;
    let read = api.ask(Method::GET, PATH).by(&bert).send().await;
    read.is_problem(StatusCode::NOT_FOUND);
    let put = api.ask(Method::PUT, PATH).by(&bert).header("if-match", "*");
    let put = put.json(json!({"targets": ["bert@example.com"], "keep_copy": true})).send().await;
    put.is_problem(StatusCode::NOT_FOUND);
}
