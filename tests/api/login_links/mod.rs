//! `/v1/users/{user}/login_links` and `/v1/sessions/login_link`: who makes links, whom they let in,
//! and what ends that.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ends;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use umail_api::model::operator::OperatorRole;
use umail_proto::clock::Clock;
use umail_tests::api::{Answer, Api, PASSWORD};

use crate::{api_keys::FOR_PEOPLE, contract::operations, me::totp};

const ANNA: &str = "/v1/users/anna@example.com";

async fn ask(api: &Api, token: &str, user: &str, body: Value) -> Answer {
    let path = format!("/v1/users/{user}/login_links");
    api.ask(Method::POST, path).by(token).json(body).send().await
}

/// Makes a link for Anna; returns its secret.
async fn link(api: &Api, token: &str) -> String {
    let made = ask(api, token, "anna@example.com", json!({})).await.is(StatusCode::CREATED);
    made.body["login_link"].as_str().unwrap().to_owned()
}

async fn redeem(api: &Api, link: &str, totp: Option<&str>) -> Answer {
    let body = json!({"login_link": link, "totp": totp});
    api.ask(Method::POST, "/v1/sessions/login_link").anonymous().json(body).send().await
}

/// Makes a link for Anna and redeems it; returns the access token.
async fn let_in(api: &Api, token: &str) -> String {
    let session = redeem(api, &link(api, token).await, None).await.is(StatusCode::CREATED);
    session.body["access_token"].as_str().unwrap().to_owned()
}

/// Makes an API key of whoever this is, good for login links; returns its id and its secret.
async fn key(api: &Api, token: &str, more: Value) -> (String, String) {
    let mut body = json!({"name": "portal", "login_links": true});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = api.ask(Method::POST, "/v1/api_keys").by(token).json(body).send().await;
    let made = made.is(StatusCode::CREATED);
    (made.id(), made.body["secret"].as_str().unwrap().to_owned())
}

async fn get(api: &Api, token: &str, path: &str) -> Answer {
    api.ask(Method::GET, path).by(token).send().await
}

fn clock() -> Clock {
    Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000))
}

async fn world(clock: Clock) -> (Api, String) {
    let api = Api::start_at(clock).await;
    for name in ["example.com", "example.net"] {
        api.domain(name).await;
        api.user(&format!("anna@{name}")).await;
    }
    let admin = api.domain_admin("admin@example.com").await;
    (api, admin)
}

#[tokio::test]
async fn a_link_lets_its_user_in_once_and_who_made_it_is_known() {
    let (api, admin) = world(Clock::system()).await;
    let made = ask(&api, &admin, "anna@example.com", json!({})).await.is(StatusCode::CREATED);
    let secret = made.body["login_link"].as_str().unwrap();
    assert!(secret.starts_with("uml_") && secret.len() == 47, "{secret}");
    assert_eq!(made.body["user_id"], api.get(ANNA).await.id().as_str());
    let session = redeem(&api, secret, None).await.is(StatusCode::CREATED).body;
    let token = session["access_token"].as_str().unwrap();
    assert_eq!(get(&api, token, "/v1/me").await.body["name"], "anna@example.com");
    let again = redeem(&api, secret, None).await.is_problem(StatusCode::UNAUTHORIZED);
    let unknown = redeem(&api, "uml_nonsense", None).await.is_problem(StatusCode::UNAUTHORIZED);
    assert_eq!(again.body["detail"], unknown.body["detail"], "a thief learns nothing");

    api.sign_in("anna@example.com").await;
    let sessions = get(&api, token, "/v1/me/sessions").await.is(StatusCode::OK);
    let sessions = sessions.body["items"].as_array().unwrap();
    let admin_id = get(&api, &admin, "/v1/me").await.id();
    assert_eq!(
        (&sessions[0]["means"], &sessions[1]["means"]),
        (&json!("login_link"), &json!("password"))
    );
    let by = json!({"kind": "user", "id": admin_id, "api_key_id": null});
    assert_eq!((&sessions[0]["made_by"], &sessions[1]["made_by"]), (&by, &Value::Null));

    let events = api.get("/v1/audit_events?resource=login%20link").await.body["items"].clone();
    assert_eq!(events.as_array().unwrap().len(), 1);
    assert_eq!(
        (&events[0]["action"], &events[0]["actor_id"]),
        (&json!("create"), &json!(admin_id))
    );
    let signed_in = api.get("/v1/audit_events?action=sign_in").await.body["items"].clone();
    let after = &signed_in[1]["after"];
    assert_eq!((&after["login_link_id"], &after["made_by"]), (&json!(made.id()), &by));
    let refused = api.get("/v1/audit_events?action=login_link_refused").await.body["items"].clone();
    assert_eq!(refused[1]["after"]["login_link_id"], made.id());
    assert_eq!(refused[1]["resource_id"], made.body["user_id"]);
    assert!(refused[0]["resource_id"].is_null() && refused[0]["after"].is_null());
    let all = api.get("/v1/audit_events").await.body.to_string();
    assert!(!all.contains("uml_"), "secrets are shown once");

    // It is an ordinary session: refreshed, and ended by its owner.
    let body = json!({"refresh_token": session["refresh_token"]});
    let next = api.ask(Method::POST, "/v1/sessions/refresh").anonymous().json(body).send().await;
    let next = next.is(StatusCode::OK).body["access_token"].as_str().unwrap().to_owned();
    let out = api.ask(Method::DELETE, "/v1/sessions/current").by(&next).send().await;
    out.is(StatusCode::NO_CONTENT);
    get(&api, &next, "/v1/me").await.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn of_all_who_redeem_a_link_at_the_same_time_one_is_let_in() {
    let (api, admin) = world(Clock::system()).await;
    let (_, secret) = key(&api, &admin, json!({})).await;
    for maker in [&admin, &secret] {
        let link = link(&api, maker).await;
        let answers = join_all((0..12).map(|_| redeem(&api, &link, None))).await;
        let statuses: Vec<_> = answers.into_iter().map(|answer| answer.status.as_u16()).collect();
        let let_in = statuses.iter().filter(|status| **status == 201).count();
        let refused = statuses.iter().filter(|status| **status == 401).count();
        assert_eq!((let_in, refused), (1, 11), "{statuses:?}");
    }
    assert_eq!(api.get(format!("{ANNA}/sessions")).await.items("id").len(), 2);
}

#[tokio::test]
async fn of_all_who_make_links_at_the_same_time_ten_do() {
    let (api, admin) = world(Clock::system()).await;
    let made = join_all((0..15).map(|_| ask(&api, &admin, "anna@example.com", json!({})))).await;
    let count = |status| made.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(StatusCode::CREATED), count(StatusCode::CONFLICT)), (10, 5));
}

