//! `/v1/sessions`

mod places;

use reqwest::{Method, StatusCode};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use umail_proto::clock::Clock;
use umail_tests::api::{Api, PASSWORD};

#[tokio::test]
async fn create_session_gives_tokens_that_work() {
    let api = Api::start().await;
    let body = json!({"name": "root", "password": PASSWORD});
    let session = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await;
    let session = session.is(StatusCode::CREATED).body;
    assert_eq!(session["token_type"], "Bearer");
    assert_eq!(session["expires_in_seconds"], 900);
    let token = session["access_token"].as_str().unwrap();
    let me = api.ask(Method::GET, "/v1/me").by(token).send().await.is(StatusCode::OK);
    assert_eq!(me.body["name"], "root");
}

#[tokio::test]
async fn create_session_refuses_a_wrong_name_and_a_wrong_password_alike() {
    let api = Api::start().await;
    let mut answers = Vec::new();
    for name in ["root", "nobody", "nobody@example.com", "no such name", "a\u{0}b"] {
        let body = json!({"name": name, "password": "not the password"});
        let answer = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await;
        let answer = answer.is_problem(StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        answers.push(answer.body["detail"].clone());
    }
    assert!(answers.iter().all(|one| *one == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn create_session_refuses_what_is_not_a_sign_in() {
    let api = Api::start().await;
    let ask = || api.ask(Method::POST, "/v1/sessions").anonymous();
    ask().json(json!({"name": "root"})).send().await.is_invalid(&[""]);
    ask().json(json!({"name": 1, "password": "x"})).send().await.is_invalid(&["/name"]);
    let body = json!({"name": "root", "password": "x", "more": 1});
    ask().json(body).send().await.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
    let body = json!({"name": "root", "password": "x".repeat(1025)});
    ask().json(body).send().await.is_invalid(&["/password"]);
    let body = json!({"name": "root", "password": "x".repeat(2 << 20)});
    ask().json(body).send().await.is_problem(StatusCode::PAYLOAD_TOO_LARGE);
    ask().send().await.is_problem(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let empty = ask().header("content-type", "application/json").send().await;
    empty.is_problem(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn create_session_slows_down_guessing() {
    let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
    let api = Api::start_at(clock.clone()).await;
    let guess = |password: &str| {
        let body = json!({"name": "root", "password": password});
        api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send()
    };
    for _ in 0..10 {
        guess("not the password").await.is_problem(StatusCode::UNAUTHORIZED);
    }
    let refused = guess(PASSWORD).await.is_problem(StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "300");
    clock.advance(Duration::minutes(5));
    guess(PASSWORD).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn refresh_session_rotates_and_a_former_token_ends_the_session() {
    let api = Api::start().await;
    let body = json!({"name": "root", "password": PASSWORD});
    let first = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await.body;
    let refresh = |token: serde_json::Value| {
        let body = json!({"refresh_token": token});
        api.ask(Method::POST, "/v1/sessions/refresh").anonymous().json(body).send()
    };
    let second = refresh(first["refresh_token"].clone()).await.is(StatusCode::OK).body;
    let token = second["access_token"].as_str().unwrap().to_owned();
    api.ask(Method::GET, "/v1/me").by(&token).send().await.is(StatusCode::OK);

    refresh(first["refresh_token"].clone()).await.is_problem(StatusCode::UNAUTHORIZED);
    refresh(second["refresh_token"].clone()).await.is_problem(StatusCode::UNAUTHORIZED);
    let ended = api.ask(Method::GET, "/v1/me").by(&token).send().await;
    ended.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn access_tokens_and_sessions_expire() {
    let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
    let api = Api::start_at(clock.clone()).await;
    let body = json!({"name": "root", "password": PASSWORD});
    let session = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await.body;
    let token = session["access_token"].as_str().unwrap();
    clock.advance(Duration::minutes(15));
    let me = api.ask(Method::GET, "/v1/me").by(token).send().await;
    me.is_problem(StatusCode::UNAUTHORIZED);
    clock.advance(Duration::days(30));
    let body = json!({"refresh_token": session["refresh_token"]});
    let late = api.ask(Method::POST, "/v1/sessions/refresh").anonymous().json(body).send().await;
    late.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_that_has_rested_is_refreshed() {
    let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
    let api = Api::start_at(clock.clone()).await;
    let body = json!({"name": "root", "password": PASSWORD});
    let session = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await.body;
    clock.advance(Duration::hours(1));
    api.state.callers().forget();
    let body = json!({"refresh_token": session["refresh_token"]});
    let next = api.ask(Method::POST, "/v1/sessions/refresh").anonymous().json(body).send().await;
    let token = next.is(StatusCode::OK).body["access_token"].as_str().unwrap().to_owned();
    api.ask(Method::GET, "/v1/me").by(&token).send().await.is(StatusCode::OK);
}

#[tokio::test]
async fn delete_current_session_signs_out_at_once() {
    let api = Api::start().await;
    let token = api.sign_in("root").await;
    let out = api.ask(Method::DELETE, "/v1/sessions/current").by(&token).send().await;
    out.is(StatusCode::NO_CONTENT);
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await;
    me.is_problem(StatusCode::UNAUTHORIZED);
    api.get("/v1/me").await.is(StatusCode::OK);
}
