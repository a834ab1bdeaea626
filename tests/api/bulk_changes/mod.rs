//! Bulk changes: all who match are changed like single users, and nobody else is.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bad;
mod limits;
mod resume;
mod scope;

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::{app, context::Context};
use umail_tests::api::{Answer, Api};

use crate::imports::{
    begin as begin_import, count, import_into, lines, no_drift, scale, send, skip, users, work,
    work_to_the_end,
};

const PATH: &str = "/v1/domains/example.com/bulk_changes";
const DEPARTMENTS: &str = "/v1/domains/example.com/departments";

/// A domain with users `user0`… in the departments Sales, Sales/EMEA and IT in turn, with the plans
/// standard and business.
struct World {
    api: Api,
    sales: String,
    emea: String,
    it: String,
    standard: String,
    business: String,
}

impl World {
    async fn start(users: usize) -> Self {
        let api = crate::imports::start().await;
        let plan = json!({"name": "business", "quota_bytes": 1_000});
        let business = api.post("/v1/plans", plan).await.is(StatusCode::CREATED).id();
        let standard = api.get("/v1/plans/standard").await.id();
        let department = async |name: &str, parent: Option<&str>| {
            let body = json!({"name": name, "parent_id": parent});
            api.post(DEPARTMENTS, body).await.is(StatusCode::CREATED).id()
        };
        let sales = department("Sales", None).await;
        let emea = department("EMEA", Some(&sales)).await;
        let it = department("IT", None).await;
        let line = |number| {
            let department = ["Sales", "Sales/EMEA", "IT"][number % 3];
            format!("user{number},{department},{}\n", crate::imports::HASH)
        };
        let lines: String = (0..users).map(line).collect();
        let file = format!("address,department,password_hash\n{lines}");
        import_into(&api, "/v1/domains/example.com/imports", skip(), file).await;
        Self { api, sales, emea, it, standard, business }
    }

    /// A bulk change by root, to its end.
    async fn change(&self, filter: Value, change: Value) -> Value {
        self.run("", json!({"filter": filter, "change": change})).await
    }

    /// The same without changing anything.
    async fn preview(&self, filter: Value, change: Value) -> Value {
        self.run("?dry_run=true", json!({"filter": filter, "change": change})).await
    }

    async fn run(&self, query: &str, body: Value) -> Value {
        let answer = self.api.post(format!("{PATH}{query}"), body).await.is(StatusCode::ACCEPTED);
        self.finish(&answer.id()).await
    }

    /// Works on a bulk change, until it has ended if nobody else does.
    async fn finish(&self, id: &str) -> Value {
        let cx = Context::system(self.api.state.clone());
        app::imports::carry_on(&cx, id.parse().unwrap()).await.unwrap();
        self.api.get(format!("/v1/bulk_changes/{id}")).await.is(StatusCode::OK).body
    }

    async fn user(&self, name: &str) -> Value {
        self.api.get(format!("/v1/users/{name}@example.com")).await.is(StatusCode::OK).body
    }

    async fn begin_by(&self, token: &str, body: Value) -> Answer {
        self.api.ask(Method::POST, PATH).by(token).json(body).send().await
    }

    /// Who was refused: address, field and reason.
    async fn errors(&self, change: &Value) -> Vec<(String, String, String)> {
        let id = change["id"].as_str().unwrap();
        let path = format!("/v1/bulk_changes/{id}/errors?format=ndjson");
        let line = |one: Value| {
            let text = |field: &str| one[field].as_str().unwrap().to_owned();
            (text("address"), text("field"), text("reason"))
        };
        lines(&self.api, path).await.into_iter().map(line).collect()
    }
}

/// What became of the users: matched, changed, unchanged, refused.
fn counts(change: &Value) -> [i64; 4] {
    ["matched", "changed", "unchanged", "refused"].map(|name| change[name].as_i64().unwrap())
}

#[tokio::test]
async fn all_that_can_be_changed_is_changed_and_nothing_else() {
    let w = World::start(6).await;
    let before = w.user("user0").await;
    let change = json!({
        "plan_id": w.business, "department_id": w.it, "status": "locked", "quota_bytes": 5,
        "functions": ["imap"],
    });
    let answer = w.api.post(PATH, json!({"filter": {"department_id": w.sales}, "change": change}));
    let answer = answer.await.is(StatusCode::ACCEPTED);
    let operation = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!((&answer.body["state"], &answer.body["matched"]), (&json!("running"), &Value::Null));
    let shown = w.api.get(&operation).await.is(StatusCode::OK).body;
    assert_eq!(shown["kind"], "change_users");
    assert_eq!(shown["bulk_change_id"], answer.id());
    let done = w.finish(&answer.id()).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("succeeded"), [2, 2, 0, 0]));
    assert_eq!((&done["mode"], &done["change"]), (&json!("skip_errors"), &change));
    assert_eq!(w.api.get(&operation).await.body["state"], "succeeded");
    for (name, is_in) in [("user0", true), ("user3", true), ("user1", false), ("user2", false)] {
        let user = w.user(name).await;
        assert_eq!(user["plan_id"] == w.business, is_in, "{name}");
        assert_eq!(user["status"] == "locked" && user["quota_bytes"] == 5, is_in, "{name}");
        assert_eq!(user["functions"] == json!(["imap"]), is_in, "{name}");
    }
    let after = w.user("user0").await;
    assert_eq!(after["department_id"], w.it);
    for same in ["address", "display_name", "profile", "storage_node_id", "created_at"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    no_drift(&w.api).await;
}

