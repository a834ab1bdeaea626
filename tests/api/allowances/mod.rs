//! `/v1/allowance`, `/v1/domains/{domain}/allowance` and `/v1/departments/{id}/allowance`

pub(crate) mod counters;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::model::operator::OperatorRole;
use umail_tests::api::{Answer, Api, PASSWORD};

const DOMAIN: &str = "/v1/domains/example.com/allowance";

/// Changes an allowance, whatever its revision.
async fn limit(api: &Api, path: &str, patch: Value) -> Answer {
    api.patch(path, patch).await
}

/// Users without a quota of their own have none.
async fn unlimit(api: &Api) {
    let path = "/v1/plans/standard";
    api.patch(path, json!({"quota_bytes": "unlimited"})).await.is(StatusCode::OK);
}

async fn department(api: &Api, name: &str, parent: Option<&str>) -> String {
    let body = json!({"name": name, "parent_id": parent});
    api.post("/v1/domains/example.com/departments", body).await.is(StatusCode::CREATED).id()
}

async fn create(api: &Api, local_part: &str, department: Option<&str>, quota: Value) -> Answer {
    let body = json!({"local_part": local_part, "password": PASSWORD,
        "department_id": department, "quota_bytes": quota});
    api.post("/v1/domains/example.com/users", body).await
}

/// The refusal names the limit.
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
fn refused(answer: Answer, level: &str, kind: &str, numbers: [i64; 3]) {
    let body = answer.is_problem(StatusCode::CONFLICT).body;
    assert_eq!(body["type"], "urn:umail:problem:limit-exceeded", "{body:#}");
    let exceeded = &body["exceeded"];
    assert_eq!((&exceeded["level"], &exceeded["kind"]), (&level.into(), &kind.into()), "{body:#}");
    let found = ["limit", "allocated", "asked"].map(|name| exceeded[name].as_i64().unwrap());
    assert_eq!(found, numbers, "{body:#}");
}

#[tokio::test]
async fn an_allowance_begins_without_limits_and_counts() {
    let api = Api::start().await;
    unlimit(&api).await;
    api.domain("example.com").await;
    let sales = department(&api, "Sales", None).await;
    department(&api, "North", Some(&sales)).await;
    create(&api, "alice", Some(&sales), json!(500)).await.is(StatusCode::CREATED);
    create(&api, "bob", None, json!(null)).await.is(StatusCode::CREATED);
    let alias = json!({"local_part": "info", "targets": ["alice@example.com"]});
    api.post("/v1/domains/example.com/aliases", alias).await.is(StatusCode::CREATED);
    let forwarding = json!({"targets": ["x@elsewhere.example"], "keep_copy": true});
    let path = "/v1/users/alice@example.com/forwarding";
    let put = api.ask(Method::PUT, path).header("if-match", "*").json(forwarding).send();
    assert!(put.await.status.is_success());
    let whole = api.get(DOMAIN).await.is(StatusCode::OK).body;
    assert_eq!(
        whole,
        json!({"level": "domain", "users": "unlimited", "aliases": "unlimited",
            "groups": "unlimited", "departments": "unlimited", "storage_bytes": "unlimited", "overselling_percent": 100,
            "allocated": {"users": 2, "aliases": 1, "groups": 0, "departments": 2, "storage_bytes": 500,
                "unlimited_users": 1},
            "seats": [{"plan_id": "00000000-0000-7000-8000-000000000001", "plan": "standard",
                "limit": "unlimited", "users": 2}]})
    );
    let part = api.get(format!("/v1/departments/{sales}/allowance")).await.body;
    assert_eq!(
        part["allocated"],
        json!({"users": 1, "aliases": 0, "groups": 0, "departments": 1, "storage_bytes": 500,
            "unlimited_users": 0})
    );
}

