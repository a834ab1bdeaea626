//! `/v1/me`

mod password;
pub(crate) mod totp;

use std::num::NonZeroU32;

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::{authn::rates::Rate, context::Terms, model::operator::OperatorRole};
use umail_proto::clock::Clock;
use umail_tests::api::{Api, PASSWORD};

#[tokio::test]
async fn read_me_tells_who_calls() {
    let api = Api::start().await;
    let me = api.get("/v1/me").await.is(StatusCode::OK).body;
    assert_eq!(me["kind"], "operator");
    assert_eq!(me["name"], "root");
    assert_eq!(me["roles"][0]["role"], "system_admin");
}

#[tokio::test]
async fn update_my_password_ends_the_other_sessions() {
    let api = Api::start().await;
    let (token, other) = (api.sign_in("root").await, api.sign_in("root").await);
    let change = |body| api.ask(Method::PUT, "/v1/me/password").by(&token).json(body).send();
    change(json!({"current_password": "wrong", "new_password": "another password"}))
        .await
        .is_invalid(&["/current_password"]);
    change(json!({"current_password": PASSWORD, "new_password": "short"}))
        .await
        .is_invalid(&["/new_password"]);
    change(json!({"current_password": PASSWORD, "new_password": "another password"}))
        .await
        .is(StatusCode::NO_CONTENT);
    api.ask(Method::GET, "/v1/me").by(&token).send().await.is(StatusCode::OK);
    let ended = api.ask(Method::GET, "/v1/me").by(&other).send().await;
    ended.is_problem(StatusCode::UNAUTHORIZED);
    let sign_in = |password| {
        let body = json!({"name": "root", "password": password});
        api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send()
    };
    sign_in(PASSWORD).await.is_problem(StatusCode::UNAUTHORIZED);
    sign_in("another password").await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_caller_who_asks_too_often_waits() {
    let rate = Rate::PerMinute(NonZeroU32::new(3).unwrap());
    let api = Api::start_under(Clock::system(), Terms { rate, ..Terms::LAX }).await;
    for left in ["2", "1", "0"] {
        let answer = api.get("/v1/me").await.is(StatusCode::OK);
        assert_eq!(answer.headers["ratelimit-policy"], "\"caller\";q=3;w=60");
        assert_eq!(answer.headers["ratelimit"], format!("\"caller\";r={left};t=0"));
    }
    let refused = api.get("/v1/me").await;
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=21).contains(&wait), "{wait}");
    assert_eq!(refused.headers["ratelimit"], format!("\"caller\";r=0;t={wait}"));
    refused.is_problem(StatusCode::TOO_MANY_REQUESTS);
    // Others are not held up, and who is not signed in is not counted.
    api.operator("other", OperatorRole::SystemAdmin).await;
    let other = api.sign_in("other").await;
    api.ask(Method::GET, "/v1/me").by(&other).send().await.is(StatusCode::OK);
}
