//! `/v1/operators`

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::model::operator::OperatorRole;
use umail_tests::api::{Api, PASSWORD};

#[tokio::test]
async fn create_operator_adds_one_who_can_sign_in() {
    let api = Api::start().await;
    let body = json!({"name": "alice", "role": "super_domain_admin", "password": PASSWORD});
    let alice = api.post("/v1/operators", body.clone()).await.is(StatusCode::CREATED);
    assert_eq!(alice.headers["etag"], "\"1\"");
    assert!(alice.body.get("password").is_none() && alice.body.get("password_hash").is_none());
    api.sign_in("alice").await;
    let taken = api.post("/v1/operators", body).await.is_problem(StatusCode::CONFLICT);
    assert_eq!(taken.body["detail"], "operator alice already exists");
    let read = api.get(format!("/v1/operators/{}", alice.id())).await.is(StatusCode::OK);
    assert_eq!(read.body, alice.body);
}

#[tokio::test]
async fn create_operator_refuses_fields_that_break_their_rules() {
    let api = Api::start().await;
    let body = json!({"name": "Alice@", "role": "system_admin", "password": "short"});
    api.post("/v1/operators", body).await.is_invalid(&["/name", "/password"]);
    let body = json!({"name": "alice", "role": "king", "password": PASSWORD});
    api.post("/v1/operators", body).await.is_invalid(&["/role"]);
}

#[tokio::test]
async fn create_operator_with_an_idempotency_key_adds_one() {
    let api = Api::start().await;
    let body = json!({"name": "alice", "role": "system_admin", "password": PASSWORD});
    let post = |body| {
        api.ask(Method::POST, "/v1/operators").header("idempotency-key", "k1").json(body).send()
    };
    let first = post(body.clone()).await.is(StatusCode::CREATED);
    let second = post(body).await.is(StatusCode::CREATED);
    assert_eq!(first.body, second.body);
    assert_eq!(first.etag(), second.etag());
    let other = json!({"name": "bob", "role": "system_admin", "password": PASSWORD});
    post(other).await.is_invalid(&["Idempotency-Key"]);
    // A refusal is not an answer to keep: nothing was done.
    let failing = |name: &str| {
        let body = json!({"name": name, "role": "system_admin", "password": PASSWORD});
        api.ask(Method::POST, "/v1/operators").header("idempotency-key", "k2").json(body).send()
    };
    failing("alice").await.is_problem(StatusCode::CONFLICT);
    failing("carol").await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn requests_that_race_with_one_idempotency_key_add_one() {
    let api = Api::start().await;
    let body = json!({"name": "alice", "role": "system_admin", "password": PASSWORD});
    let post = || {
        let ask = api.ask(Method::POST, "/v1/operators").header("idempotency-key", "k1");
        ask.json(body.clone()).send()
    };
    let answers = tokio::join!(post(), post(), post(), post());
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert!(
            [StatusCode::CREATED, StatusCode::CONFLICT].contains(&answer.status),
            "{:#}",
            answer.body
        );
        if answer.status == StatusCode::CONFLICT {
            assert!(answer.body["detail"].as_str().unwrap().contains("is being worked on"));
        }
    }
    post().await.is(StatusCode::CREATED);
    assert_eq!(api.get("/v1/operators").await.items("name"), ["root", "alice"]);
}

#[tokio::test]
async fn list_operators_comes_in_pages() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        api.operator(name, OperatorRole::SuperDomainAdmin).await;
    }
    let first = api.get("/v1/operators?page_size=3").await.is(StatusCode::OK);
    assert_eq!(first.items("name").len(), 3);
    let link = first.headers["link"].to_str().unwrap();
    let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let second = api.get(next).await.is(StatusCode::OK);
    let all = [first.items("name"), second.items("name")].concat();
    assert_eq!(all, ["root", "a", "b", "c"]);
    assert!(second.body["next_page_token"].is_null());
    assert!(second.headers.get("link").is_none());
    for (query, field) in [
        ("page_size=0", "page_size"),
        ("page_size=101", "page_size"),
        ("page_size=x", "query"),
        ("page_token=%00", "page_token"),
        ("page_of=1", "query"),
        ("colour=red", "query"),
    ] {
        api.get(format!("/v1/operators?{query}")).await.is_invalid(&[field]);
    }
}

