//! `/v1/users/{user}/app_passwords`

use reqwest::{Method, StatusCode};
use serde_json::json;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use umail_proto::clock::Clock;
use umail_tests::api::Api;

const PATH: &str = "/v1/users/anna@example.com/app_passwords";

#[tokio::test]
async fn app_passwords_are_shown_once() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    let body = json!({"label": "phone", "functions": ["imap"]});
    let new = api.ask(Method::POST, PATH).by(&anna).json(body).send().await;
    let new = new.is(StatusCode::CREATED);
    assert_eq!(new.body["password"].as_str().unwrap().len(), 34);
    assert_eq!(new.body["functions"], json!(["imap"]));
    assert!(new.body["expires_at"].is_null());
    let list = api.ask(Method::GET, PATH).by(&anna).send().await.is(StatusCode::OK);
    assert_eq!(list.items("id"), [new.id()]);
    assert!(!list.body.to_string().contains(new.body["password"].as_str().unwrap()));
    let hash: String = sqlx::query_scalar("SELECT hash FROM credential WHERE kind = 2")
        .fetch_one(api.state.pool())
        .await
        .unwrap();
    assert!(hash.starts_with("{SSHA512}"), "{hash}");
    let path = format!("{PATH}/{}", new.id());
    let delete = api.ask(Method::DELETE, &path).by(&anna).send().await;
    delete.is(StatusCode::NO_CONTENT);
    let again = api.ask(Method::DELETE, &path).by(&anna).send().await;
    again.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn app_passwords_do_not_sign_in_here() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let new = api.post(PATH, json!({"label": "phone"})).await.is(StatusCode::CREATED).body;
    let body = json!({"name": "anna@example.com", "password": new["password"]});
    let refused = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await;
    refused.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn create_app_password_refuses_fields_that_break_their_rules() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    for (body, field) in [
        (json!({"label": ""}), "/label"),
        (json!({"label": "a\u{0}"}), "/label"),
        (json!({"label": "x", "functions": null}), "/functions"),
        (json!({"label": "x", "functions": []}), "/functions"),
        (json!({"label": "x", "functions": ["imap", "forwarding"]}), "/functions"),
        (json!({"label": "x", "functions": ["ftp"]}), "/functions/0"),
        (json!({"label": "x", "expires_at": "2001-01-01T00:00:00Z"}), "/expires_at"),
        (json!({"label": "x", "expires_at": "soon"}), "/expires_at"),
    ] {
        api.post(PATH, body).await.is_invalid(&[field]);
    }
    let nobody = api.post("/v1/users/none@example.com/app_passwords", json!({"label": "x"})).await;
    nobody.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_lacks_the_function_at_any_level_makes_none() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    let made = api.post(PATH, json!({"label": "old"})).await.is(StatusCode::CREATED);
    let department = api.post("/v1/domains/example.com/departments", json!({"name": "sales"}));
    let department = department.await.is(StatusCode::CREATED).id();
    let plan = api
        .post("/v1/plans", json!({"name": "small", "quota_bytes": 1_000_000_000}))
        .await
        .is(StatusCode::CREATED)
        .id();
    let moved = json!({"department_id": department, "plan_id": plan});
    api.patch("/v1/users/anna@example.com", moved).await.is(StatusCode::OK);
    let entitlement = async || {
        let body = api.get("/v1/users/anna@example.com/entitlements").await.body;
        let all = body["functions"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["function"] == "app_passwords").unwrap()
    };
    assert_eq!(entitlement().await["allowed"], json!(true));
    let all = api.get("/v1/domains/example.com").await.body["functions"].clone();
    assert!(all.as_array().unwrap().contains(&json!("app_passwords")), "{all}");
    for (path, level) in [
        ("/v1/domains/example.com".to_owned(), "domain example.com"),
        (format!("/v1/departments/{department}"), "department sales"),
        (format!("/v1/plans/{plan}"), "plan small"),
        ("/v1/users/anna@example.com".to_owned(), "user anna@example.com"),
    ] {
        let some = json!({"functions": ["pop3", "imap", "submission"]});
        api.patch(&path, some).await.is(StatusCode::OK);
        let body = json!({"label": "new"});
        let refused = api.ask(Method::POST, PATH).by(&anna).json(body).send().await;
        let refused = refused.is_problem(StatusCode::CONFLICT);
        let detail = refused.body["detail"].as_str().unwrap();
        assert_eq!(detail, format!("app_passwords is switched off by {level}"));
        assert_eq!(entitlement().await["allowed"], json!(false));
        api.patch(&path, json!({"functions": all})).await.is(StatusCode::OK);
    }
    // What there is stays, is shown and can be removed; and more are made again.
    assert_eq!(api.get(PATH).await.items("id"), [made.id()]);
    let body = json!({"label": "new"});
    api.ask(Method::POST, PATH).by(&anna).json(body).send().await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_user_has_as_many_app_passwords_for_a_protocol_as_nodes_try() {
    let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
    let api = Api::start_at(clock.clone()).await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let end = (clock.now() + Duration::hours(1)).format(&Rfc3339).unwrap();
    let body = json!({"label": "short", "functions": ["imap"], "expires_at": end});
    api.post(PATH, body).await.is(StatusCode::CREATED);
    let more = |functions| api.post(PATH, json!({"label": "x", "functions": functions}));
    for _ in 1..8 {
        more(json!(["imap"])).await.is(StatusCode::CREATED);
    }
    let refused = more(json!(["imap"])).await.is_problem(StatusCode::CONFLICT);
    assert_eq!(refused.body["exceeded"]["kind"], "app passwords for imap");
    api.post(PATH, json!({"label": "all"})).await.is_problem(StatusCode::CONFLICT);
    more(json!(["pop3", "submission"])).await.is(StatusCode::CREATED);
    // One that has expired is in nobody's way.
    clock.advance(Duration::hours(1));
    more(json!(["imap"])).await.is_problem(StatusCode::UNAUTHORIZED);
    let root = api.sign_in("root").await;
    let body = json!({"label": "x", "functions": ["imap"]});
    let ask = api.ask(Method::POST, PATH).by(&root).json(body);
    ask.send().await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn app_passwords_are_out_of_reach_of_others() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    api.user("bert@example.com").await;
    let id = api.post(PATH, json!({"label": "x"})).await.id();
    let bert = api.sign_in("bert@example.com").await;
    for ask in [
        api.ask(Method::GET, PATH),
        api.ask(Method::POST, PATH).json(json!({"label": "y"})),
        api.ask(Method::DELETE, format!("{PATH}/{id}")),
    ] {
        ask.by(&bert).send().await.is_problem(StatusCode::NOT_FOUND);
    }
    let own = api.ask(Method::DELETE, format!("/v1/users/bert@example.com/app_passwords/{id}"));
    own.by(&bert).send().await.is_problem(StatusCode::NOT_FOUND);
}
