//! `/v1/join_tokens`

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::model::operator::OperatorRole;
use umail_tests::{api::Api, nodes};

#[tokio::test]
async fn create_join_token_shows_it_once() {
    let api = Api::start().await;
    let body = json!({"node_name": "mx-1", "roles": ["storage", "smtp"], "expires_in_seconds": 60});
    let made = api.post("/v1/join_tokens", body).await.is(StatusCode::CREATED).body;
    assert_eq!(made["roles"], json!(["smtp", "storage"]));
    assert_eq!(made["ca_fingerprint"], api.state.authority().fingerprint());
    let token = made["token"].as_str().unwrap();
    assert!(token.len() >= 43, "256 bits: {token}");
    let list = api.get("/v1/join_tokens").await.is(StatusCode::OK);
    assert_eq!(list.items("node_name"), ["mx-1"]);
    assert!(!list.body.to_string().contains(token));
    let mut owner = api.owner().await;
    let kept: String =
        sqlx::query_scalar("SELECT t::text FROM join_token t").fetch_one(&mut owner).await.unwrap();
    assert!(!kept.contains(token));
}

#[tokio::test]
async fn create_join_token_rejects_bad_fields() {
    let api = Api::start().await;
    let body = json!({"node_name": "a b", "roles": [], "expires_in_seconds": 901});
    let answer = api.post("/v1/join_tokens", body).await;
    answer.is_invalid(&["/node_name", "/roles", "/expires_in_seconds"]);
    for name in ["umail-api", "x.node.umail", "10.0.0.1", "../x", "A"] {
        let body = json!({"node_name": name, "roles": ["smtp"]});
        api.post("/v1/join_tokens", body).await.is_invalid(&["/node_name"]);
    }
    let body = json!({"node_name": "mx-1", "roles": ["root"]});
    api.post("/v1/join_tokens", body).await.is_invalid(&["/roles/0"]);
}

#[tokio::test]
async fn create_join_token_rejects_other_roles_for_a_node_that_is_there() {
    let api = Api::start().await;
    nodes::join(&api, "mx-1", &["smtp"]).await;
    let body = |role| json!({"node_name": "mx-1", "roles": [role]});
    api.post("/v1/join_tokens", body("pop")).await.is_problem(StatusCode::CONFLICT);
    api.post("/v1/join_tokens", body("smtp")).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn delete_join_token_makes_it_useless() {
    let api = Api::start().await;
    let body = json!({"node_name": "mx-1", "roles": ["smtp"]});
    let id = api.post("/v1/join_tokens", body).await.is(StatusCode::CREATED).id();
    api.delete(format!("/v1/join_tokens/{id}")).await.is(StatusCode::NO_CONTENT);
    api.delete(format!("/v1/join_tokens/{id}")).await.is_problem(StatusCode::NOT_FOUND);
    assert!(api.get("/v1/join_tokens").await.items("id").is_empty());
}

#[tokio::test]
async fn join_tokens_are_for_system_admins() {
    let api = Api::start().await;
    api.operator("weak", OperatorRole::SuperDomainAdmin).await;
    let weak = api.sign_in("weak").await;
    let body = json!({"node_name": "mx-1", "roles": ["smtp"]});
    let ask = api.ask(Method::POST, "/v1/join_tokens").by(&weak).json(body.clone());
    ask.send().await.is_problem(StatusCode::FORBIDDEN);
    let ask = api.ask(Method::POST, "/v1/join_tokens").anonymous().json(body);
    ask.send().await.is_problem(StatusCode::UNAUTHORIZED);
    let ask = api.ask(Method::GET, "/v1/join_tokens").by(&weak);
    ask.send().await.is_problem(StatusCode::FORBIDDEN);
}
