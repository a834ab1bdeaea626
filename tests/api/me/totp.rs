//! `/v1/me/totp`: enrolled, confirmed, asked for, removed.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use umail_api::{context::Terms, model::operator::OperatorRole};
use umail_proto::clock::Clock;
use umail_tests::api::{Answer, Api, PASSWORD};

const PATH: &str = "/v1/me/totp";

/// Whoever holds a second factor.
pub(crate) struct Holder {
    pub(crate) totp: totp_rs::Totp,
    pub(crate) recovery_codes: Vec<String>,
    pub(crate) token: String,
}

impl Holder {
    pub(crate) fn code(&self, clock: &Clock) -> String {
        self.totp.generate(clock.now().unix_timestamp().try_into().unwrap()).to_string()
    }
}

pub(crate) fn clock() -> Clock {
    Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000))
}

pub(crate) async fn sign_in(api: &Api, name: &str, totp: Option<&str>) -> Answer {
    let body = json!({"name": name, "password": PASSWORD, "totp": totp});
    api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await
}

pub(crate) async fn post(api: &Api, token: &str, path: &str, body: Value) -> Answer {
    api.ask(Method::POST, path).by(token).json(body).send().await
}

/// Signs in, enrols a second factor and confirms it.
pub(crate) async fn enrol(api: &Api, clock: &Clock, name: &str) -> Holder {
    let token = api.sign_in(name).await;
    let secret = post(api, &token, PATH, json!({"current_password": PASSWORD})).await;
    let secret = secret.is(StatusCode::CREATED).body;
    let totp = totp_rs::Totp::from_url(secret["uri"].as_str().unwrap()).unwrap();
    assert_eq!(secret["secret"], totp.secret().to_base32());
    assert_eq!((totp.account_name(), totp.issuer()), (name, Some("U-Mail")));
    let mut holder = Holder { totp, recovery_codes: Vec::new(), token };
    let path = format!("{PATH}/confirm");
    let body = json!({"code": holder.code(clock)});
    let confirmed = post(api, &holder.token, &path, body).await.is(StatusCode::OK).body;
    let codes = confirmed["recovery_codes"].as_array().unwrap().iter();
    holder.recovery_codes = codes.map(|code| code.as_str().unwrap().to_owned()).collect();
    holder
}

#[tokio::test]
async fn who_has_a_second_factor_signs_in_with_a_code_that_is_good_once() {
    let clock = clock();
    let api = Api::start_at(clock.clone()).await;
    api.operator("bert", OperatorRole::SystemAdmin).await;
    let other = api.sign_in("bert").await;
    let bert = enrol(&api, &clock, "bert").await;
    // Sessions from before end, but for the one that confirmed.
    let ended = api.ask(Method::GET, "/v1/me").by(&other).send().await;
    ended.is_problem(StatusCode::UNAUTHORIZED);
    let own = api.ask(Method::GET, PATH).by(&bert.token).send().await.is(StatusCode::OK).body;
    assert_eq!((&own["enrolled"], &own["recovery_codes_left"]), (&json!(true), &json!(10)));
    let missing = sign_in(&api, "bert", None).await.is_problem(StatusCode::UNAUTHORIZED);
    assert_eq!(missing.body["type"], "urn:umail:problem:totp-required");
    // The code that confirmed is used up.
    let code = bert.code(&clock);
    sign_in(&api, "bert", Some(&code)).await.is_invalid(&["/totp"]);
    clock.advance(Duration::seconds(30));
    let code = bert.code(&clock);
    sign_in(&api, "bert", Some("000000")).await.is_invalid(&["/totp"]);
    sign_in(&api, "bert", Some("nonsense")).await.is_invalid(&["/totp"]);
    sign_in(&api, "bert", Some(&code)).await.is(StatusCode::CREATED);
    sign_in(&api, "bert", Some(&code)).await.is_invalid(&["/totp"]);
    // Nor is an older one good after a newer one.
    let (before, after) = (code, {
        clock.advance(Duration::seconds(30));
        bert.code(&clock)
    });
    sign_in(&api, "bert", Some(&after)).await.is(StatusCode::CREATED);
    sign_in(&api, "bert", Some(&before)).await.is_invalid(&["/totp"]);
    // The wrong password tells nothing of it.
    let body = json!({"name": "bert", "password": "not the password", "totp": after});
    let wrong = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await;
    let wrong = wrong.is_problem(StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.body["type"], "urn:umail:problem:unauthenticated");
}

