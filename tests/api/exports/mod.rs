//! Exports: what comes out goes in.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::{app, authn::callers::Credential, context::Context, model::operator::OperatorRole};
use umail_api_types::imports::Format;
use umail_tests::api::Api;

use crate::imports::{
    begin, count, counts, import, no_drift, scale, send, skip, start, users, work,
};

const EXPORT: &str = "/v1/domains/example.com/users/export";

async fn text(api: &Api, path: &str) -> String {
    let answer = api.get(path).await.is(StatusCode::OK);
    match answer.body {
        Value::String(text) => text,
        one => one.to_string(),
    }
}

#[tokio::test]
async fn what_was_exported_is_unchanged_when_it_is_imported() {
    let api = start().await;
    let path = "/v1/domains/example.com/departments";
    let sales =
        api.post(path, json!({"name": "Sales, \"Süd\""})).await.is(StatusCode::CREATED).id();
    import(&api, skip(), users(scale(1_500))).await;
    let body = json!({
        "display_name": "'=x, \"y\"", "department_id": sales, "quota_bytes": 5, "functions": [],
        "status": "suspended", "messages_per_day": 7,
        "profile": {"phone": "+43 1 234", "title": "-a,b", "external_id": "'x"},
    });
    api.patch("/v1/users/user7@example.com", body).await.is(StatusCode::OK);
    let file = text(&api, EXPORT).await;
    assert_eq!(file.lines().count(), scale(1_500) + 1);
    assert!(!file.contains("PBKDF2"));
    let all = i64::try_from(scale(1_500)).unwrap();
    assert_eq!(counts(&import(&api, json!({}), file.clone()).await), [0, 0, all, 0]);
    let all_domains = text(&api, "/v1/users/export?password_hashes=true").await;
    let ndjson = text(&api, "/v1/users/export?format=ndjson&password_hashes=true").await;
    // Into an empty system, by the same names.
    let other = start().await;
    other.post(path, json!({"name": "Sales, \"Süd\""})).await.is(StatusCode::CREATED);
    let id = begin(&other, "/v1/imports", skip()).await;
    send(&other, &id, all_domains).await.is(StatusCode::ACCEPTED);
    assert_eq!(counts(&work(&other, &id).await), [all, 0, 0, 0]);
    no_drift(&other).await;
    let again = text(&other, EXPORT).await;
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&again), sorted(&file));
    let id = begin(&other, "/v1/imports", skip()).await;
    let put = other.ask(Method::PUT, format!("/v1/imports/{id}/content"));
    put.content("application/x-ndjson", ndjson).send().await.is(StatusCode::ACCEPTED);
    assert_eq!(counts(&work(&other, &id).await), [0, 0, all, 0]);
}

#[tokio::test]
async fn an_export_shows_what_is_in_the_scope_and_no_secrets() {
    let api = start().await;
    api.domain("foreign.example").await;
    api.user("x@foreign.example").await;
    let path = "/v1/domains/example.com/departments";
    let own = api.post(path, json!({"name": "Own"})).await.is(StatusCode::CREATED).id();
    api.user("outside@example.com").await;
    let head = api.department_admin("head@example.com", &own).await;
    let admin = api.domain_admin("admin@example.com").await;
    let get = |path: &'static str, token: String| {
        let api = &api;
        async move { api.ask(Method::GET, path).by(&token).send().await }
    };
    for (token, there) in [(&head, 1), (&admin, 3)] {
        for path in [EXPORT, "/v1/users/export"] {
            let file = get(path, token.clone()).await.is(StatusCode::OK).body;
            let file = file.as_str().unwrap().to_owned();
            assert_eq!(file.lines().count(), there + 1, "{file}");
            assert!(!file.contains("foreign"), "{file}");
        }
        let hashes = "/v1/domains/example.com/users/export?password_hashes=true";
        get(hashes, token.clone()).await.is_problem(StatusCode::FORBIDDEN);
        let foreign = "/v1/domains/foreign.example/users/export";
        get(foreign, token.clone()).await.is_problem(StatusCode::NOT_FOUND);
    }
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let operator = api.sign_in("super").await;
    get("/v1/users/export?password_hashes=true", operator).await.is_problem(StatusCode::FORBIDDEN);
    let before = "SELECT count(*) FROM audit_event WHERE resource = 'password hashes'";
    assert_eq!(count(&api, before).await, 0);
    let file = text(&api, "/v1/users/export?password_hashes=true").await;
    assert!(file.contains("{ARGON2ID}"), "{file}");
    assert_eq!(count(&api, before).await, 1);
}

#[tokio::test]
async fn an_export_ends_where_the_rights_of_its_reader_do() {
    let api = start().await;
    let path = "/v1/domains/example.com/departments";
    let own = api.post(path, json!({"name": "Own"})).await.is(StatusCode::CREATED).id();
    import(&api, skip(), users(1_500)).await;
    let reader = api.department_admin("reader@example.com", &own).await;
    let body = json!({"role": "domain_admin"});
    let roles = "/v1/users/reader@example.com/role_assignments";
    let role = api.post(roles, body).await.is(StatusCode::CREATED).id();
    let sessions = api.ask(Method::GET, "/v1/me/sessions").by(&reader).send().await;
    let session = sessions.body["items"][0]["id"].as_str().unwrap().parse().unwrap();
    let request = Arc::from("request");
    let cx = Context::of(api.state.clone(), Credential::Session(session), request).await.unwrap();
    let domain = "example.com".parse().unwrap();
    let mut export =
        app::exports::begin(&cx, Some(&domain), (Format::Ndjson, false)).await.unwrap();
    let first = export.next().await.unwrap().unwrap();
    assert_eq!(first.lines().count(), 1_000);
    api.delete(format!("/v1/role_assignments/{role}")).await.is(StatusCode::NO_CONTENT);
    // What is left is the reader, in the own department.
    let rest = export.next().await.unwrap().unwrap_or_default();
    assert!(rest.lines().count() <= 1, "{}", rest.lines().count());
}
