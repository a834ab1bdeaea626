//! What is there, and out of the scope of who asks: a 404 like any other, and an event for those in
//! whose scope it is.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::{
    app::security_events,
    authn::unseen::Thing,
    context::{Assignment, Caller, Context},
};
use umail_tests::api::{Answer, Api};

use super::{PATH, Staff, events, staff};

const NOTHING: &str = "01936d5e-0000-7000-8000-000000000000";

/// What the tasks of a server do within a minute: returns how many events were written.
async fn a_minute(api: &Api) -> u64 {
    let cx = Context::system(api.state.clone());
    let written = security_events::write_unseen(&cx).await.unwrap();
    security_events::write_repeats(&cx).await.unwrap();
    written
}

async fn ask(api: &Api, token: &str, path: &str) -> Answer {
    let answer = api.ask(Method::GET, path).by(token).send().await;
    answer.is_problem(StatusCode::NOT_FOUND)
}

async fn hidden(api: &Api, token: &str) -> Vec<Value> {
    events(api, token, "?action=hide").await
}

/// Everything that somebody sees of the audit, as text.
async fn whole(api: &Api, token: &str) -> String {
    let list = events(api, token, "?page_size=100").await;
    let export = api.ask(Method::GET, format!("{PATH}/export")).by(token).send().await;
    format!("{list:?} {:?}", export.is(StatusCode::OK).body)
}

/// Something of each kind in a domain: its path by id, and the word for it.
async fn things(api: &Api, of: &Staff, name: &str) -> Vec<(String, String, &'static str)> {
    let domain = format!("/v1/domains/{name}");
    let add = async |path: &str, body: Value| {
        api.post(format!("{domain}/{path}"), body).await.is(StatusCode::CREATED).id()
    };
    let group = add("groups", json!({"local_part": "team"})).await;
    let targets = [format!("inside@{name}")];
    let alias = add("aliases", json!({"local_part": "info", "targets": targets})).await;
    let other = add("domain_aliases", json!({"name": format!("other-{name}")})).await;
    let user = api.get(format!("/v1/users/inside@{name}")).await.id();
    let role = api.get(format!("/v1/users/head@{name}/role_assignments")).await.items("id");
    [
        ("domains", of.domain.clone(), "domain"),
        ("departments", of.department.clone(), "department"),
        ("users", user, "user"),
        ("groups", group, "group"),
        ("aliases", alias, "alias"),
        ("domain_aliases", other, "domain alias"),
        ("role_assignments", role[0].clone(), "role assignment"),
    ]
    .map(|(kind, id, word)| (format!("/v1/{kind}/{id}"), id, word))
    .into()
}

#[tokio::test]
async fn whoever_administers_a_thing_knows_who_asked_for_it_and_who_asked_knows_nothing() {
    let api = Api::start().await;
    let (one, other) = (staff(&api, "example.com").await, staff(&api, "example.org").await);
    let actor = api.get("/v1/users/admin@example.com").await.id();
    let before = whole(&api, &one.admin).await;
    for (path, id, word) in things(&api, &other, "example.org").await {
        let there = ask(&api, &one.admin, &path).await;
        let (kind, _) = path.rsplit_once('/').unwrap();
        let missing = ask(&api, &one.admin, &format!("{kind}/{NOTHING}")).await;
        let shape = |answer: &Answer, id: &str| {
            let mut body = answer.body.clone();
            body["trace_id"] = Value::Null;
            body.to_string().replace(id, "")
        };
        assert_eq!(shape(&there, &id), shape(&missing, NOTHING), "{word}");
        assert_eq!(a_minute(&api).await, 1, "{word}");
        let seen = hidden(&api, &other.admin).await.remove(0);
        assert_eq!((&seen["resource"], &seen["resource_id"]), (&json!(word), &json!(id)));
        assert_eq!((&seen["kind"], &seen["actor_id"]), (&json!("security"), &json!(actor)));
        assert_eq!((&seen["domain_id"], &seen["actor"]), (&json!(other.domain), &Value::Null));
        assert_eq!(seen["after"], json!({"method": "GET", "path": path}));
        assert_eq!(seen["client_address"], "127.0.0.1");
        assert_eq!(seen["request_id"], there.body["trace_id"]);
    }
    let root = api.sign_in("root").await;
    assert_eq!(hidden(&api, &root).await.len(), 7);
    assert_eq!(hidden(&api, &root).await[0]["actor"], "admin@example.com");
    // Who asked, who administers them, and whom it is about.
    for token in [&one.admin, &one.head, &one.inside, &other.inside, &other.outside] {
        assert!(hidden(&api, token).await.is_empty());
        let query = format!("?actor={actor}&kind=security&action=hide");
        assert!(events(&api, token, &query).await.is_empty());
    }
    assert_eq!(whole(&api, &one.admin).await, before);
    // In the department are its user, and its administrator's role.
    let inside = hidden(&api, &other.head).await;
    let mut inside: Vec<_> = inside.iter().map(|one| one["resource"].as_str().unwrap()).collect();
    inside.sort_unstable();
    assert_eq!(inside, ["department", "role assignment", "user"]);
}