#[tokio::test]
async fn each_condition_narrows() {
    let w = World::start(9).await;
    let locked = json!({"status": "locked"});
    w.api.patch("/v1/users/user4@example.com", locked).await.is(StatusCode::OK);
    let plan = json!({"plan_id": w.business});
    w.api.patch("/v1/users/user5@example.com", plan).await.is(StatusCode::OK);
    let whole = json!({"department_id": w.sales, "include_subdepartments": true});
    for (filter, matched) in [
        (json!({}), 9),
        (json!({"department_id": w.sales}), 3),
        (whole.clone(), 6),
        (json!({"plan_id": w.business}), 1),
        (json!({"plan_id": w.standard}), 8),
        (json!({"status": "locked"}), 1),
        (json!({"status": "active", "department_id": w.emea}), 2),
        (json!({"status": "locked", "plan_id": w.business}), 0),
    ] {
        let done = w.preview(filter.clone(), json!({"quota_bytes": 7})).await;
        assert_eq!(counts(&done), [matched, matched, 0, 0], "{filter}");
        assert_eq!(done["filter"]["plan_id"], filter["plan_id"]);
    }
    let done = w.change(whole, json!({"department_id": null})).await;
    assert_eq!(counts(&done), [6, 6, 0, 0]);
    assert_eq!(w.user("user1").await["department_id"], Value::Null);
    no_drift(&w.api).await;
}

/// Whoever is on a list is who a bulk change with its filter is about.
#[tokio::test]
async fn the_filter_is_that_of_the_list() {
    let w = World::start(12).await;
    for (name, change) in [
        ("user1", json!({"display_name": "Jörg 100% MÜLLER", "status": "locked"})),
        ("user4", json!({"profile": {"given_name": "Jörg", "external_id": "HR-4"}})),
        ("user7", json!({"display_name": "a_b", "plan_id": w.business})),
        ("user10", json!({"status": "locked"})),
    ] {
        w.api.patch(format!("/v1/users/{name}@example.com"), change).await.is(StatusCode::OK);
    }
    w.api.delete("/v1/users/user11@example.com").await.is(StatusCode::NO_CONTENT);
    for (filter, expected) in [
        (json!({"search": "jörg"}), vec!["user1", "user4"]),
        (json!({"search": "JÖ"}), vec!["user1", "user4"]),
        (json!({"search": "ülle"}), vec!["user1"]),
        (json!({"search": "0%"}), vec![]),
        (json!({"search": "00% m"}), vec!["user1"]),
        (json!({"search": "%%%"}), vec![]),
        (json!({"search": "a_b"}), vec!["user7"]),
        (json!({"search": "er1"}), vec!["user1", "user10"]),
        (json!({"search": "er1@"}), vec!["user1"]),
        (json!({"search": "ser10@exa"}), vec!["user10"]),
        (json!({"search": "user1@example.org"}), vec![]),
        (json!({"search": "user1", "status": "locked"}), vec!["user1", "user10"]),
        (json!({"search": "user", "plan_id": w.business}), vec!["user7"]),
        (json!({"search": "er1", "department_id": w.sales}), vec![]),
        (
            json!({"search": "er1", "department_id": w.sales, "include_subdepartments": true}),
            vec!["user1", "user10"],
        ),
        (json!({"department_id": w.it}), vec!["user2", "user5", "user8"]),
        (json!({"external_id": "HR-4"}), vec!["user4"]),
        (json!({"external_id": "HR-4", "search": "user1"}), vec![]),
        (json!({"external_id": ""}), vec![]),
    ] {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let query = filter.as_object().unwrap().iter().map(|(name, value)| (name, text(value)));
        let path = "http://x/v1/domains/example.com/users?count=true";
        let url = reqwest::Url::parse_with_params(path, query).unwrap();
        let list = format!("{}?{}", url.path(), url.query().unwrap());
        let answer = w.api.get(list).await.is(StatusCode::OK);
        let names = answer.items("address");
        let names: BTreeSet<_> = names.iter().map(|one| one.split('@').next().unwrap()).collect();
        assert_eq!(names, expected.iter().copied().collect(), "{filter}");
        let matched = i64::try_from(expected.len()).unwrap();
        assert_eq!(answer.body["total"]["count"], matched, "{filter}");
        let done = w.preview(filter.clone(), json!({"quota_bytes": 7})).await;
        assert_eq!((counts(&done), &done["done"]), ([matched, matched, 0, 0], &json!(matched)));
    }
    let done = w.change(json!({"search": "jörg"}), json!({"status": "suspended"})).await;
    assert_eq!(counts(&done), [2, 2, 0, 0]);
    assert_eq!(done["filter"]["search"], "jörg");
    for name in ["user1", "user4"] {
        assert_eq!(w.user(name).await["status"], "suspended", "{name}");
    }
    let suspended = "SELECT count(*) FROM account WHERE status = 4";
    assert_eq!(count(&w.api, suspended).await, 2);
    no_drift(&w.api).await;
}

