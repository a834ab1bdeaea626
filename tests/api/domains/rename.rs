//! `PATCH /v1/domains/{domain}` with a name

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_tests::api::{Api, PASSWORD};

const OLD: &str = "/v1/domains/example.com";
const NEW: &str = "/v1/domains/example.org";

async fn rename(api: &Api, query: &str) -> Value {
    let answer = api.patch(format!("{OLD}{query}"), json!({"name": "EXAMPLE.org."})).await;
    answer.is(StatusCode::OK).body
}

/// A domain with a user who signs in, aliases, a forwarding and a catch-all.
async fn start() -> (Api, Vec<String>) {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("other.example").await;
    let mut ids = vec![api.user("anna@example.com").await];
    for (domain, name, targets) in [
        ("example.com", "sales", json!(["anna@example.com"])),
        ("example.com", "both", json!(["x@a.example", "anna@example.com", "y@my-example.com"])),
        ("example.com", "away", json!(["anna@sub.example.com", "example.com@a.example"])),
        ("other.example", "sales", json!(["anna@example.com"])),
    ] {
        let path = format!("/v1/domains/{domain}/aliases");
        let alias = api.post(path, json!({"local_part": name, "targets": targets})).await;
        ids.push(alias.is(StatusCode::CREATED).id());
    }
    let forwarding = json!({"targets": ["sales@example.com", "z@a.example"], "keep_copy": true});
    api.put("/v1/users/anna@example.com/forwarding", forwarding).await.is(StatusCode::OK);
    api.patch(OLD, json!({"catch_all": "anna@example.com"})).await.is(StatusCode::OK);
    (api, ids)
}

#[tokio::test]
async fn all_addresses_change_at_once_and_the_old_name_stays() {
    let (api, ids) = start().await;
    let before = api.get(OLD).await;
    let anna = api.sign_in("anna@example.com").await;
    let after = rename(&api, "").await;
    assert_eq!((&after["id"], &after["name"]), (&before.body["id"], &json!("example.org")));
    assert_eq!(after["catch_all"], "anna@example.org");
    api.get(OLD).await.is_problem(StatusCode::NOT_FOUND);
    assert_ne!(api.get(NEW).await.etag(), before.etag());
    // The user is the same under the new address, and goes on.
    let user = api.get("/v1/users/anna@example.org").await.is(StatusCode::OK);
    assert_eq!((user.id(), &user.body["address"]), (ids[0].clone(), &json!("anna@example.org")));
    let me = api.ask(Method::GET, "/v1/me").by(&anna).send().await.is(StatusCode::OK);
    assert!(me.body.to_string().contains("anna@example.org"), "{}", me.body);
    api.sign_in("anna@example.org").await;
    let old = api.get("/v1/domain_aliases/example.com").await.is(StatusCode::OK);
    assert_eq!(old.body["domain_id"], after["id"]);
    api.post("/v1/domains", json!({"name": "example.com"})).await.is_problem(StatusCode::CONFLICT);
    let audited: Vec<String> = sqlx::query_scalar(
        "SELECT (before ->> 'name') || ' ' || (after ->> 'name') FROM audit_event
          WHERE resource = 'domain' AND before ->> 'name' <> after ->> 'name'",
    )
    .fetch_all(api.state.pool())
    .await
    .unwrap();
    assert_eq!(audited, ["example.com example.org"]);
}

