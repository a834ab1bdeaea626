//! `/v1/users/{user}/lockout` and `/v1/operators/{id}/lockout`

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use umail_api::{context::State, http, model::operator::OperatorRole, sealer::Sealer};
use umail_proto::clock::Clock;
use umail_tests::api::{Answer, Api, PASSWORD};

const PATH: &str = "/v1/users/anna@example.com/lockout";

async fn start() -> (Api, Clock) {
    let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
    let api = Api::start_at(clock.clone()).await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    (api, clock)
}

async fn guess(api: &Api, name: &str, password: &str) -> Answer {
    let body = json!({"name": name, "password": password});
    api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await
}

async fn lock_out(api: &Api, name: &str) {
    for _ in 0..10 {
        guess(api, name, "not the password").await.is_problem(StatusCode::UNAUTHORIZED);
    }
    guess(api, name, PASSWORD).await.is_problem(StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_lock_out_is_seen_and_lifted() {
    let (api, clock) = start().await;
    let fresh = api.get(PATH).await.is(StatusCode::OK).body;
    assert_eq!(fresh, json!({"failures": 0, "locked_until": null}));
    guess(&api, "Anna@Example.com", "not the password").await.is_problem(StatusCode::UNAUTHORIZED);
    assert_eq!(api.get(PATH).await.body["failures"], 1);
    guess(&api, "anna@example.com", PASSWORD).await.is(StatusCode::CREATED);
    assert_eq!(api.get(PATH).await.body, fresh);
    lock_out(&api, "anna@example.com").await;
    let locked = api.get(PATH).await.body;
    assert_eq!(
        (&locked["failures"], &locked["locked_until"]),
        (&json!(10), &json!("2024-10-04T00:05:00Z"))
    );
    api.delete(PATH).await.is(StatusCode::NO_CONTENT);
    api.delete(PATH).await.is(StatusCode::NO_CONTENT);
    assert_eq!(api.get(PATH).await.body, fresh);
    guess(&api, "anna@example.com", PASSWORD).await.is(StatusCode::CREATED);
    // It ends by itself, too.
    lock_out(&api, "anna@example.com").await;
    clock.advance(Duration::minutes(5));
    assert_eq!(api.state.clock().now(), clock.now());
    guess(&api, "anna@example.com", PASSWORD).await.is(StatusCode::CREATED);
    for nobody in ["none@example.com", "01936d5e-0000-7000-8000-000000000000"] {
        let path = format!("/v1/users/{nobody}/lockout");
        api.get(&path).await.is_problem(StatusCode::NOT_FOUND);
        api.delete(&path).await.is_problem(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_lock_out_holds_on_every_instance() {
    let (api, clock) = start().await;
    lock_out(&api, "anna@example.com").await;
    let sealer = Sealer::new(&[7; 32]).unwrap();
    let state = State::new(api.state.pool().clone(), clock, sealer).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/sessions", listener.local_addr().unwrap());
    let tasks = tokio_util::task::TaskTracker::new();
    let other = tasks.spawn(async move { axum::serve(listener, http::router(state)).await });
    let body = json!({"name": "anna@example.com", "password": PASSWORD});
    let client = reqwest::Client::new();
    let sign_in = || async { client.post(&url).json(&body).send().await.unwrap().status() };
    assert_eq!(sign_in().await, StatusCode::TOO_MANY_REQUESTS);
    api.delete(PATH).await.is(StatusCode::NO_CONTENT);
    assert_eq!(sign_in().await, StatusCode::CREATED);
    other.abort();
}

#[tokio::test]
async fn wrong_current_passwords_lock_out_and_are_lifted_as_well() {
    let (api, _clock) = start().await;
    let anna = api.sign_in("anna@example.com").await;
    let change = |current: &str| {
        let body = json!({"current_password": current, "new_password": "another password"});
        api.ask(Method::PUT, "/v1/me/password").by(&anna).json(body).send()
    };
    for _ in 0..10 {
        change("not the password").await.is_invalid(&["/current_password"]);
    }
    change(PASSWORD).await.is_problem(StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(api.get(PATH).await.body["failures"], 10);
    api.delete(PATH).await.is(StatusCode::NO_CONTENT);
    change(PASSWORD).await.is(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn lock_outs_are_lifted_by_whoever_outranks() {
    let (api, _clock) = start().await;
    api.user("bert@example.com").await;
    let (anna, bert) =
        (api.sign_in("anna@example.com").await, api.sign_in("bert@example.com").await);
    let admin = api.domain_admin("admin@example.com").await;
    api.domain_admin("peer@example.com").await;
    let ask = |method, path: &str, token: &str| api.ask(method, path).by(token).send();
    ask(Method::GET, PATH, &bert).await.is_problem(StatusCode::NOT_FOUND);
    ask(Method::DELETE, PATH, &bert).await.is_problem(StatusCode::NOT_FOUND);
    ask(Method::GET, PATH, &anna).await.is(StatusCode::OK);
    ask(Method::DELETE, PATH, &anna).await.is_problem(StatusCode::FORBIDDEN);
    let peers = "/v1/users/peer@example.com/lockout";
    ask(Method::DELETE, peers, &admin).await.is_problem(StatusCode::FORBIDDEN);
    ask(Method::DELETE, PATH, &admin).await.is(StatusCode::NO_CONTENT);
    let events: Vec<Value> =
        sqlx::query_scalar("SELECT to_json(action) FROM audit_event WHERE resource = 'lockout'")
            .fetch_all(api.state.pool())
            .await
            .unwrap();
    assert_eq!(events, [json!("delete")]);
}

#[tokio::test]
async fn operators_are_locked_out_and_let_in_again() {
    let (api, _clock) = start().await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let token = api.sign_in("super").await;
    let operators = api.get("/v1/operators").await.is(StatusCode::OK);
    let place = operators.items("name").iter().position(|name| name == "super").unwrap();
    let id = &operators.items("id")[place];
    let path = format!("/v1/operators/{id}/lockout");
    lock_out(&api, "super").await;
    for method in [Method::GET, Method::DELETE] {
        let refused = api.ask(method, &path).by(&token).send().await;
        refused.is_problem(StatusCode::FORBIDDEN);
    }
    assert_eq!(api.get(&path).await.is(StatusCode::OK).body["failures"], 10);
    api.delete(&path).await.is(StatusCode::NO_CONTENT);
    guess(&api, "super", PASSWORD).await.is(StatusCode::CREATED);
    let nobody = "/v1/operators/01936d5e-0000-7000-8000-000000000000/lockout";
    api.get(nobody).await.is_problem(StatusCode::NOT_FOUND);
    api.delete(nobody).await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn guesses_at_the_same_time_are_ten_as_well() {
    let (api, _clock) = start().await;
    let wrong = join_all((0..40).map(|_| guess(&api, "anna@example.com", "not the password")));
    // The right one is let in while hardly any is counted, and verified after all others.
    let right = async {
        until_counted(&api, "anna@example.com").await;
        guess(&api, "anna@example.com", PASSWORD).await
    };
    let (wrong, right) = tokio::join!(wrong, right);
    let told = wrong.iter().filter(|one| one.status == StatusCode::UNAUTHORIZED).count();
    assert_eq!(told, 10);
    right.is_problem(StatusCode::TOO_MANY_REQUESTS);
    assert!(wrong.iter().all(|one| one.status != StatusCode::CREATED));
}

#[tokio::test]
async fn current_passwords_and_codes_are_not_guessed_at_the_same_time() {
    let (api, clock) = start().await;
    let anna = crate::me::totp::enrol(&api, &clock, "anna@example.com").await;
    clock.advance(Duration::seconds(30));
    let change = |current: &'static str| {
        let body = json!({"current_password": current, "new_password": "another password"});
        api.ask(Method::PUT, "/v1/me/password").by(&anna.token).json(body).send()
    };
    let answers = join_all((0..40).map(|_| change("not the password"))).await;
    let told = answers.iter().filter(|one| one.status == StatusCode::UNPROCESSABLE_ENTITY).count();
    assert_eq!(told, 10);
    api.delete(PATH).await.is(StatusCode::NO_CONTENT);
    // Whoever has the password guesses codes.
    let code = |code: &'static str| crate::me::totp::sign_in(&api, "anna@example.com", Some(code));
    let answers = join_all((0..40).map(|_| code("000000"))).await;
    let told = answers.iter().filter(|one| one.status == StatusCode::UNPROCESSABLE_ENTITY).count();
    assert_eq!(told, 10);
    // A right password that lacks its code is no failure.
    api.delete(PATH).await.is(StatusCode::NO_CONTENT);
    for _ in 0..12 {
        let asked = crate::me::totp::sign_in(&api, "anna@example.com", None).await;
        asked.is_problem(StatusCode::UNAUTHORIZED);
    }
    assert_eq!(api.get(PATH).await.body["failures"], 0);
    let right = crate::me::totp::sign_in(&api, "anna@example.com", Some(&anna.code(&clock))).await;
    right.is(StatusCode::CREATED);
}

/// Waits until a failure of this name is counted.
async fn until_counted(api: &Api, name: &str) {
    let sql = "SELECT EXISTS (SELECT FROM lockout WHERE name = $1)";
    while !sqlx::query_scalar::<_, bool>(sql).bind(name).fetch_one(api.state.pool()).await.unwrap()
    {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
