//! `/v1/me`

use reqwest::{Method, StatusCode};
use serde_json::json;
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
