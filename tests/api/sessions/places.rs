//! Where somebody is signed in, and the end of it.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::json;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use tokio_util::task::TaskTracker;
use umail_api::{
    context::{State, Terms},
    http,
    model::{
        operator::OperatorRole,
        proxies::{Proxies, ProxyHeader},
    },
    sealer::Sealer,
};
use umail_proto::clock::Clock;
use umail_tests::api::{Answer, Api, PASSWORD};

const OWN: &str = "/v1/me/sessions";
const ANNAS: &str = "/v1/users/anna@example.com/sessions";

async fn start() -> Api {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    api
}

async fn list(api: &Api, path: &str, token: &str) -> Answer {
    api.ask(Method::GET, path).by(token).send().await.is(StatusCode::OK)
}

async fn is_signed_in(api: &Api, token: &str) -> bool {
    api.ask(Method::GET, "/v1/me").by(token).send().await.status == StatusCode::OK
}

#[tokio::test]
async fn a_session_tells_from_where_and_when() {
    let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
    let api = Api::start_at(clock.clone()).await;
    clock.advance(Duration::seconds(1));
    let begun = clock.now();
    let body = json!({"name": "root", "password": PASSWORD});
    let sign_in = api.ask(Method::POST, "/v1/sessions").anonymous().json(body);
    let session = sign_in.header("user-agent", "phone\t/ 7").send().await;
    let session = session.is(StatusCode::CREATED).body;
    let token = session["access_token"].as_str().unwrap();
    let answer = list(&api, OWN, token).await;
    let here = &answer.body["items"][1];
    assert_eq!(here["is_current"], true);
    assert_eq!(answer.body["items"][0]["is_current"], false);
    assert_eq!(here["client_address"], "127.0.0.1");
    assert_eq!(here["user_agent"], "phone/ 7");
    let time = |field: &str, answer: &Answer| {
        let text = answer.body["items"][1][field].as_str().unwrap();
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    };
    assert_eq!(time("created_at", &answer), begun);
    assert_eq!(time("last_used_at", &answer), begun);
    assert_eq!(time("expires_at", &answer), begun + Duration::days(30));
    // Its use is noted to the minute.
    clock.advance(Duration::seconds(90));
    api.state.callers().forget();
    let answer = list(&api, OWN, token).await;
    assert_eq!(time("last_used_at", &answer), begun + Duration::seconds(90));
    assert_eq!(time("created_at", &answer), begun);
    // And where it is carried on.
    let body = json!({"refresh_token": session["refresh_token"]});
    let next = api.ask(Method::POST, "/v1/sessions/refresh").anonymous().json(body);
    let next = next.header("user-agent", "browser").send().await.is(StatusCode::OK).body;
    let answer = list(&api, OWN, next["access_token"].as_str().unwrap()).await;
    assert_eq!(answer.body["items"][1]["user_agent"], "browser");
    let first = list(&api, &format!("{OWN}?page_size=1"), token).await;
    assert!(first.body["next_page_token"].is_string());
}

#[tokio::test]
async fn a_proxy_is_believed_only_if_it_is_trusted() {
    let seen = async |proxies: Proxies, headers: [(&'static str, &'static str); 2]| {
        let api = Api::start_under(Clock::system(), Terms { proxies, ..Terms::LAX }).await;
        let body = json!({"name": "root", "password": PASSWORD});
        let mut ask = api.ask(Method::POST, "/v1/sessions").anonymous().json(body);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let session = ask.send().await.is(StatusCode::CREATED).body;
        let answer = list(&api, OWN, session["access_token"].as_str().unwrap()).await;
        answer.body["items"][1]["client_address"].clone()
    };
    let both = [
        ("x-forwarded-for", "203.0.113.9, 198.51.100.1, 10.0.0.2"),
        ("forwarded", "for=203.0.113.9, for=198.51.100.2"),
    ];
    let trusted = ["127.0.0.1", "10.0.0.0/8"].map(|one| one.parse().unwrap());
    let with = |header| Proxies { trusted: trusted.into(), header };
    assert_eq!(seen(Proxies::default(), both).await, "127.0.0.1");
    assert_eq!(seen(with(ProxyHeader::XForwardedFor), both).await, "198.51.100.1");
    assert_eq!(seen(with(ProxyHeader::Forwarded), both).await, "198.51.100.2");
    let nonsense = [("x-forwarded-for", "198.51.100.1, ';DROP TABLE"), ("forwarded", "for=")];
    assert_eq!(seen(with(ProxyHeader::XForwardedFor), nonsense).await, "127.0.0.1");
    assert_eq!(seen(with(ProxyHeader::Forwarded), nonsense).await, "127.0.0.1");
}

