//! Signing in, failing to, and being refused: in the same place as changes.

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::{app::security_events, context::Context};
use umail_tests::api::{Answer, Api};

use super::events;

async fn try_to_sign_in(api: &Api, name: &str) -> Answer {
    let body = json!({"name": name, "password": "wrong horse"});
    api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await
}

#[tokio::test]
async fn signing_in_and_out_is_known() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let id = api.user("anna@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    let seen = events(&api, &anna, "?kind=security").await;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0]["action"], "sign_in");
    assert_eq!(seen[0]["actor_kind"], "user");
    assert_eq!(seen[0]["actor_id"], id.as_str());
    assert_eq!(seen[0]["resource"], "session");
    assert_eq!(seen[0]["client_address"], "127.0.0.1");
    assert!(seen[0]["after"]["user_agent"].is_string());
    let out = api.ask(Method::DELETE, "/v1/sessions/current").by(&anna).send().await;
    out.is(StatusCode::NO_CONTENT);
    let page = api.get(format!("/v1/audit_events?user={id}&resource=session&action=delete")).await;
    assert_eq!(page.body["items"][0]["resource_id"], seen[0]["resource_id"]);
}

#[tokio::test]
async fn failures_are_told_once_a_minute_and_then_counted() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let id = api.user("anna@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    for _ in 0..10 {
        try_to_sign_in(&api, "anna@example.com").await.is_problem(StatusCode::UNAUTHORIZED);
    }
    try_to_sign_in(&api, "nobody@example.com").await.is_problem(StatusCode::UNAUTHORIZED);
    let told = |query: &'static str| {
        let api = &api;
        async move {
            let page = api.get(format!("/v1/audit_events?kind=security{query}")).await;
            page.body["items"].as_array().unwrap().clone()
        }
    };
    let failed = told("&action=sign_in_failed").await;
    assert_eq!(failed.len(), 2);
    assert_eq!(failed[0]["after"]["name"], "nobody@example.com");
    assert!(failed[0]["resource_id"].is_null() && failed[0]["domain_id"].is_null());
    assert_eq!(failed[1]["resource_id"], id.as_str());
    assert_eq!(failed[1]["actor_kind"], "nobody");
    let locked = told("&action=lock_out").await;
    assert_eq!(locked.len(), 1);
    assert_eq!(locked[0]["after"]["failures"], 10);
    let cx = Context::system(api.state.clone());
    assert_eq!(security_events::write_repeats(&cx).await.unwrap(), 1);
    let failed = told("&action=sign_in_failed").await;
    assert_eq!(failed.len(), 3);
    assert_eq!(failed[0]["after"], json!({"repeated": 9, "first": failed[2]["id"]}));
    // Whom it is about sees it, others do not.
    let own = events(&api, &anna, "?kind=security&action=sign_in_failed").await;
    assert_eq!(own.len(), 2);
}

#[tokio::test]
async fn a_refresh_token_that_is_shown_again_is_known() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let id = api.user("anna@example.com").await;
    let body = json!({"name": "anna@example.com", "password": umail_tests::api::PASSWORD});
    let ask = api.ask(Method::POST, "/v1/sessions").anonymous().json(body);
    let token = ask.send().await.body["refresh_token"].as_str().unwrap().to_owned();
    for status in [StatusCode::OK, StatusCode::UNAUTHORIZED] {
        let ask = api.ask(Method::POST, "/v1/sessions/refresh").anonymous();
        ask.json(json!({"refresh_token": token})).send().await.is(status);
    }
    let page = api.get("/v1/audit_events?action=token_reused").await;
    let event = &page.body["items"][0];
    assert_eq!(event["user_id"], id.as_str());
    assert_eq!(event["actor_kind"], "nobody");
}

#[tokio::test]
async fn what_is_refused_is_known_to_who_administers_the_caller() {
    let api = Api::start().await;
    let admin = {
        api.domain("example.com").await;
        api.domain_admin("admin@example.com").await
    };
    let id = api.user("anna@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    for _ in 0..3 {
        let ask = api.ask(Method::GET, "/v1/operators?page_size=5").by(&anna).send().await;
        ask.is_problem(StatusCode::FORBIDDEN);
    }
    let seen = events(&api, &admin, "?action=refuse").await;
    assert_eq!(seen.len(), 1, "{seen:#?}");
    assert_eq!(seen[0]["actor_id"], id.as_str());
    assert_eq!(seen[0]["after"]["method"], "GET");
    assert_eq!(seen[0]["after"]["path"], "/v1/operators");
    // What is not there for her is no refusal.
    let ask = api.ask(Method::GET, "/v1/users/admin@example.com").by(&anna).send().await;
    ask.is_problem(StatusCode::NOT_FOUND);
    assert_eq!(events(&api, &admin, "?action=refuse").await.len(), 1);
    let root = api.sign_in("root").await;
    assert!(!events(&api, &root, "?action=refuse").await.is_empty());
}
