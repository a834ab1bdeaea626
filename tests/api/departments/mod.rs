//! `/v1/domains/{domain}/departments` and `/v1/departments`

mod subtree;

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_tests::api::Api;

const PATH: &str = "/v1/domains/example.com/departments";

async fn department(api: &Api, name: &str, parent: Option<&str>) -> String {
    let body = json!({"name": name, "parent_id": parent});
    api.post(PATH, body).await.is(StatusCode::CREATED).id()
}

#[tokio::test]
async fn create_department_makes_a_tree() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let top = department(&api, "Sales", None).await;
    let below = department(&api, "Sales", Some(&top)).await;
    let read = api.get(format!("/v1/departments/{below}")).await.is(StatusCode::OK);
    assert_eq!(read.body["parent_id"], top);
    let taken = api.post(PATH, json!({"name": " Sales "})).await;
    taken.is_problem(StatusCode::CONFLICT);
    assert_eq!(api.get(PATH).await.items("id"), [top, below]);
}

#[tokio::test]
async fn create_department_refuses_fields_that_break_their_rules() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("example.org").await;
    let foreign = api.post("/v1/domains/example.org/departments", json!({"name": "x"})).await.id();
    api.post(PATH, json!({"name": ""})).await.is_invalid(&["/name"]);
    api.post(PATH, json!({"name": "a\u{0}"})).await.is_invalid(&["/name"]);
    api.post(PATH, json!({"name": "x", "parent_id": "y"})).await.is_invalid(&["/parent_id"]);
    let foreign = json!({"name": "x", "parent_id": foreign});
    api.post(PATH, foreign).await.is_invalid(&["/parent_id"]);
    let nowhere = api.post("/v1/domains/none.example/departments", json!({"name": "x"})).await;
    nowhere.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn update_department_keeps_the_tree_a_tree() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let top = department(&api, "A", None).await;
    let middle = department(&api, "B", Some(&top)).await;
    let bottom = department(&api, "C", Some(&middle)).await;
    let path = format!("/v1/departments/{top}");
    for parent in [&top, &middle, &bottom] {
        let body = json!({"parent_id": parent});
        api.patch(&path, body).await.is_invalid(&["/parent_id"]);
    }
    let path = format!("/v1/departments/{bottom}");
    let moved = api.patch(&path, json!({"parent_id": null, "functions": ["imap"]})).await;
    let moved = moved.is(StatusCode::OK).body;
    assert!(moved["parent_id"].is_null());
    assert_eq!(moved["functions"], json!(["imap"]));
    let renamed = api.patch(&path, json!({"name": "D"})).await.is(StatusCode::OK).body;
    assert_eq!(renamed["name"], "D");
    api.patch(&path, json!({"name": "A"})).await.is_problem(StatusCode::CONFLICT);
    api.patch(&path, json!({"name": null})).await.is_invalid(&["/name"]);
}

#[tokio::test]
async fn departments_are_not_nested_without_end() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let mut parent = department(&api, "0", None).await;
    for depth in 1..16 {
        parent = department(&api, &depth.to_string(), Some(&parent)).await;
    }
    let too_deep = api.post(PATH, json!({"name": "16", "parent_id": parent})).await;
    too_deep.is_invalid(&["/parent_id"]);
}

#[tokio::test]
async fn departments_are_not_moved_deeper_than_they_are_made() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let top = department(&api, "T", None).await;
    let token = api.department_admin("anna@example.com", &top).await;
    let add = async |name: String, parent: &str| {
        let body = json!({"name": name, "parent_id": parent});
        api.ask(Method::POST, PATH).by(&token).json(body).send().await.is(StatusCode::CREATED).id()
    };
    let (mut deep, mut high) = (vec![top.clone()], vec![top]);
    for level in 1..16 {
        deep.push(add(format!("c{level}"), &deep[level - 1]).await);
    }
    for level in 1..8 {
        high.push(add(format!("d{level}"), &high[level - 1]).await);
    }
    let go = async |id: &str, parent: &str| {
        let body = json!({"parent_id": parent});
        let ask = api.ask(Method::PATCH, format!("/v1/departments/{id}")).by(&token);
        ask.header("if-match", "*").json(body).send().await
    };
    // What moves along counts: nothing comes to be on a seventeenth level.
    let refused = go(&deep[1], &high[7]).await.is_invalid(&["/parent_id"]);
    let reason = &refused.body["errors"][0]["detail"];
    assert_eq!(reason, "must not be nested deeper than 16", "{:#}", refused.body);
    go(&deep[7], &high[7]).await.is_invalid(&["/parent_id"]);
    go(&deep[8], &high[7]).await.is(StatusCode::OK);
    go(&deep[8], &deep[7]).await.is(StatusCode::OK);
}