#[tokio::test]
async fn racing_sign_ins_use_a_code_once() {
    let clock = clock();
    let api = Api::start_at(clock.clone()).await;
    api.operator("bert", OperatorRole::SystemAdmin).await;
    let bert = enrol(&api, &clock, "bert").await;
    clock.advance(Duration::seconds(30));
    let code = bert.code(&clock);
    let attempt = || sign_in(&api, "bert", Some(&code));
    let (one, two, three) = tokio::join!(attempt(), attempt(), attempt());
    let mut statuses = [one.status.as_u16(), two.status.as_u16(), three.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422, 422]);
}

#[tokio::test]
async fn a_recovery_code_is_good_once() {
    let clock = clock();
    let api = Api::start_at(clock.clone()).await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let anna = enrol(&api, &clock, "anna@example.com").await;
    assert_eq!(anna.recovery_codes.len(), 10);
    let code = anna.recovery_codes[3].to_uppercase();
    sign_in(&api, "anna@example.com", Some(&code)).await.is(StatusCode::CREATED);
    sign_in(&api, "anna@example.com", Some(&code)).await.is_invalid(&["/totp"]);
    let own = api.ask(Method::GET, PATH).by(&anna.token).send().await.body;
    assert_eq!(own["recovery_codes_left"], 9);
    // Nothing in the database lets anybody in.
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM recovery_code")
        .fetch_all(api.state.pool())
        .await
        .unwrap();
    assert!(stored.iter().all(|hash| hash.len() == 32));
    let sealed: Vec<u8> =
        sqlx::query_scalar("SELECT sealed FROM totp").fetch_one(api.state.pool()).await.unwrap();
    let secret = anna.totp.secret().as_bytes();
    assert!(!sealed.windows(secret.len()).any(|part| part == secret));
}