#[tokio::test]
async fn a_link_lasts_for_as_long_as_was_said_and_a_user_has_ten() {
    let clock = clock();
    let (api, admin) = world(clock.clone()).await;
    for seconds in [json!(0), json!(301), json!(-1), json!(null), json!("60")] {
        let body = json!({"lifetime_seconds": seconds});
        ask(&api, &admin, "anna@example.com", body).await.is_invalid(&["/lifetime_seconds"]);
    }
    ask(&api, &admin, "anna@example.com", json!({"user": "root"})).await.is_invalid(&["/user"]);
    let made = ask(&api, &admin, "anna@example.com", json!({})).await.is(StatusCode::CREATED).body;
    assert_eq!(made["expires_at"], "2024-10-04T00:01:00Z");
    let longer = ask(&api, &admin, "anna@example.com", json!({"lifetime_seconds": 300})).await;
    clock.advance(Duration::seconds(60));
    let secret = |made: &Value| made["login_link"].as_str().unwrap().to_owned();
    redeem(&api, &secret(&made), None).await.is_problem(StatusCode::UNAUTHORIZED);
    clock.advance(Duration::seconds(239));
    let session = redeem(&api, &secret(&longer.body), None).await.is(StatusCode::CREATED).body;
    let token = session["access_token"].as_str().unwrap();
    let sessions = get(&api, token, "/v1/me/sessions").await;
    assert_eq!(sessions.body["items"][0]["expires_at"], "2024-10-04T12:04:59Z");

    for _ in 0..10 {
        link(&api, &admin).await;
    }
    let refused = ask(&api, &admin, "anna@example.com", json!({})).await;
    let refused = refused.is_problem(StatusCode::CONFLICT);
    assert_eq!(refused.body["type"], "urn:umail:problem:limit-exceeded");
    assert_eq!(refused.body["exceeded"]["limit"], 10);
    clock.advance(Duration::seconds(60));
    let last = link(&api, &admin).await;
    // What is over is forgotten after a while.
    clock.advance(Duration::minutes(61) + Duration::seconds(1));
    let (db, before) = (api.state.pool(), clock.now() - Duration::hours(1));
    let gone = umail_api::store::login_links::delete_expired(db, before).await.unwrap();
    assert_eq!(gone, 13);
    redeem(&api, &last, None).await.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_makes_links_only_if_it_was_made_for_that() {
    let (api, admin) = world(Clock::system()).await;
    let none = key(&api, &admin, json!({"login_links": false})).await.1;
    let refused = ask(&api, &none, "anna@example.com", json!({})).await;
    let refused = refused.is_problem(StatusCode::FORBIDDEN);
    assert!(refused.body["detail"].as_str().unwrap().contains("login_links"), "{}", refused.body);
    let body = json!({"name": "x", "login_links": true, "read_only": true});
    let both = api.ask(Method::POST, "/v1/api_keys").by(&admin).json(body).send().await;
    both.is_invalid(&["/login_links"]);

    let far = key(&api, &admin, json!({"networks": ["192.0.2.0/24"]})).await.1;
    ask(&api, &far, "anna@example.com", json!({})).await.is_problem(StatusCode::UNAUTHORIZED);
    let own = key(&api, &admin, json!({"role": "user"})).await.1;
    ask(&api, &own, "anna@example.com", json!({})).await.is_problem(StatusCode::NOT_FOUND);
    ask(&api, &own, "admin@example.com", json!({})).await.is_problem(StatusCode::FORBIDDEN);

    // A key of an operator, for one domain.
    let domain = api.get("/v1/domains/example.com").await.id();
    let root = api.sign_in("root").await;
    let narrow = json!({"role": "domain_admin", "domain_id": domain, "networks": ["127.0.0.0/8"]});
    let (id, secret) = key(&api, &root, narrow).await;
    ask(&api, &secret, "anna@example.net", json!({})).await.is_problem(StatusCode::NOT_FOUND);
    ask(&api, &secret, "admin@example.com", json!({})).await.is_problem(StatusCode::FORBIDDEN);
    let token = let_in(&api, &secret).await;
    let session = get(&api, &token, "/v1/me/sessions").await.body["items"][0].clone();
    let root_id = get(&api, &root, "/v1/me").await.id();
    assert_eq!(session["made_by"], json!({"kind": "operator", "id": root_id, "api_key_id": id}));
    let event = api.get("/v1/audit_events?resource=login%20link").await.body["items"][0].clone();
    assert_eq!((&event["actor_id"], &event["api_key_id"]), (&json!(root_id), &json!(id)));
}

#[tokio::test]
async fn links_are_made_for_whom_one_outranks() {
    let (api, admin) = world(Clock::system()).await;
    let body = json!({"name": "sales"});
    let sales = api.post("/v1/domains/example.com/departments", body).await.id();
    let head = api.department_admin("head@example.com", &sales).await;
    api.user("inside@example.com").await;
    let inside = json!({"department_id": sales});
    api.patch("/v1/users/inside@example.com", inside).await.is(StatusCode::OK);
    api.domain_admin("peer@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let sue = api.sign_in("super").await;
    for (token, user, status) in [
        (&sue, "peer@example.com", StatusCode::CREATED),
        (&sue, "anna@example.net", StatusCode::CREATED),
        (&admin, "head@example.com", StatusCode::CREATED),
        (&admin, "peer@example.com", StatusCode::FORBIDDEN),
        (&admin, "admin@example.com", StatusCode::FORBIDDEN),
        (&admin, "anna@example.net", StatusCode::NOT_FOUND),
        (&head, "inside@example.com", StatusCode::CREATED),
        (&head, "head@example.com", StatusCode::FORBIDDEN),
        (&head, "anna@example.com", StatusCode::NOT_FOUND),
        (&anna, "anna@example.com", StatusCode::FORBIDDEN),
        (&anna, "inside@example.com", StatusCode::NOT_FOUND),
        (&sue, "nobody@example.com", StatusCode::NOT_FOUND),
        (&sue, "super", StatusCode::NOT_FOUND),
    ] {
        let answer = ask(&api, token, user, json!({})).await;
        assert_eq!(answer.status, status, "{user}: {}", answer.body);
    }
}

#[tokio::test]
async fn who_was_let_in_has_nothing_to_do_with_secrets_and_sign_ins() {
    let (api, _) = world(Clock::system()).await;
    api.user("inside@example.com").await;
    let root = api.sign_in("root").await;
    let made = ask(&api, &root, "admin@example.com", json!({})).await.is(StatusCode::CREATED);
    let made = redeem(&api, made.body["login_link"].as_str().unwrap(), None).await;
    let token = made.is(StatusCode::CREATED).body["access_token"].as_str().unwrap().to_owned();
    // An administrator, who is one here as well.
    let body = json!({"display_name": "x"});
    let ask = api.ask(Method::PATCH, ANNA).by(&token).header("if-match", "*").json(body);
    ask.send().await.is(StatusCode::OK);
    let own =
        ["list_my_sessions", "delete_my_session", "delete_my_sessions", "delete_current_session"];
    for operation in operations() {
        let id = operation.id();
        if !FOR_PEOPLE.contains(&id) && id != "create_login_link" || own.contains(&id) {
            continue;
        }
        let ask = api.ask(operation.method.clone(), operation.filled()).by(&token);
        let ask = match crate::matrix::bodies(id).into_iter().next() {
            Some((_, body)) => ask.json(body),
            None => ask,
        };
        let answer = ask.header("if-match", "\"999\"").send().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{id}: {}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap();
        let is_of_operators = id.contains("operator");
        assert!(is_of_operators || detail.contains("login link"), "{id}: {detail}");
    }
    let hashes = "/v1/domains/example.com/users/export?password_hashes=true";
    get(&api, &token, hashes).await.is_problem(StatusCode::FORBIDDEN);
    get(&api, &token, "/v1/me/sessions").await.is(StatusCode::OK);
    let all = api.ask(Method::DELETE, "/v1/me/sessions").by(&token).send().await;
    all.is(StatusCode::NO_CONTENT);
    get(&api, &token, "/v1/me").await.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_link_does_not_replace_the_second_factor() {
    let clock = clock();
    let (api, _) = world(clock.clone()).await;
    let anna = totp::enrol(&api, &clock, "anna@example.com").await;
    let admin = api.sign_in("admin@example.com").await;
    clock.advance(Duration::seconds(30));
    let code = anna.code(&clock);
    let first = link(&api, &admin).await;
    let missing = redeem(&api, &first, None).await.is_problem(StatusCode::UNAUTHORIZED);
    assert_eq!(missing.body["type"], "urn:umail:problem:totp-required");
    redeem(&api, &first, Some("000000")).await.is_invalid(&["/totp"]);
    // Of whoever has the code and comes at the same time one is let in.
    let answers = join_all((0..5).map(|_| redeem(&api, &first, Some(&code)))).await;
    let let_in = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert_eq!(let_in, 1);
    // The code is used up.
    let second = link(&api, &admin).await;
    redeem(&api, &second, Some(&code)).await.is_invalid(&["/totp"]);
    let recovery = &anna.recovery_codes[0];
    redeem(&api, &second, Some(recovery)).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn codes_that_are_guessed_with_links_count_with_all_others() {
    let clock = clock();
    let (api, _) = world(clock.clone()).await;
    let anna = totp::enrol(&api, &clock, "anna@example.com").await;
    let admin = api.sign_in("admin@example.com").await;
    let guess = |password: &str| {
        let body = json!({"name": "anna@example.com", "password": password});
        api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send()
    };
    for _ in 0..4 {
        guess("not the password").await.is_problem(StatusCode::UNAUTHORIZED);
    }
    // One that is right lets in, and forgets no guess at the password.
    let link_secret = link(&api, &admin).await;
    let recovery = &anna.recovery_codes[0];
    redeem(&api, &link_secret, Some(recovery)).await.is(StatusCode::CREATED);
    assert_eq!(api.get(format!("{ANNA}/lockout")).await.body["failures"], 4);
    let link_secret = link(&api, &admin).await;
    for _ in 0..6 {
        redeem(&api, &link_secret, Some("000000")).await.is_invalid(&["/totp"]);
    }
    let code = &anna.recovery_codes[1];
    redeem(&api, &link_secret, Some(code)).await.is_problem(StatusCode::TOO_MANY_REQUESTS);
    guess(PASSWORD).await.is_problem(StatusCode::TOO_MANY_REQUESTS);
    // Who has no second factor has nothing to guess: nobody else's guesses keep the user out.
    let bert = api.user("bert@example.com").await;
    for _ in 0..10 {
        let body = json!({"name": "bert@example.com", "password": "not the password"});
        api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await;
    }
    let made = ask(&api, &admin, &bert, json!({})).await.is(StatusCode::CREATED);
    let made = redeem(&api, made.body["login_link"].as_str().unwrap(), None).await;
    made.is(StatusCode::CREATED);
    assert_eq!(api.get("/v1/users/bert@example.com/lockout").await.body["failures"], 10);
}

#[tokio::test]
async fn a_link_is_not_answered_again() {
    let (api, admin) = world(Clock::system()).await;
    let make = || {
        let ask = api.ask(Method::POST, format!("{ANNA}/login_links")).by(&admin).json(json!({}));
        ask.header("idempotency-key", "once").send()
    };
    let first = make().await.is(StatusCode::CREATED).body;
    let second = make().await.is(StatusCode::CREATED).body;
    assert_ne!(first["login_link"], second["login_link"]);
}

#[tokio::test]
async fn who_must_change_the_password_is_let_in_without_it() {
    let (api, admin) = world(Clock::system()).await;
    let body = json!({"new_password": "many small blue whales"});
    api.put(format!("{ANNA}/password"), body).await.is(StatusCode::NO_CONTENT);
    let token = let_in(&api, &admin).await;
    assert_eq!(get(&api, &token, "/v1/me").await.body["confined_to"], Value::Null);
    get(&api, &token, &format!("{ANNA}/entitlements")).await.is(StatusCode::OK);
    let body = json!({"name": "anna@example.com", "password": "many small blue whales"});
    let session = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await.body;
    let token = session["access_token"].as_str().unwrap();
    assert_eq!(get(&api, token, "/v1/me").await.body["confined_to"], "password_change");
}
