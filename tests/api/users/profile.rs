//! What directories know of a user.

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_tests::api::{Api, PASSWORD};

const USERS: &str = "/v1/domains/example.com/users";
const ANNA: &str = "/v1/users/anna@example.com";

async fn start() -> Api {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    api
}

#[tokio::test]
async fn a_profile_is_kept_in_its_canonical_form() {
    let api = start().await;
    let profile = json!({
        "given_name": "Jose\u{301}", "family_name": "Example", "employee_number": "4711",
        "title": "Head of Sales", "phone": "+43 1 234567", "locale": "DE-at",
        "time_zone": "europe/vienna", "external_id": "S-1-5-21",
    });
    let body = json!({"local_part": "jose", "password": PASSWORD, "profile": profile});
    let new = api.post(USERS, body).await.is(StatusCode::CREATED).body;
    let mut kept = profile;
    kept["given_name"] = json!("José");
    kept["locale"] = json!("de-AT");
    kept["time_zone"] = json!("Europe/Vienna");
    assert_eq!(new["profile"], kept);
    // What is not given stays; an empty text is no longer known.
    let body = json!({"profile": {"title": "", "phone": "110"}});
    let after = api.patch("/v1/users/jose@example.com", body.clone()).await.is(StatusCode::OK);
    kept["title"] = json!("");
    kept["phone"] = json!("110");
    assert_eq!(after.body["profile"], kept);
    let again = api.patch("/v1/users/jose@example.com", body).await.is(StatusCode::OK);
    assert_eq!(again.etag(), after.etag());
    // Who has no profile has an empty one.
    let anna = api.get(ANNA).await.is(StatusCode::OK).body;
    assert_eq!(anna["profile"]["external_id"], "");
}

#[tokio::test]
async fn a_profile_refuses_fields_that_break_their_rules() {
    let api = start().await;
    for (field, value) in [
        ("given_name", json!("a\u{0}b")),
        ("family_name", json!("x".repeat(129))),
        ("employee_number", json!("x".repeat(65))),
        ("title", json!("\u{202e}")),
        ("phone", json!("call me")),
        ("phone", json!("12")),
        ("locale", json!("German")),
        ("time_zone", json!("Europe/Wien")),
        ("external_id", json!("x".repeat(256))),
        ("external_id", json!(null)),
        ("given_name", json!(7)),
    ] {
        let profile = json!({field: value});
        let pointer = format!("/profile/{field}");
        api.patch(ANNA, json!({"profile": profile})).await.is_invalid(&[&pointer]);
        let body = json!({"local_part": "new", "password": PASSWORD, "profile": profile});
        api.post(USERS, body).await.is_invalid(&[&pointer]);
    }
    let both = json!({"profile": {"phone": "x", "locale": "x"}});
    api.patch(ANNA, both).await.is_invalid(&["/profile/phone", "/profile/locale"]);
    api.patch(ANNA, json!({"profile": {"revision": 7}})).await.is_invalid(&["/profile/revision"]);
    assert_eq!(api.get(ANNA).await.etag(), "\"1\"");
}

#[tokio::test]
async fn an_external_id_is_good_once_in_a_domain() {
    let api = start().await;
    api.domain("example.org").await;
    let known = |local_part: &str, external_id: &str| {
        json!({
            "local_part": local_part, "password": PASSWORD,
            "profile": {"external_id": external_id},
        })
    };
    api.post(USERS, known("bert", "7")).await.is(StatusCode::CREATED);
    let twice = api.post(USERS, known("carl", "7")).await.is_problem(StatusCode::CONFLICT);
    assert_eq!(twice.body["detail"], "external_id 7 already exists");
    api.get("/v1/users/carl@example.com").await.is_problem(StatusCode::NOT_FOUND);
    let body = json!({"profile": {"external_id": "7"}});
    api.patch(ANNA, body.clone()).await.is_problem(StatusCode::CONFLICT);
    let elsewhere = "/v1/domains/example.org/users";
    api.post(elsewhere, known("carl", "7")).await.is(StatusCode::CREATED);
    let found = api.get(format!("{USERS}?external_id=7")).await.is(StatusCode::OK);
    assert_eq!(found.items("address"), ["bert@example.com"]);
    let none = api.get(format!("{USERS}?external_id=")).await.is(StatusCode::OK);
    assert!(none.items("address").is_empty());
    let long = "x".repeat(256);
    api.get(format!("{USERS}?external_id={long}")).await.is_invalid(&["external_id"]);
    // Who is gone does not keep it.
    api.delete("/v1/users/bert@example.com").await.is(StatusCode::NO_CONTENT);
    api.patch(ANNA, body).await.is(StatusCode::OK);
    // Nor does who comes back while somebody else has it.
    let restore = || api.ask(Method::POST, "/v1/users/bert@example.com/restore").send();
    restore().await.is_problem(StatusCode::CONFLICT);
    api.patch(ANNA, json!({"profile": {"external_id": ""}})).await.is(StatusCode::OK);
    restore().await.is(StatusCode::OK);
}

#[tokio::test]
async fn users_change_of_their_profile_what_is_their_own() {
    let api = start().await;
    api.user("bert@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    let patch = |path: &str, profile| {
        let ask = api.ask(Method::PATCH, path).by(&anna).header("if-match", "*");
        ask.json(json!({"profile": profile})).send()
    };
    for field in ["given_name", "family_name"] {
        patch(ANNA, json!({field: "A"})).await.is(StatusCode::OK);
    }
    let rest = json!({"phone": "110", "locale": "de", "time_zone": "UTC"});
    patch(ANNA, rest).await.is(StatusCode::OK);
    for field in ["employee_number", "title", "external_id"] {
        patch(ANNA, json!({field: "7"})).await.is_problem(StatusCode::FORBIDDEN);
        patch(ANNA, json!({field: "7", "phone": "1"})).await.is_problem(StatusCode::FORBIDDEN);
    }
    let other = patch("/v1/users/bert@example.com", json!({"phone": "110"})).await;
    other.is_problem(StatusCode::NOT_FOUND);
    let list = api.ask(Method::GET, format!("{USERS}?external_id=7")).by(&anna).send().await;
    list.is_problem(StatusCode::NOT_FOUND);
    let admin = api.domain_admin("admin@example.com").await;
    let title = api.ask(Method::PATCH, ANNA).by(&admin).header("if-match", "*");
    title.json(json!({"profile": {"title": "Head"}})).send().await.is(StatusCode::OK);
}