#[tokio::test]
async fn the_database_hides_it_as_well() {
    let api = Api::start().await;
    let one = staff(&api, "example.com").await;
    let other = staff(&api, "example.org").await;
    ask(&api, &one.admin, "/v1/users/inside@example.org").await;
    assert_eq!(a_minute(&api).await, 1);
    let reader = async |address: &str, domain: &str| {
        let id = api.get(format!("/v1/users/{address}")).await.id().parse().unwrap();
        let domain_id = domain.parse().unwrap();
        let assignments = match address.split('@').next() {
            Some("admin") => vec![Assignment::DomainAdmin(domain_id)],
            _ => Vec::new(),
        };
        let caller = Caller::User { id, domain_id, assignments, resting: Vec::new() };
        let cx = Context::new(api.state.clone(), Arc::new(caller), Arc::from("test"));
        let count = "SELECT count(*) FROM audit_event WHERE action = 'hide'";
        sqlx::query_scalar::<_, i64>(count).fetch_one(cx.pool()).await.unwrap()
    };
    assert_eq!(reader("admin@example.com", &one.domain).await, 0, "who asked");
    assert_eq!(reader("inside@example.org", &other.domain).await, 0, "whom it is about");
    assert_eq!(reader("admin@example.org", &other.domain).await, 1);
}

#[tokio::test]
async fn scopes_end_inside_a_domain_too() {
    let api = Api::start().await;
    let one = staff(&api, "example.com").await;
    for (who, paths) in [
        (&one.head, ["/v1/users/outside@example.com", "/v1/users/outside@example.com/sessions"]),
        (&one.inside, ["/v1/users/head@example.com", "/v1/domains/example.com/users"]),
    ] {
        for path in paths {
            ask(&api, who, path).await;
            assert_eq!(a_minute(&api).await, 1, "{path}");
        }
        assert!(hidden(&api, who).await.iter().all(|event| event["after"]["path"] != paths[0]));
    }
    // Of what was asked for by whoever is in the department, its head sees what is there.
    let seen = hidden(&api, &one.head).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0]["after"]["path"], "/v1/users/head@example.com");
    assert_eq!(hidden(&api, &one.admin).await.len(), 4);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_seen_is_not_recorded() {
    let api = Api::start().await;
    let one = staff(&api, "example.com").await;
    staff(&api, "example.org").await;
    api.delete("/v1/users/outside@example.org").await.is(StatusCode::NO_CONTENT);
    for path in [
        "/v1/users/nobody@example.org",
        "/v1/users/outside@example.org",
        "/v1/domains/nowhere.example/users",
        &format!("/v1/users/{NOTHING}/forwarding"),
        // Theirs, and only something of it is not there.
        &format!("/v1/users/inside@example.com/sessions/{NOTHING}"),
        "/v1/nothing/at/all",
    ] {
        let ask = api.ask(Method::DELETE, path).by(&one.admin).header("if-match", "*");
        let answer = ask.send().await;
        let status = answer.status;
        let known = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        assert!(known.contains(&status), "{path}: {status}");
        assert_eq!(a_minute(&api).await, 0, "{path}");
    }
    let root = api.sign_in("root").await;
    assert!(hidden(&api, &root).await.is_empty());
}

#[tokio::test]
async fn a_flood_of_it_is_a_few_events_and_says_what_it_lacks() {
    let api = Api::start().await;
    let one = staff(&api, "example.com").await;
    let other = staff(&api, "example.org").await;
    for _ in 0..3 {
        ask(&api, &one.admin, "/v1/users/inside@example.org").await;
        ask(&api, &one.admin, "/v1/users/inside@example.org/sessions").await;
    }
    assert_eq!(a_minute(&api).await, 1);
    let seen = hidden(&api, &other.admin).await;
    assert_eq!(seen[0]["after"], json!({"repeated": 5, "first": seen[1]["id"]}));
    // More than there is room for of one caller.
    let id = api.get("/v1/users/admin@example.com").await.id().parse().unwrap();
    let domain_id = one.domain.parse().unwrap();
    let caller = Caller::User { id, domain_id, assignments: Vec::new(), resting: Vec::new() };
    let cx = Context::new(api.state.clone(), Arc::new(caller), Arc::from("test"));
    for _ in 0..1_100 {
        let thing = Thing::Department(other.department.parse().unwrap());
        security_events::unseen(&cx, thing, ("GET", "/v1/departments/x"));
    }
    assert_eq!(a_minute(&api).await, 1);
    assert_eq!(hidden(&api, &other.admin).await[0]["after"]["repeated"], 99);
    let root = api.sign_in("root").await;
    let lost = hidden(&api, &root).await;
    let lost: Vec<_> = lost.iter().filter_map(|one| one["after"]["lost"].as_u64()).collect();
    assert_eq!(lost, [1_000]);
    assert!(hidden(&api, &one.admin).await.is_empty());
}