#[tokio::test]
async fn what_leads_to_the_domain_from_inside_follows_it() {
    let (api, ids) = start().await;
    let newest = "SELECT coalesce(max(id), 0) FROM change";
    let here: i64 = sqlx::query_scalar(newest).fetch_one(api.state.pool()).await.unwrap();
    let targets = async |place: usize| {
        let alias = api.get(format!("/v1/aliases/{}", ids[place])).await.is(StatusCode::OK);
        (alias.body["targets"].clone(), alias.etag())
    };
    let (untouched, foreign) = (targets(3).await, targets(4).await);
    rename(&api, "?keep_old_name=false").await;
    assert_eq!(targets(1).await.0, json!(["anna@example.org"]));
    assert_eq!(api.get(format!("/v1/aliases/{}", ids[1])).await.body["user_id"], ids[0]);
    let both = json!(["x@a.example", "anna@example.org", "y@my-example.com"]);
    assert_eq!(targets(2).await.0, both);
    assert_eq!((targets(3).await, targets(4).await), (untouched, foreign));
    let forwarding = api.get("/v1/users/anna@example.org/forwarding").await.body;
    assert_eq!(forwarding["targets"], json!(["sales@example.org", "z@a.example"]));
    // The domain, two aliases and the forwarding: no row of a user.
    let told: Vec<i16> =
        sqlx::query_scalar("SELECT entity FROM change WHERE id > $1 ORDER BY entity")
            .bind(here)
            .fetch_all(api.state.pool())
            .await
            .unwrap();
    assert_eq!(told, [1, 3, 3, 3]);
    // The old name is free.
    api.get("/v1/domain_aliases/example.com").await.is_problem(StatusCode::NOT_FOUND);
    api.domain("example.com").await;
    let anna = json!({"local_part": "anna", "password": PASSWORD});
    api.post(format!("{OLD}/users"), anna).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_domain_goes_back_to_its_old_name() {
    let (api, _) = start().await;
    let before = api.get(OLD).await;
    rename(&api, "").await;
    let back = api.patch(NEW, json!({"name": "example.com"})).await.is(StatusCode::OK);
    assert_eq!(back.body["catch_all"], before.body["catch_all"]);
    assert_eq!(api.get(format!("{OLD}/domain_aliases")).await.items("name"), ["example.org"]);
    rename(&api, "").await;
    assert_eq!(api.get(format!("{NEW}/domain_aliases")).await.items("name"), ["example.com"]);
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM domain_name ORDER BY name")
        .fetch_all(api.state.pool())
        .await
        .unwrap();
    assert_eq!(names, ["example.com", "example.org", "other.example"]);
}

/// An alias that led to a foreign domain, which has become another name of its own.
#[tokio::test]
async fn two_names_of_one_address_become_one_target() {
    let (api, _) = start().await;
    let body = json!({"local_part": "twice", "targets": ["anna@example.org", "anna@example.com"]});
    let twice = api.post(format!("{OLD}/aliases"), body).await.is(StatusCode::CREATED).id();
    let also = json!({"name": "example.org"});
    api.post(format!("{OLD}/domain_aliases"), also).await.is(StatusCode::CREATED);
    rename(&api, "").await;
    let twice = api.get(format!("/v1/aliases/{twice}")).await;
    assert_eq!(twice.body["targets"], json!(["anna@example.org"]));
}

#[tokio::test]
async fn a_name_that_is_refused_changes_nothing() {
    let (api, _) = start().await;
    let also = json!({"name": "other.net.example"});
    api.post("/v1/domains/other.example/domain_aliases", also).await.is(StatusCode::CREATED);
    let before = api.get(OLD).await;
    for name in ["other.example", "OTHER.example.", "other.net.example"] {
        let body = json!({"name": name, "catch_all": null});
        api.patch(OLD, body).await.is_problem(StatusCode::CONFLICT);
    }
    let label = "a".repeat(60);
    let long = format!("{label}.{label}.{label}.example");
    for name in ["", "localhost", "10.0.0.1", "a b.example", "xn--example-.org", &long] {
        api.patch(OLD, json!({"name": name})).await.is_invalid(&["/name"]);
    }
    let both = api.patch(OLD, json!({"name": "x", "catch_all": "x"})).await;
    both.is_invalid(&["/name", "/catch_all"]);
    api.patch(OLD, json!({"name": null})).await.is_invalid(&["/name"]);
    let query = api.patch(format!("{OLD}?keep_old_name=x"), json!({"name": "a.example"})).await;
    query.is_invalid(&["query"]);
    let stale = api.ask(Method::PATCH, OLD).header("if-match", "\"1\"");
    let stale = stale.json(json!({"name": "a.example"})).send().await;
    stale.is_problem(StatusCode::PRECONDITION_FAILED);
    // The name that it has is no change.
    let same = api.patch(OLD, json!({"name": "Example.COM"})).await.is(StatusCode::OK);
    assert_eq!((same.etag(), &same.body), (before.etag(), &before.body));
    assert!(api.get(format!("{OLD}/domain_aliases")).await.items("name").is_empty());
}

#[tokio::test]
async fn the_name_that_the_system_writes_to_is_not_given_up() {
    let (api, _) = start().await;
    let settings = json!({"postmaster_address": "anna@example.com"});
    api.patch("/v1/settings", settings).await.is(StatusCode::OK);
    let given_up = format!("{OLD}?keep_old_name=false");
    let body = json!({"name": "example.org"});
    let refused = api.patch(given_up, body).await.is_problem(StatusCode::CONFLICT);
    assert!(refused.body["detail"].as_str().unwrap().contains("postmaster_address"));
    assert_eq!(api.get("/v1/users/anna@example.com").await.status, StatusCode::OK);
    rename(&api, "").await;
}

#[tokio::test]
async fn of_two_domains_that_want_one_name_one_gets_it() {
    let (api, _) = start().await;
    let body = json!({"name": "wanted.example"});
    let paths = [OLD, "/v1/domains/other.example"];
    let answers = join_all(paths.map(|path| api.patch(path, body.clone()))).await;
    let mut statuses: Vec<_> = answers.iter().map(|one| one.status).collect();
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT]);
    let names = api.get("/v1/domains").await.items("name");
    assert_eq!(names.iter().filter(|name| *name == "wanted.example").count(), 1);
}