#[tokio::test]
async fn guessing_codes_locks_out() {
    let clock = clock();
    let api = Api::start_at(clock.clone()).await;
    api.operator("bert", OperatorRole::SystemAdmin).await;
    let bert = enrol(&api, &clock, "bert").await;
    clock.advance(Duration::seconds(30));
    for _ in 0..10 {
        sign_in(&api, "bert", Some("000000")).await.is_invalid(&["/totp"]);
    }
    let code = bert.code(&clock);
    sign_in(&api, "bert", Some(&code)).await.is_problem(StatusCode::TOO_MANY_REQUESTS);
    let path = format!("{PATH}/remove");
    let body = || json!({"current_password": PASSWORD, "code": "000000"});
    for _ in 0..10 {
        post(&api, &bert.token, &path, body()).await.is_invalid(&["/code"]);
    }
    let refused = post(&api, &bert.token, &path, body()).await;
    refused.is_problem(StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_second_factor_is_enrolled_with_the_password_and_of_effect_when_confirmed() {
    let clock = clock();
    let api = Api::start_at(clock.clone()).await;
    api.operator("bert", OperatorRole::SystemAdmin).await;
    let token = api.sign_in("bert").await;
    let confirm = |code: &str| post(&api, &token, "/v1/me/totp/confirm", json!({"code": code}));
    confirm("000000").await.is_problem(StatusCode::CONFLICT);
    let wrong = post(&api, &token, PATH, json!({"current_password": "not it"})).await;
    wrong.is_invalid(&["/current_password"]);
    post(&api, &token, PATH, json!({})).await.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
    let body = json!({"current_password": PASSWORD});
    let first = post(&api, &token, PATH, body.clone()).await.is(StatusCode::CREATED).body;
    // Until it is confirmed, nobody asks for it, and another one takes its place.
    sign_in(&api, "bert", None).await.is(StatusCode::CREATED);
    let own = api.ask(Method::GET, PATH).by(&token).send().await.body;
    assert_eq!(own, json!({"enrolled": false, "confirmed_at": null, "recovery_codes_left": 0}));
    let second = post(&api, &token, PATH, body.clone()).await.is(StatusCode::CREATED).body;
    let code = |secret: &Value| {
        let totp = totp_rs::Totp::from_url(secret["uri"].as_str().unwrap()).unwrap();
        totp.generate(clock.now().unix_timestamp().try_into().unwrap()).to_string()
    };
    confirm(&code(&first)).await.is_invalid(&["/code"]);
    confirm("nonsense").await.is_invalid(&["/code"]);
    confirm(&code(&second)).await.is(StatusCode::OK);
    confirm(&code(&second)).await.is_problem(StatusCode::CONFLICT);
    post(&api, &token, PATH, body).await.is_problem(StatusCode::CONFLICT);
    let nobody = api.ask(Method::GET, PATH).anonymous().send().await;
    nobody.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_second_factor_is_removed_by_who_has_it() {
    let clock = clock();
    let api = Api::start_at(clock.clone()).await;
    api.operator("bert", OperatorRole::SystemAdmin).await;
    let token = api.sign_in("bert").await;
    let remove = |token: String, password: &str, code: &str| {
        let body = json!({"current_password": password, "code": code});
        let (api, path) = (&api, format!("{PATH}/remove"));
        async move { post(api, &token, &path, body).await }
    };
    remove(token, PASSWORD, "000000").await.is_problem(StatusCode::NOT_FOUND);
    let bert = enrol(&api, &clock, "bert").await;
    let token = || bert.token.clone();
    remove(token(), "not it", &bert.recovery_codes[0]).await.is_invalid(&["/current_password"]);
    remove(token(), PASSWORD, &bert.code(&clock)).await.is_invalid(&["/code"]);
    remove(token(), PASSWORD, &bert.recovery_codes[0]).await.is(StatusCode::NO_CONTENT);
    sign_in(&api, "bert", None).await.is(StatusCode::CREATED);
    enrol(&api, &clock, "bert").await;
}

#[tokio::test]
async fn operators_need_a_second_factor_where_it_is_required() {
    let clock = clock();
    let terms = Terms { operators_need_totp: true, ..Terms::LAX };
    let api = Api::start_under(clock.clone(), terms).await;
    let refused = api.get("/v1/domains").await.is_problem(StatusCode::FORBIDDEN).body;
    assert_eq!(refused["type"], "urn:umail:problem:totp-enrolment-required");
    assert_eq!(api.get("/v1/me").await.body["confined_to"], "totp_enrolment");
    let keyed = api.ask(Method::POST, "/v1/domains").header("idempotency-key", "k");
    let keyed = keyed.json(json!({"name": "example.com"})).send().await;
    keyed.is_problem(StatusCode::FORBIDDEN);
    let root = enrol(&api, &clock, "root").await;
    let free = api.ask(Method::GET, "/v1/domains").by(&root.token).send().await;
    free.is(StatusCode::OK);
    // It stays so for those who sign in next, and one who removes it is confined again.
    clock.advance(Duration::seconds(30));
    let session = sign_in(&api, "root", Some(&root.code(&clock))).await.is(StatusCode::CREATED);
    let token = session.body["access_token"].as_str().unwrap();
    let body = json!({"name": "example.com"});
    post(&api, token, "/v1/domains", body).await.is(StatusCode::CREATED);
    let body = json!({"current_password": PASSWORD, "code": root.recovery_codes[0]});
    post(&api, token, "/v1/me/totp/remove", body).await.is(StatusCode::NO_CONTENT);
    let again = api.ask(Method::GET, "/v1/domains").by(token).send().await;
    again.is_problem(StatusCode::FORBIDDEN);
    // Users are free to have one.
    let root = enrol(&api, &clock, "root").await;
    let body = json!({"local_part": "anna", "password": PASSWORD});
    let path = "/v1/domains/example.com/users";
    post(&api, &root.token, path, body).await.is(StatusCode::CREATED);
    let anna = api.sign_in("anna@example.com").await;
    let own = api.ask(Method::GET, "/v1/users/anna@example.com").by(&anna).send().await;
    own.is(StatusCode::OK);
}