#[tokio::test]
async fn a_preview_changes_nothing_and_repeating_a_change_neither() {
    let w = World::start(4).await;
    let rows = "SELECT (SELECT count(*) FROM change) + (SELECT sum(revision) FROM account)::bigint
                     + (SELECT count(*) FROM audit_event WHERE resource = 'user')";
    let (filter, change) = (json!({"department_id": w.sales}), json!({"status": "suspended"}));
    let before = count(&w.api, rows).await;
    let preview = w.preview(filter.clone(), change.clone()).await;
    assert_eq!((&preview["dry_run"], counts(&preview)), (&json!(true), [2, 2, 0, 0]));
    assert_eq!(count(&w.api, rows).await, before);
    let done = w.change(filter.clone(), change.clone()).await;
    assert_eq!(counts(&done), counts(&preview));
    // Of each: the row, the change for the nodes, and the event.
    assert_eq!(count(&w.api, rows).await, before + 6);
    for again in [w.preview(filter.clone(), change.clone()).await, w.change(filter, change).await] {
        assert_eq!(counts(&again), [2, 0, 2, 0]);
    }
    assert_eq!(count(&w.api, rows).await, before + 6);
}

#[tokio::test]
async fn each_user_is_an_audit_event_and_a_change_of_the_directory() {
    let w = World::start(3).await;
    let bulk = "SELECT count(*) FROM change WHERE is_bulk AND nodes <> '{}'";
    let before = count(&w.api, bulk).await;
    w.change(json!({}), json!({"plan_id": w.business})).await;
    assert_eq!(count(&w.api, bulk).await, before + 3);
    let events = "SELECT count(*) FROM audit_event
                   WHERE resource = 'user' AND action = 'update' AND actor_kind = 'operator'
                     AND before ->> 'plan_id' <> after ->> 'plan_id'";
    assert_eq!(count(&w.api, events).await, 3);
    let whole = "SELECT count(*) FROM audit_event
                  WHERE resource = 'bulk change' AND after -> 'change' ->> 'plan_id' IS NOT NULL";
    assert_eq!(count(&w.api, whole).await, 2);
}

#[tokio::test]
async fn bulk_changes_and_imports_are_two_lists() {
    let w = World::start(1).await;
    let done = w.change(json!({}), json!({"status": "locked"})).await;
    let id = done["id"].as_str().unwrap();
    let list = w.api.get("/v1/bulk_changes").await.is(StatusCode::OK);
    assert_eq!(
        (list.items("id"), &list.body["items"][0]["reasons"]),
        (vec![id.to_owned()], &Value::Null)
    );
    let imports = w.api.get("/v1/imports").await.items("id");
    assert!(!imports.contains(&id.to_owned()));
    w.api.get(format!("/v1/imports/{id}")).await.is_problem(StatusCode::NOT_FOUND);
    w.api.delete(format!("/v1/imports/{id}")).await.is_problem(StatusCode::NOT_FOUND);
    let import = &imports[0];
    w.api.get(format!("/v1/bulk_changes/{import}")).await.is_problem(StatusCode::NOT_FOUND);
    let errors = w.api.get(format!("/v1/bulk_changes/{import}/errors")).await;
    errors.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_repeated_request_with_its_key_is_one_bulk_change() {
    let w = World::start(1).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let body = json!({"filter": {}, "change": {"status": "locked"}});
        let ask = w.api.ask(Method::POST, PATH).header("idempotency-key", "once").json(body);
        let answer = ask.send().await.is(StatusCode::ACCEPTED);
        assert!(answer.headers.contains_key("location"));
        ids.push(answer.id());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(counts(&w.finish(&ids[0]).await), [1, 1, 0, 0]);
}