#[tokio::test]
async fn a_refusal_names_the_level_that_does_not_allow_it() {
    let api = Api::start().await;
    unlimit(&api).await;
    api.domain("example.com").await;
    let sales = department(&api, "Sales", None).await;
    let north = department(&api, "North", Some(&sales)).await;
    let path = format!("/v1/departments/{sales}/allowance");
    limit(&api, &path, json!({"users": 1, "departments": 1, "storage_bytes": 100}))
        .await
        .is(StatusCode::OK);
    limit(&api, DOMAIN, json!({"users": 2, "aliases": 0})).await.is(StatusCode::OK);

    refused(
        create(&api, "a", Some(&north), json!(101)).await,
        "department",
        "storage_bytes",
        [100, 0, 101],
    );
    let unlimited = create(&api, "a", Some(&north), json!(null)).await;
    refused(unlimited, "department", "unlimited_users", [0, 0, 1]);
    create(&api, "a", Some(&north), json!(60)).await.is(StatusCode::CREATED);
    refused(create(&api, "b", Some(&sales), json!(1)).await, "department", "users", [1, 1, 1]);
    create(&api, "b", None, json!(1)).await.is(StatusCode::CREATED);
    refused(create(&api, "c", None, json!(1)).await, "domain", "users", [2, 2, 1]);

    let move_in = json!({"department_id": sales});
    let moved = api.patch("/v1/users/b@example.com", move_in).await;
    refused(moved, "department", "users", [1, 1, 1]);
    let more = api.patch("/v1/users/a@example.com", json!({"quota_bytes": 101})).await;
    refused(more, "department", "storage_bytes", [100, 60, 41]);
    let body = json!({"name": "South", "parent_id": sales});
    let south = api.post("/v1/domains/example.com/departments", body).await;
    refused(south, "department", "departments", [1, 1, 1]);
    let alias = json!({"local_part": "info", "targets": ["a@example.com"]});
    let alias = api.post("/v1/domains/example.com/aliases", alias).await;
    refused(alias, "domain", "aliases", [0, 0, 1]);

    // A department moves with all that is in it.
    let other = department(&api, "Other", None).await;
    let other_path = format!("/v1/departments/{other}/allowance");
    limit(&api, &other_path, json!({"users": 0})).await.is(StatusCode::OK);
    let moved = api.patch(&format!("/v1/departments/{north}"), json!({"parent_id": other})).await;
    refused(moved, "department", "users", [0, 0, 1]);
    limit(&api, &other_path, json!({"users": 1})).await.is(StatusCode::OK);
    api.patch(&format!("/v1/departments/{north}"), json!({"parent_id": other}))
        .await
        .is(StatusCode::OK);
    let sales = api.get(&path).await.body;
    assert_eq!(
        (&sales["allocated"]["users"], &sales["allocated"]["departments"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(api.get(&other_path).await.body["allocated"]["storage_bytes"], 60);
}

#[tokio::test]
async fn the_system_is_counted_from_its_first_limit_on() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("example.org").await;
    api.user("a@example.com").await;
    api.user("b@example.org").await;
    limit(&api, "/v1/allowance", json!({"users": 1})).await.is_problem(StatusCode::CONFLICT);
    let system = limit(&api, "/v1/allowance", json!({"users": 3})).await.is(StatusCode::OK);
    assert_eq!(system.body["allocated"]["users"], 2);
    api.user("c@example.org").await;
    refused(create(&api, "d", None, json!(1)).await, "system", "users", [3, 3, 1]);
}

#[tokio::test]
async fn a_limit_below_what_was_given_away_has_to_be_meant() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("a@example.com").await;
    api.user("b@example.com").await;
    refused(limit(&api, DOMAIN, json!({"users": 1})).await, "domain", "users", [1, 2, 0]);
    let path = format!("{DOMAIN}?below_allocated=true");
    limit(&api, &path, json!({"users": 1})).await.is(StatusCode::OK);
    refused(create(&api, "c", None, json!(1)).await, "domain", "users", [1, 2, 1]);
    // What does not grow goes on.
    api.patch("/v1/users/a@example.com", json!({"quota_bytes": 5})).await.is(StatusCode::OK);
}

#[tokio::test]
async fn limits_are_set_from_above() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let sales = department(&api, "Sales", None).await;
    let below = format!("/v1/departments/{sales}/allowance");
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let (admin, user) = (api.sign_in("super").await, api.user("alice@example.com").await);
    assert!(!user.is_empty());
    let alice = api.sign_in("alice@example.com").await;
    let patch = |token: &str, path: &str| {
        let ask = api.ask(Method::PATCH, path).by(token).header("if-match", "*");
        ask.json(json!({"users": 9})).send()
    };
    patch(&admin, DOMAIN).await.is_problem(StatusCode::FORBIDDEN);
    patch(&admin, "/v1/allowance").await.is_problem(StatusCode::FORBIDDEN);
    patch(&admin, &below).await.is(StatusCode::OK);
    for path in [DOMAIN, &below] {
        patch(&alice, path).await.is_problem(StatusCode::NOT_FOUND);
        let read = api.ask(Method::GET, path).by(&alice).send().await;
        read.is_problem(StatusCode::NOT_FOUND);
    }
    patch(&alice, "/v1/allowance").await.is_problem(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_bad_limit_is_refused_by_name() {
    let api = Api::start().await;
    api.domain("example.com").await;
    for (field, value) in [
        ("users", json!(-1)),
        ("users", json!(null)),
        ("storage_bytes", json!("many")),
        ("overselling_percent", json!(99)),
        ("overselling_percent", json!(10_001)),
        ("mailboxes", json!(1)),
    ] {
        let answer = limit(&api, DOMAIN, json!({field: value})).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {:#}", answer.body);
    }
    let without = api.ask(Method::PATCH, DOMAIN).json(json!({"users": 1})).send().await;
    without.is_problem(StatusCode::PRECONDITION_REQUIRED);
    let stale =
        api.ask(Method::PATCH, DOMAIN).header("if-match", "\"7\"").json(json!({"users": 1}));
    stale.send().await.is_problem(StatusCode::PRECONDITION_FAILED);
    assert_eq!(api.get(DOMAIN).await.body["users"], "unlimited");
}

#[tokio::test]
async fn the_system_has_so_many_seats_of_a_plan_whatever_the_domain() {
    const SYSTEM: &str = "/v1/allowance";
    let api = Api::start().await;
    for domain in ["example.com", "example.org"] {
        api.domain(domain).await;
    }
    let body = json!({"name": "small", "quota_bytes": 1});
    let small = api.post("/v1/plans", body).await.is(StatusCode::CREATED).id();
    let create = |address: &str, plan: &str| {
        let (local_part, domain) = address.split_once('@').unwrap();
        let body = json!({"local_part": local_part, "password": PASSWORD, "plan_id": plan});
        let path = format!("/v1/domains/{domain}/users");
        let api = &api;
        async move { api.post(path, body).await }
    };
    create("a@example.com", &small).await.is(StatusCode::CREATED);
    create("b@example.org", &small).await.is(StatusCode::CREATED);
    assert_eq!(api.get(SYSTEM).await.body["seats"], json!([]), "it counts what it limits");
    let seats = |limit: Value| json!({"seats": {"small": limit}});
    let kind = "seats of plan small";
    refused(limit(&api, SYSTEM, seats(json!(1))).await, "system", kind, [1, 2, 0]);
    limit(&api, SYSTEM, json!({"seats": {"none": 1}})).await.is_invalid(&["/seats/none"]);
    let after = limit(&api, SYSTEM, seats(json!(3))).await.is(StatusCode::OK).body;
    let shown = json!([{"plan_id": small, "plan": "small", "limit": 3, "users": 2}]);
    assert_eq!(after["seats"], shown);
    create("c@example.com", &small).await.is(StatusCode::CREATED);
    refused(create("d@example.org", &small).await, "system", kind, [3, 3, 1]);

    // Another plan has no limit; taking this one needs a seat, and leaving it gives one back.
    api.user("d@example.org").await;
    let standard = api.get("/v1/plans/standard").await.id();
    let change = |user: &str, plan: &str| {
        let (path, body) = (format!("/v1/users/{user}"), json!({"plan_id": plan}));
        let api = &api;
        async move { api.patch(path, body).await }
    };
    refused(change("d@example.org", &small).await, "system", kind, [3, 3, 1]);
    change("a@example.com", &standard).await.is(StatusCode::OK);
    change("d@example.org", &small).await.is(StatusCode::OK);

    // Without a limit nothing is counted; with the next one it is counted anew.
    let after = limit(&api, SYSTEM, seats(json!("unlimited"))).await.is(StatusCode::OK).body;
    assert_eq!(after["seats"], json!([]));
    create("e@example.com", &small).await.is(StatusCode::CREATED);
    refused(limit(&api, SYSTEM, seats(json!(3))).await, "system", kind, [3, 4, 0]);
    let path = format!("{SYSTEM}?below_allocated=true");
    let after = limit(&api, &path, seats(json!(3))).await.is(StatusCode::OK).body;
    assert_eq!(after["seats"][0]["users"], 4);
    // A change of the plan's quota counts as before.
    api.patch("/v1/plans/small", json!({"quota_bytes": 2})).await.is(StatusCode::OK);
    let allocated = api.get(DOMAIN).await.body["allocated"]["storage_bytes"].clone();
    assert_eq!(allocated, 1_073_741_824 + 2 * 2);
}
