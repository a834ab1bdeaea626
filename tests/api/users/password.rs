//! `/v1/users/{user}/password`, and what a password that was set by somebody else is good for.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_tests::api::{Answer, Api, PASSWORD};

const PATH: &str = "/v1/users/anna@example.com/password";
const OTHER: &str = "another password";

async fn start() -> Api {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    api
}

async fn sign_in(api: &Api, password: &str) -> String {
    let body = json!({"name": "anna@example.com", "password": password});
    let session = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await;
    session.is(StatusCode::CREATED).body["access_token"].as_str().unwrap().to_owned()
}

async fn change(api: &Api, token: &str, current: &str, new: &str) -> Answer {
    let body = json!({"current_password": current, "new_password": new});
    api.ask(Method::PUT, "/v1/me/password").by(token).json(body).send().await
}

/// Only the problem of a session that is good for nothing but changing the password.
fn is_confined(answer: Answer) {
    let problem = answer.is_problem(StatusCode::FORBIDDEN).body;
    assert_eq!(problem["type"], "urn:umail:problem:password-change-required");
    assert!(problem["detail"].as_str().unwrap().contains("PUT /v1/me/password"), "{problem}");
}

#[tokio::test]
async fn a_password_that_was_reset_is_good_for_changing_it() {
    let api = start().await;
    api.put(PATH, json!({"new_password": OTHER})).await.is(StatusCode::NO_CONTENT);
    let token = sign_in(&api, OTHER).await;
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await.is(StatusCode::OK);
    assert_eq!(me.body["confined_to"], "password_change");
    for ask in [
        api.ask(Method::GET, "/v1/users/anna@example.com"),
        api.ask(Method::GET, "/v1/me/sessions"),
        api.ask(Method::GET, "/v1/me/totp"),
        api.ask(Method::POST, "/v1/me/totp").json(json!({"current_password": OTHER})),
        api.ask(Method::POST, "/v1/users/anna@example.com/app_passwords")
            .json(json!({"label": "x"})),
        api.ask(Method::POST, "/v1/users/anna@example.com/app_passwords")
            .header("idempotency-key", "k")
            .json(json!({"label": "x"})),
    ] {
        is_confined(ask.by(&token).send().await);
    }
    change(&api, &token, OTHER, OTHER).await.is_invalid(&["/new_password"]);
    change(&api, &token, OTHER, PASSWORD).await.is(StatusCode::NO_CONTENT);
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await.is(StatusCode::OK);
    assert_eq!(me.body["confined_to"], Value::Null);
    api.ask(Method::GET, "/v1/me/sessions").by(&token).send().await.is(StatusCode::OK);
    // Signing out is possible, whatever is wanted first.
    api.put(PATH, json!({"new_password": OTHER})).await.is(StatusCode::NO_CONTENT);
    let token = sign_in(&api, OTHER).await;
    let out = api.ask(Method::DELETE, "/v1/sessions/current").by(&token).send().await;
    out.is(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_administrator_may_leave_the_password_as_it_was_set() {
    let api = start().await;
    let body = json!({"new_password": OTHER, "must_change": false});
    api.put(PATH, body).await.is(StatusCode::NO_CONTENT);
    let token = sign_in(&api, OTHER).await;
    api.ask(Method::GET, "/v1/me/sessions").by(&token).send().await.is(StatusCode::OK);
    // And of a new user it is the other way round.
    let body = json!({"local_part": "bert", "password": PASSWORD, "must_change_password": true});
    api.post("/v1/domains/example.com/users", body).await.is(StatusCode::CREATED);
    let bert = api.sign_in("bert@example.com").await;
    is_confined(api.ask(Method::GET, "/v1/me/sessions").by(&bert).send().await);
}

#[tokio::test]
async fn an_operator_changes_a_password_that_another_one_set() {
    let api = start().await;
    let body = json!({"name": "bert", "role": "super_domain_admin", "password": PASSWORD});
    let id = api.post("/v1/operators", body).await.is(StatusCode::CREATED).id();
    let path = format!("/v1/operators/{id}");
    let set = api.patch(&path, json!({"password": OTHER})).await.is(StatusCode::OK);
    assert_eq!(set.body["must_change_password"], true);
    let body = json!({"name": "bert", "password": OTHER});
    let session = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await;
    let token = session.is(StatusCode::CREATED).body["access_token"].as_str().unwrap().to_owned();
    is_confined(api.ask(Method::GET, "/v1/domains").by(&token).send().await);
    change(&api, &token, OTHER, PASSWORD).await.is(StatusCode::NO_CONTENT);
    api.ask(Method::GET, "/v1/domains").by(&token).send().await.is(StatusCode::OK);
    assert_eq!(api.get(&path).await.body["must_change_password"], false);
}

#[tokio::test]
async fn passwords_are_as_the_settings_want_them() {
    let api = start().await;
    let detail = |answer: Answer, pointer: &str| {
        let answer = answer.is_invalid(&[pointer]);
        answer.body["errors"][0]["detail"].as_str().unwrap().to_owned()
    };
    let reset = |password: &str| api.put(PATH, json!({"new_password": password}));
    for (password, reason) in [
        ("k7pq2mzdx", "must have at least 10 characters"),
        ("I am ANNA@example.com", "must not contain the address or the name of whom it is for"),
        ("hello anna, hello", "must not contain the address or the name of whom it is for"),
        ("1234567890", "is too easy to guess: it is among the commonest passwords"),
    ] {
        assert_eq!(detail(reset(password).await, "/new_password"), reason);
    }
    let users = "/v1/domains/example.com/users";
    let body = json!({
        "local_part": "x", "password": "my Berger password",
        "profile": {"given_name": "Bea", "family_name": "Berger"},
    });
    let reason = detail(api.post(users, body).await, "/password");
    assert_eq!(reason, "must not contain the address or the name of whom it is for");
    let body = json!({"name": "bertram", "role": "system_admin", "password": "bertram is my name"});
    let reason = detail(api.post("/v1/operators", body).await, "/password");
    assert_eq!(reason, "must not contain the address or the name of whom it is for");
    // Nothing has changed, and the settings hold at once.
    let token = api.sign_in("anna@example.com").await;
    let settings = json!({"password_min_length": 22, "password_min_strength": 4});
    let after = api.patch("/v1/settings", settings).await.is(StatusCode::OK);
    assert_eq!(
        (&after.body["password_min_length"], &after.body["password_min_strength"]),
        (&json!(22), &json!(4))
    );
    let reason = detail(change(&api, &token, PASSWORD, OTHER).await, "/new_password");
    assert_eq!(reason, "must have at least 22 characters");
    let lax = json!({"password_min_length": 8, "password_min_strength": 0});
    api.patch("/v1/settings", lax).await.is(StatusCode::OK);
    reset("12345678").await.is(StatusCode::NO_CONTENT);
    for (field, value) in [
        ("password_min_length", json!(7)),
        ("password_min_length", json!(129)),
        ("password_min_strength", json!(5)),
        ("password_min_strength", json!(null)),
    ] {
        let pointer = format!("/{field}");
        api.patch("/v1/settings", json!({field: value})).await.is_invalid(&[&pointer]);
    }
}