#[tokio::test]
async fn delete_my_session_ends_that_one() {
    let api = start().await;
    let (here, there) =
        (api.sign_in("anna@example.com").await, api.sign_in("anna@example.com").await);
    let ids = list(&api, OWN, &here).await.items("id");
    assert_eq!(ids.len(), 2);
    let end =
        |id: &str, token: &str| api.ask(Method::DELETE, format!("{OWN}/{id}")).by(token).send();
    end(&ids[1], &here).await.is(StatusCode::NO_CONTENT);
    assert!(!is_signed_in(&api, &there).await);
    assert_eq!(list(&api, OWN, &here).await.items("id"), ids[..1]);
    end(&ids[1], &here).await.is_problem(StatusCode::NOT_FOUND);
    // Nobody ends sessions of somebody else as if they were one's own.
    let roots = api.get(OWN).await.items("id").remove(0);
    end(&roots, &here).await.is_problem(StatusCode::NOT_FOUND);
    assert!(is_signed_in(&api, &here).await);
    let anonymous = api.ask(Method::GET, OWN).anonymous().send().await;
    anonymous.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn delete_my_sessions_signs_out_everywhere() {
    let api = start().await;
    let tokens = [api.sign_in("anna@example.com").await, api.sign_in("anna@example.com").await];
    let out = api.ask(Method::DELETE, OWN).by(&tokens[0]).send().await;
    out.is(StatusCode::NO_CONTENT);
    for token in &tokens {
        assert!(!is_signed_in(&api, token).await);
    }
    assert!(list(&api, OWN, &api.sign_in("anna@example.com").await).await.items("id").len() == 1);
    api.get("/v1/me").await.is(StatusCode::OK);
}

#[tokio::test]
async fn administrators_end_the_sessions_of_whom_they_outrank() {
    let api = start().await;
    api.user("bert@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    let bert = api.sign_in("bert@example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    let peer = api.domain_admin("peer@example.com").await;
    let id = list(&api, ANNAS, &admin).await.items("id").remove(0);
    for ask in [
        api.ask(Method::GET, ANNAS),
        api.ask(Method::DELETE, ANNAS),
        api.ask(Method::DELETE, format!("{ANNAS}/{id}")),
    ] {
        ask.by(&bert).send().await.is_problem(StatusCode::NOT_FOUND);
    }
    let path = "/v1/users/peer@example.com/sessions";
    let equal = api.ask(Method::DELETE, path).by(&admin).send().await;
    equal.is_problem(StatusCode::FORBIDDEN);
    assert!(is_signed_in(&api, &peer).await);
    let berts = list(&api, "/v1/users/bert@example.com/sessions", &admin).await.items("id");
    let wrong = api.ask(Method::DELETE, format!("{ANNAS}/{}", berts[0])).by(&admin).send().await;
    wrong.is_problem(StatusCode::NOT_FOUND);
    let one = api.ask(Method::DELETE, format!("{ANNAS}/{id}")).by(&admin).send().await;
    one.is(StatusCode::NO_CONTENT);
    assert!(!is_signed_in(&api, &anna).await);
    let anna = api.sign_in("anna@example.com").await;
    let all = api.ask(Method::DELETE, ANNAS).by(&admin).send().await;
    all.is(StatusCode::NO_CONTENT);
    assert!(!is_signed_in(&api, &anna).await && is_signed_in(&api, &bert).await);
    let events: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit_event WHERE resource IN ('session', 'sessions') AND kind = 'change'",
    )
    .fetch_one(api.state.pool())
    .await
    .unwrap();
    assert_eq!(events, 2);
    let nobody = api.get("/v1/users/none@example.com/sessions").await;
    nobody.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sessions_of_operators_are_for_system_administrators() {
    let api = start().await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let token = api.sign_in("super").await;
    let operators = api.get("/v1/operators").await;
    let (root, other) = (&operators.items("id")[0], &operators.items("id")[1]);
    let path = format!("/v1/operators/{other}/sessions");
    let id = api.get(&path).await.is(StatusCode::OK).items("id").remove(0);
    for ask in [
        api.ask(Method::GET, &path),
        api.ask(Method::DELETE, &path),
        api.ask(Method::DELETE, format!("{path}/{id}")),
    ] {
        ask.by(&token).send().await.is_problem(StatusCode::FORBIDDEN);
    }
    let wrong = api.delete(format!("/v1/operators/{root}/sessions/{id}")).await;
    wrong.is_problem(StatusCode::NOT_FOUND);
    api.delete(format!("{path}/{id}")).await.is(StatusCode::NO_CONTENT);
    assert!(!is_signed_in(&api, &token).await);
    let token = api.sign_in("super").await;
    api.delete(&path).await.is(StatusCode::NO_CONTENT);
    assert!(!is_signed_in(&api, &token).await);
    let nobody = "/v1/operators/01936d5e-0000-7000-8000-000000000000/sessions";
    api.get(nobody).await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_end_of_sessions_is_effective_within_a_second_on_every_instance() {
    let api = start().await;
    let anna = api.sign_in("anna@example.com").await;
    // Another instance on the same database.
    let sealer = Sealer::new(&[7; 32]).unwrap();
    let clock = api.state.clock().clone();
    let state = State::new(api.state.pool().clone(), clock, sealer).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/me", listener.local_addr().unwrap());
    let tasks = TaskTracker::new();
    let other = tasks.spawn(async move { axum::serve(listener, http::router(state)).await });
    let client = reqwest::Client::new();
    let elsewhere = || async { client.get(&url).bearer_auth(&anna).send().await.unwrap().status() };
    assert_eq!(elsewhere().await, StatusCode::OK);
    api.delete(ANNAS).await.is(StatusCode::NO_CONTENT);
    let ended = Instant::now();
    while elsewhere().await != StatusCode::UNAUTHORIZED {
        assert!(ended.elapsed() < std::time::Duration::from_secs(1), "it is good there still");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    other.abort();
}
