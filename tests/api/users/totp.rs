//! `/v1/users/{user}/totp` and `/v1/operators/{id}/totp`: reset by whoever outranks.

use reqwest::{Method, StatusCode};
use umail_api::model::operator::OperatorRole;
use umail_tests::api::Api;

use crate::me::totp::{clock, enrol, sign_in};

const PATH: &str = "/v1/users/anna@example.com/totp";

#[tokio::test]
async fn the_second_factor_of_a_user_is_reset_by_whoever_outranks() {
    let clock = clock();
    let api = Api::start_at(clock.clone()).await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    api.user("bert@example.com").await;
    let bert = api.sign_in("bert@example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    api.domain_admin("peer@example.com").await;
    enrol(&api, &clock, "peer@example.com").await;
    let reset = |path: &str, token: &str| api.ask(Method::DELETE, path).by(token).send();
    reset(PATH, &admin).await.is(StatusCode::NO_CONTENT);
    let anna = enrol(&api, &clock, "anna@example.com").await;
    reset(PATH, &anna.token).await.is_problem(StatusCode::FORBIDDEN);
    reset(PATH, &bert).await.is_problem(StatusCode::NOT_FOUND);
    let peers = "/v1/users/peer@example.com/totp";
    reset(peers, &admin).await.is_problem(StatusCode::FORBIDDEN);
    sign_in(&api, "anna@example.com", None).await.is_problem(StatusCode::UNAUTHORIZED);
    reset(PATH, &admin).await.is(StatusCode::NO_CONTENT);
    sign_in(&api, "anna@example.com", None).await.is(StatusCode::CREATED);
    sign_in(&api, "peer@example.com", None).await.is_problem(StatusCode::UNAUTHORIZED);
    enrol(&api, &clock, "anna@example.com").await;
}

#[tokio::test]
async fn the_second_factor_of_an_operator_is_reset_by_another_one() {
    let clock = clock();
    let api = Api::start_at(clock.clone()).await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let operators = api.get("/v1/operators").await.is(StatusCode::OK);
    let (names, ids) = (operators.items("name"), operators.items("id"));
    let path = |name: &str| {
        let place = names.iter().position(|one| one == name).unwrap();
        format!("/v1/operators/{}/totp", ids[place])
    };
    api.delete(path("super")).await.is(StatusCode::NO_CONTENT);
    let own = enrol(&api, &clock, "super").await;
    let by_it = api.ask(Method::DELETE, path("super")).by(&own.token).send().await;
    by_it.is_problem(StatusCode::FORBIDDEN);
    api.delete(path("root")).await.is_problem(StatusCode::CONFLICT);
    api.delete(path("super")).await.is(StatusCode::NO_CONTENT);
    sign_in(&api, "super", None).await.is(StatusCode::CREATED);
    let nobody = "/v1/operators/01936d5e-0000-7000-8000-000000000000/totp";
    api.delete(nobody).await.is_problem(StatusCode::NOT_FOUND);
}
