//! `/v1/me/password`

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_tests::api::{Api, PASSWORD};

#[tokio::test]
async fn update_my_password_refuses_a_name_and_whoever_is_not_signed_in() {
    let api = Api::start().await;
    let token = api.sign_in("root").await;
    let body = json!({"current_password": PASSWORD, "new_password": "root root root root 7"});
    let name = api.ask(Method::PUT, "/v1/me/password").by(&token).json(body).send().await;
    name.is_invalid(&["/new_password"]);
    let body = json!({"current_password": PASSWORD, "new_password": "another password"});
    let nobody = api.ask(Method::PUT, "/v1/me/password").anonymous().json(body).send().await;
    nobody.is_problem(StatusCode::UNAUTHORIZED);
    api.sign_in("root").await;
}