#[tokio::test]
async fn delete_department_removes_only_an_empty_one() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let top = department(&api, "A", None).await;
    let below = department(&api, "B", Some(&top)).await;
    let user = api.user("anna@example.com").await;
    let body = json!({"department_id": below});
    api.patch(format!("/v1/users/{user}"), body).await.is(StatusCode::OK);
    for id in [&top, &below] {
        let path = format!("/v1/departments/{id}");
        api.delete(path).await.is_problem(StatusCode::CONFLICT);
    }
    api.delete(format!("/v1/users/{user}")).await.is(StatusCode::NO_CONTENT);
    for id in [&below, &top] {
        api.delete(format!("/v1/departments/{id}")).await.is(StatusCode::NO_CONTENT);
        api.get(format!("/v1/departments/{id}")).await.is_problem(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn department_admins_change_what_is_below_their_own_and_not_that() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let top = department(&api, "A", None).await;
    let other = department(&api, "C", None).await;
    let admin = api.department_admin("admin@example.com", &top).await;
    let ask = |method, path: String, body| {
        api.ask(method, path).header("if-match", "*").json(body).by(&admin).send()
    };
    let path = |id: &str| format!("/v1/departments/{id}");
    let add = |name: &'static str, parent: Option<&str>| {
        ask(Method::POST, PATH.to_owned(), json!({"name": name, "parent_id": parent}))
    };
    let below = add("B", Some(&top)).await.is(StatusCode::CREATED).id();
    // In the same second as what it is below.
    let bottom = add("D", Some(&below)).await.is(StatusCode::CREATED).id();
    let list = api.ask(Method::GET, PATH).by(&admin).send().await.is(StatusCode::OK);
    assert_eq!(list.items("id"), [top.clone(), below.clone(), bottom.clone()]);
    add("X", None).await.is_problem(StatusCode::FORBIDDEN);
    add("X", Some(&other)).await.is_problem(StatusCode::NOT_FOUND);

    let name = json!({"name": "E", "functions": ["imap"]});
    ask(Method::PATCH, path(&below), name.clone()).await.is(StatusCode::OK);
    for (id, status) in [(&top, StatusCode::FORBIDDEN), (&other, StatusCode::NOT_FOUND)] {
        ask(Method::PATCH, path(id), name.clone()).await.is_problem(status);
        ask(Method::DELETE, path(id), json!(null)).await.is_problem(status);
        let limits = ask(Method::PATCH, format!("{}/allowance", path(id)), json!({"users": 1}));
        limits.await.is_problem(status);
        // Neither out of the own department, nor to where nothing is known of.
        let parent = json!({"parent_id": if id == &top { None } else { Some(id) }});
        let moved = ask(Method::PATCH, path(&bottom), parent).await;
        moved.is_problem(status);
    }
    ask(Method::PATCH, path(&bottom), json!({"parent_id": top})).await.is(StatusCode::OK);
    let limits = ask(Method::PATCH, format!("{}/allowance", path(&below)), json!({"users": 1}));
    limits.await.is(StatusCode::OK);
    ask(Method::DELETE, path(&below), json!(null)).await.is(StatusCode::NO_CONTENT);
    // Who administers it is as high as whoever would remove it.
    api.assign("admin@example.com", "department_admin", Some(&bottom)).await;
    let refused = ask(Method::DELETE, path(&bottom), json!(null)).await;
    refused.is_problem(StatusCode::FORBIDDEN);
    api.delete(path(&bottom)).await.is(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn department_admins_add_departments_within_the_allowances_above() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let top = department(&api, "A", None).await;
    let admin = api.department_admin("admin@example.com", &top).await;
    let add = |name: &'static str| {
        let body = json!({"name": name, "parent_id": top});
        api.ask(Method::POST, PATH).json(body).by(&admin).send()
    };
    let limit = |path: String, number: u64| api.patch(path, json!({"departments": number}));
    limit(format!("/v1/departments/{top}/allowance"), 1).await.is(StatusCode::OK);
    let below = add("B").await.is(StatusCode::CREATED).id();
    let refused = add("C").await.is_problem(StatusCode::CONFLICT);
    assert_eq!(refused.body["exceeded"]["level"], "department", "{:#}", refused.body);
    limit(format!("/v1/departments/{top}/allowance"), 9).await.is(StatusCode::OK);
    limit("/v1/domains/example.com/allowance".to_owned(), 2).await.is(StatusCode::OK);
    let refused = add("C").await.is_problem(StatusCode::CONFLICT);
    assert_eq!(refused.body["exceeded"]["level"], "domain", "{:#}", refused.body);
    let remove = api.ask(Method::DELETE, format!("/v1/departments/{below}"));
    let remove = remove.header("if-match", "*").by(&admin).send().await;
    remove.is(StatusCode::NO_CONTENT);
    add("C").await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn department_admins_remove_departments_that_deleted_users_are_in() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("example.org").await;
    let top = department(&api, "A", None).await;
    let below = department(&api, "B", Some(&top)).await;
    let admin = api.department_admin("admin@example.com", &top).await;
    let inside = json!({"department_id": below});
    for address in ["anna@example.com", "bert@example.com"] {
        api.user(address).await;
        api.patch(format!("/v1/users/{address}"), inside.clone()).await.is(StatusCode::OK);
    }
    let remove =
        |path: String| api.ask(Method::DELETE, path).by(&admin).header("if-match", "*").send();
    let path = format!("/v1/departments/{below}");
    remove("/v1/users/anna@example.com".to_owned()).await.is(StatusCode::NO_CONTENT);
    // Whoever is there keeps it there.
    remove(path.clone()).await.is_problem(StatusCode::CONFLICT);
    remove("/v1/users/bert@example.com".to_owned()).await.is(StatusCode::NO_CONTENT);
    remove(path).await.is(StatusCode::NO_CONTENT);
    let restored = api.post("/v1/users/anna@example.com/restore", json!(null)).await;
    assert!(restored.is(StatusCode::OK).body["department_id"].is_null());
}

#[tokio::test]
async fn domain_admins_remove_departments_that_others_administer_from_elsewhere() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("example.org").await;
    let top = department(&api, "A", None).await;
    let admin = api.domain_admin("admin@example.com").await;
    let domain = api.get("/v1/domains/example.com").await.id();
    api.user("anna@example.org").await;
    let role = json!({"role": "department_admin", "domain_id": domain, "department_id": top});
    let path = "/v1/users/anna@example.org/role_assignments";
    api.post(path, role).await.is(StatusCode::CREATED);
    let ask = api.ask(Method::DELETE, format!("/v1/departments/{top}")).by(&admin);
    ask.header("if-match", "*").send().await.is(StatusCode::NO_CONTENT);
    assert!(api.get(path).await.items("id").is_empty());
}
