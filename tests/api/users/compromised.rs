//! `/v1/users/{user}/compromised`: what the server itself does. `tests/fleet` has the nodes.

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::model::operator::OperatorRole;
use umail_tests::api::{Answer, Api, PASSWORD};

const ANNA: &str = "/v1/users/anna@example.com";
const PATH: &str = "/v1/users/anna@example.com/compromised";

async fn start() -> Api {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    api
}

async fn secure(api: &Api, token: &str) -> Answer {
    api.ask(Method::POST, PATH).by(token).send().await
}

#[tokio::test]
async fn nobody_gets_in_any_more_at_once() {
    let api = start().await;
    let token = api.sign_in("anna@example.com").await;
    let app = format!("{ANNA}/app_passwords");
    api.post(&app, json!({"label": "phone"})).await.is(StatusCode::CREATED);
    let operation = api.ask(Method::POST, PATH).send().await.is(StatusCode::ACCEPTED);
    assert_eq!(operation.headers["location"], format!("/v1/operations/{}", operation.id()));
    assert_eq!(operation.body["kind"], "secure_account");
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await;
    me.is_problem(StatusCode::UNAUTHORIZED);
    assert!(api.get(&app).await.items("id").is_empty());
    assert_eq!(api.get(ANNA).await.body["status"], "locked");
    let again = api.ask(Method::POST, PATH).send().await;
    again.is_problem(StatusCode::CONFLICT);
    // The old password is gone for good, also when the user is let in again.
    api.patch(ANNA, json!({"status": "active"})).await.is(StatusCode::OK);
    let sign_in = |password: &str| {
        let body = json!({"name": "anna@example.com", "password": password});
        api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send()
    };
    sign_in(PASSWORD).await.is_problem(StatusCode::UNAUTHORIZED);
    let body = json!({"new_password": "another password"});
    api.put(format!("{ANNA}/password"), body).await.is(StatusCode::NO_CONTENT);
    sign_in("another password").await.is(StatusCode::CREATED);
    let events: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit_event WHERE resource = 'compromised account'",
    )
    .fetch_one(api.state.pool())
    .await
    .unwrap();
    assert_eq!(events, 1);
    let nobody = api.ask(Method::POST, "/v1/users/none@example.com/compromised").send().await;
    nobody.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_stricter_status_stays() {
    let api = start().await;
    for (before, after) in [("maintenance", "locked"), ("suspended", "suspended")] {
        api.patch(ANNA, json!({"status": before})).await.is(StatusCode::OK);
        api.ask(Method::POST, PATH).send().await.is(StatusCode::ACCEPTED);
        assert_eq!(api.get(ANNA).await.body["status"], after);
        let end = "UPDATE operation SET state = 'cancelled'";
        sqlx::raw_sql(end).execute(api.state.pool()).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_outranks_the_user_secures_the_account_and_reads_of_it() {
    let api = start().await;
    api.domain("example.org").await;
    api.user("bert@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    let bert = api.sign_in("bert@example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    let peer = api.domain_admin("peer@example.com").await;
    let foreign = api.domain_admin("admin@example.org").await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let everywhere = api.sign_in("super").await;
    secure(&api, &anna).await.is_problem(StatusCode::FORBIDDEN);
    secure(&api, &bert).await.is_problem(StatusCode::NOT_FOUND);
    secure(&api, &foreign).await.is_problem(StatusCode::NOT_FOUND);
    let equal = "/v1/users/peer@example.com/compromised";
    let equal = api.ask(Method::POST, equal).by(&admin).send().await;
    equal.is_problem(StatusCode::FORBIDDEN);
    let operation = secure(&api, &admin).await.is(StatusCode::ACCEPTED).id();
    let path = format!("/v1/operations/{operation}");
    let read = |token: &str| api.ask(Method::GET, &path).by(token).send();
    for token in [&admin, &peer, &everywhere] {
        assert_eq!(read(token).await.is(StatusCode::OK).id(), operation);
    }
    for token in [&bert, &foreign] {
        read(token).await.is_problem(StatusCode::FORBIDDEN);
    }
    // To give it up is for system administrators.
    let cancel = format!("{path}/cancel");
    let by_admin = api.ask(Method::POST, &cancel).by(&admin).send().await;
    by_admin.is_problem(StatusCode::FORBIDDEN);
}