#[tokio::test]
async fn update_operator_needs_the_revision_that_was_read() {
    let api = Api::start().await;
    api.operator("alice", OperatorRole::SuperDomainAdmin).await;
    let operators = api.get("/v1/operators").await.body;
    let path = format!("/v1/operators/{}", operators["items"][1]["id"].as_str().unwrap());
    let etag = api.get(&path).await.etag();
    let body = json!({"role": "system_admin"});
    let patch = || api.ask(Method::PATCH, &path).json(body.clone());
    patch().send().await.is_problem(StatusCode::PRECONDITION_REQUIRED);
    let changed = patch().header("if-match", &etag).send().await.is(StatusCode::OK);
    assert_eq!(changed.body["role"], "system_admin");
    assert_eq!(changed.headers["etag"], "\"2\"");
    patch().header("if-match", &etag).send().await.is_problem(StatusCode::PRECONDITION_FAILED);
    api.patch(&path, json!({"role": null})).await.is_invalid(&["/role"]);
    api.patch(&path, json!({"name": "bob"})).await.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn update_operator_is_effective_at_once() {
    let api = Api::start().await;
    api.operator("alice", OperatorRole::SystemAdmin).await;
    let token = api.sign_in("alice").await;
    let list = || api.ask(Method::GET, "/v1/operators").by(&token).send();
    let operators = list().await.is(StatusCode::OK).body;
    let path = format!("/v1/operators/{}", operators["items"][1]["id"].as_str().unwrap());
    api.patch(&path, json!({"role": "super_domain_admin"})).await.is(StatusCode::OK);
    list().await.is_problem(StatusCode::FORBIDDEN);
    api.patch(&path, json!({"active": false})).await.is(StatusCode::OK);
    list().await.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_last_system_admin_stays() {
    let api = Api::start().await;
    let path = format!("/v1/operators/{}", api.get("/v1/me").await.id());
    let demotion = json!({"role": "super_domain_admin"});
    api.patch(&path, demotion).await.is_problem(StatusCode::CONFLICT);
    api.patch(&path, json!({"active": false})).await.is_problem(StatusCode::CONFLICT);
    api.delete(&path).await.is_problem(StatusCode::CONFLICT);
}

#[tokio::test]
async fn delete_operator_removes_the_operator_and_its_sessions() {
    let api = Api::start().await;
    api.operator("alice", OperatorRole::SystemAdmin).await;
    let token = api.sign_in("alice").await;
    let operators = api.get("/v1/operators").await.body;
    let path = format!("/v1/operators/{}", operators["items"][1]["id"].as_str().unwrap());
    let without = api.ask(Method::DELETE, &path).send().await;
    without.is_problem(StatusCode::PRECONDITION_REQUIRED);
    api.delete(&path).await.is(StatusCode::NO_CONTENT);
    api.delete(&path).await.is_problem(StatusCode::NOT_FOUND);
    api.get(&path).await.is_problem(StatusCode::NOT_FOUND);
    api.get("/v1/operators/alice").await.is_problem(StatusCode::NOT_FOUND);
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await;
    me.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn operators_are_for_system_admins() {
    let api = Api::start().await;
    api.operator("alice", OperatorRole::SuperDomainAdmin).await;
    let token = api.sign_in("alice").await;
    let path = format!("/v1/operators/{}", api.get("/v1/me").await.id());
    let body = json!({"name": "bob", "role": "system_admin", "password": PASSWORD});
    for ask in [
        api.ask(Method::GET, "/v1/operators"),
        api.ask(Method::POST, "/v1/operators").json(body),
        api.ask(Method::GET, &path),
        api.ask(Method::PATCH, &path).header("if-match", "*").json(json!({"active": false})),
        api.ask(Method::DELETE, &path).header("if-match", "*"),
    ] {
        ask.by(&token).send().await.is_problem(StatusCode::FORBIDDEN);
    }
}
