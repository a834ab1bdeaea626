//! `/v1/domains/{domain}/users` and `/v1/users`

mod compromised;
pub(crate) mod life;
mod lockout;
mod password;
mod profile;
mod rename;
mod search;
mod totp;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::model::operator::OperatorRole;
use umail_tests::api::{Api, PASSWORD};

const PATH: &str = "/v1/domains/example.com/users";

#[tokio::test]
async fn create_user_makes_one_who_can_sign_in() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let node = api.storage_node("storage-1").await;
    let body = json!({
        "local_part": "Anna.B", "password": PASSWORD, "display_name": "Anna", "quota_bytes": 5_000,
    });
    let user = api.post(PATH, body).await.is(StatusCode::CREATED);
    assert_eq!(user.body["address"], "anna.b@example.com");
    assert_eq!(user.body["quota_bytes"], 5_000);
    assert_eq!(user.body["storage_node_id"], node);
    assert_eq!(user.body["storage_node"], "storage-1");
    assert_eq!(user.body["moving"], false);
    for name in [user.id(), "anna.b@example.com".to_owned(), "ANNA.B@EXAMPLE.COM".to_owned()] {
        let read = api.get(format!("/v1/users/{name}")).await.is(StatusCode::OK);
        assert_eq!(read.body, user.body);
        assert_eq!(read.etag(), user.etag());
    }
    let token = api.sign_in("Anna.B@Example.com").await;
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await.is(StatusCode::OK).body;
    assert_eq!((&me["kind"], &me["name"]), (&json!("user"), &json!("anna.b@example.com")));
}

#[tokio::test]
async fn create_user_takes_an_address_once() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let id = api.user("anna@example.com").await;
    let body = json!({"local_part": "ANNA", "password": PASSWORD});
    let taken = api.post(PATH, body.clone()).await.is_problem(StatusCode::CONFLICT);
    assert_eq!(taken.body["detail"], "address anna@example.com already exists");
    let alias = json!({"local_part": "anna", "targets": ["b@example.com"]});
    let taken = api.post("/v1/domains/example.com/aliases", alias).await;
    taken.is_problem(StatusCode::CONFLICT);
    api.delete(format!("/v1/users/{id}")).await.is(StatusCode::NO_CONTENT);
    api.post(PATH, body).await.is_problem(StatusCode::CONFLICT);
}

#[tokio::test]
async fn create_user_refuses_fields_that_break_their_rules() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let good = json!({"local_part": "anna", "password": PASSWORD});
    for (field, value) in [
        ("local_part", json!("a+b")),
        ("local_part", json!("a\u{0}b")),
        ("local_part", json!("")),
        ("local_part", json!(7)),
        ("password", json!("short")),
        ("password", json!("with\ncontrol characters")),
        ("display_name", json!("x".repeat(129))),
        ("display_name", json!("a\u{202e}b")),
        ("quota_bytes", json!(0)),
        ("quota_bytes", json!("lots")),
        ("quota_bytes", json!(1_073_741_825)),
        ("plan_id", json!("01936d5e-0000-7000-8000-000000000000")),
        ("department_id", json!("x")),
        ("department_id", json!("01936d5e-0000-7000-8000-000000000000")),
        ("storage_node", json!("none")),
        ("storage_node", json!("a\u{0}b")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        api.post(PATH, body).await.is_invalid(&[&format!("/{field}")]);
    }
    let nowhere = api.post("/v1/domains/none.example/users", good).await;
    nowhere.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn create_user_places_the_mailbox_where_there_are_fewest() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let unplaced = api.user("zero@example.com").await;
    let unplaced = api.get(format!("/v1/users/{unplaced}")).await.body;
    assert!(unplaced["storage_node_id"].is_null());
    api.storage_node("s1").await;
    api.storage_node("s2").await;
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let body = json!({"local_part": name, "password": PASSWORD});
        nodes.push(api.post(PATH, body).await.is(StatusCode::CREATED).body["storage_node"].clone());
    }
    assert_eq!(nodes, ["s1", "s2", "s1"]);
    let body = json!({"local_part": "d", "password": PASSWORD, "storage_node": "s1"});
    let named = api.post(PATH, body).await.is(StatusCode::CREATED).body;
    assert_eq!(named["storage_node"], "s1");
}

#[tokio::test]
async fn list_users_comes_in_pages_of_a_domain() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("example.org").await;
    api.user("other@example.org").await;
    for name in ["a", "b", "c"] {
        api.user(&format!("{name}@example.com")).await;
    }
    let first = api.get(format!("{PATH}?page_size=2")).await.is(StatusCode::OK);
    assert_eq!(first.items("address"), ["a@example.com", "b@example.com"]);
    let token = first.body["next_page_token"].as_str().unwrap();
    let second = api.get(format!("{PATH}?page_size=2&page_token={token}")).await;
    assert_eq!(second.items("address"), ["c@example.com"]);
    let department = api.post("/v1/domains/example.com/departments", json!({"name": "x"})).await;
    let body = json!({"department_id": department.id()});
    api.patch("/v1/users/b@example.com", body).await.is(StatusCode::OK);
    let inside = api.get(format!("{PATH}?department_id={}", department.id())).await;
    assert_eq!(inside.items("address"), ["b@example.com"]);
    api.get(format!("{PATH}?department_id=x")).await.is_invalid(&["query"]);
}

#[tokio::test]
async fn update_user_changes_what_is_given() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let id = api.user("anna@example.com").await;
    let path = format!("/v1/users/{id}");
    let body = json!({
        "display_name": "Anna", "status": "locked", "functions": ["pop3"], "quota_bytes": 7_000,
    });
    let after = api.patch(&path, body).await.is(StatusCode::OK);
    assert_eq!(after.headers["etag"], "\"2\"");
    for (field, value) in [
        ("display_name", json!("Anna")),
        ("status", json!("locked")),
        ("functions", json!(["pop3"])),
        ("quota_bytes", json!(7_000)),
    ] {
        assert_eq!(after.body[field], value);
    }
    let sign_in = json!({"name": "anna@example.com", "password": PASSWORD});
    let refused = api.ask(Method::POST, "/v1/sessions").anonymous().json(sign_in).send().await;
    refused.is_problem(StatusCode::UNAUTHORIZED);
    for (body, field) in [
        (json!({"status": "deleted"}), "/status"),
        (json!({"quota_bytes": "unlimited"}), "/quota_bytes"),
        (json!({"display_name": "\u{7}"}), "/display_name"),
        (json!({"department_id": "01936d5e-0000-7000-8000-000000000000"}), "/department_id"),
    ] {
        api.patch(&path, body).await.is_invalid(&[field]);
    }
    let stale = api.ask(Method::PATCH, &path).header("if-match", "\"1\"").json(json!({}));
    stale.send().await.is_problem(StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn changes_of_a_user_at_the_same_time_are_all_made_or_refused() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let id = api.user("anna@example.com").await;
    let path = format!("/v1/users/{id}");
    // Each reads the user before any other has written it back.
    let fields = ["given_name", "family_name", "title", "phone", "employee_number", "external_id"];
    let change = |field: &str| api.patch(&path, json!({"profile": {field: "110"}}));
    for answer in join_all(fields.map(change)).await {
        answer.is(StatusCode::OK);
    }
    let after = api.get(&path).await;
    assert_eq!(after.headers["etag"], "\"7\"", "each is a revision");
    for field in fields {
        assert_eq!(after.body["profile"][field], "110", "{field}");
    }
    // Of those who have seen the same, one is in time.
    let change = |quota: i64| {
        let asked = api.ask(Method::PATCH, &path).header("if-match", "\"7\"");
        asked.json(json!({"quota_bytes": quota})).send()
    };
    let answers = join_all((1..=8).map(change)).await;
    let made = answers.iter().filter(|one| one.status == StatusCode::OK).count();
    let late = answers.iter().filter(|one| one.status == StatusCode::PRECONDITION_FAILED).count();
    assert_eq!((made, late), (1, 7));
}

#[tokio::test]
async fn a_change_of_a_user_concerns_its_nodes() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let node = api.storage_node("s1").await;
    let user = api.user("anna@example.com").await;
    api.patch(format!("/v1/users/{user}"), json!({"status": "locked"})).await.is(StatusCode::OK);
    let rows: Vec<Vec<uuid::Uuid>> =
        sqlx::query_scalar("SELECT nodes FROM change WHERE key = $1 ORDER BY id")
            .bind(user.parse::<uuid::Uuid>().unwrap())
            .fetch_all(api.state.pool())
            .await
            .unwrap();
    let node: uuid::Uuid = node.parse().unwrap();
    assert_eq!(rows, [vec![node], vec![node]]);
}

#[tokio::test]
async fn delete_user_ends_the_sessions() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let id = api.user("anna@example.com").await;
    let token = api.sign_in("anna@example.com").await;
    let path = format!("/v1/users/{id}");
    let blind = api.ask(Method::DELETE, &path).send().await;
    blind.is_problem(StatusCode::PRECONDITION_REQUIRED);
    api.delete(&path).await.is(StatusCode::NO_CONTENT);
    api.delete(&path).await.is_problem(StatusCode::NOT_FOUND);
    api.get("/v1/users/anna@example.com").await.is_problem(StatusCode::NOT_FOUND);
    assert!(api.get(PATH).await.items("id").is_empty());
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await;
    me.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn update_user_password_is_for_administrators_and_ends_the_sessions() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let token = api.sign_in("anna@example.com").await;
    let path = "/v1/users/anna@example.com/password";
    let body = json!({"new_password": "another password"});
    let own = api.ask(Method::PUT, path).by(&token).json(body.clone()).send().await;
    own.is_problem(StatusCode::FORBIDDEN);
    api.put(path, json!({"new_password": "short"})).await.is_invalid(&["/new_password"]);
    api.put(path, body).await.is(StatusCode::NO_CONTENT);
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await;
    me.is_problem(StatusCode::UNAUTHORIZED);
    let sign_in = json!({"name": "anna@example.com", "password": "another password"});
    let session = api.ask(Method::POST, "/v1/sessions").anonymous().json(sign_in).send().await;
    let token = session.is(StatusCode::CREATED).body["access_token"].clone();
    let change = json!({"current_password": "another password", "new_password": PASSWORD});
    let mine = api.ask(Method::PUT, "/v1/me/password").by(token.as_str().unwrap()).json(change);
    mine.send().await.is(StatusCode::NO_CONTENT);
    api.sign_in("anna@example.com").await;
}

#[tokio::test]
async fn users_see_themselves_and_change_their_own_name() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    api.user("bert@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    let ask = |method, path: &str| api.ask(method, path).by(&anna).header("if-match", "*");
    ask(Method::GET, "/v1/users/anna@example.com").send().await.is(StatusCode::OK);
    let other = ask(Method::GET, "/v1/users/bert@example.com").send().await;
    other.is_problem(StatusCode::NOT_FOUND);
    let patch = |path, body| ask(Method::PATCH, path).json(body).send();
    let own = patch("/v1/users/anna@example.com", json!({"display_name": "A"})).await;
    own.is(StatusCode::OK);
    let own = patch("/v1/users/anna@example.com", json!({"quota_bytes": 5})).await;
    own.is_problem(StatusCode::FORBIDDEN);
    let other = patch("/v1/users/bert@example.com", json!({"display_name": "B"})).await;
    other.is_problem(StatusCode::NOT_FOUND);
    let own = ask(Method::DELETE, "/v1/users/anna@example.com").send().await;
    own.is_problem(StatusCode::FORBIDDEN);
    ask(Method::GET, PATH).send().await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn administrators_reach_as_far_as_their_scope() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("example.org").await;
    let top = api.post("/v1/domains/example.com/departments", json!({"name": "A"})).await.id();
    let body = json!({"local_part": "in", "password": PASSWORD, "department_id": top});
    api.post(PATH, body).await.is(StatusCode::CREATED);
    api.user("out@example.com").await;
    api.user("foreign@example.org").await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let everywhere = api.sign_in("super").await;
    let domain = api.domain_admin("admin@example.com").await;
    let department = api.department_admin("head@example.com", &top).await;
    let ok = StatusCode::OK;
    let (hidden, refused) = (StatusCode::NOT_FOUND, StatusCode::FORBIDDEN);
    for (token, user, status) in [
        (&everywhere, "foreign@example.org", ok),
        (&everywhere, "admin@example.com", ok),
        (&domain, "in@example.com", ok),
        (&domain, "head@example.com", ok),
        (&domain, "foreign@example.org", hidden),
        (&department, "in@example.com", ok),
        (&department, "out@example.com", hidden),
        // Nobody changes an equal, nor oneself as if one were somebody else.
        (&domain, "admin@example.com", refused),
        (&department, "head@example.com", refused),
    ] {
        let ask = api.ask(Method::PATCH, format!("/v1/users/{user}")).by(token);
        let answer = ask.header("if-match", "*").json(json!({"quota_bytes": 7})).send().await;
        assert_eq!(answer.status, status, "{user} {:#}", answer.body);
    }
    // A department administrator adds users below, and nowhere else; and cannot push them out.
    let new = |name: &str, department_id: Option<&str>| {
        let body = json!({
            "local_part": name, "password": PASSWORD, "department_id": department_id,
        });
        api.ask(Method::POST, PATH).by(&department).json(body).send()
    };
    new("new", Some(&top)).await.is(StatusCode::CREATED);
    new("new2", None).await.is_problem(hidden);
    let out = api.ask(Method::PATCH, "/v1/users/in@example.com").header("if-match", "*");
    let out = out.by(&department).json(json!({"department_id": null})).send().await;
    out.is_invalid(&["/department_id"]);
    let list = api.ask(Method::GET, PATH).by(&department).send().await.is(ok);
    let inside = ["in@example.com", "head@example.com", "new@example.com"];
    assert_eq!(list.items("address"), inside);
    // Placement is for system administrators.
    api.storage_node("s1").await;
    let body = json!({"local_part": "p", "password": PASSWORD, "storage_node": "s1"});
    let placed = api.ask(Method::POST, PATH).by(&domain).json(body).send().await;
    placed.is_problem(refused);
}

/// Whoever has them speaks for the whole domain, to certificate authorities as well.
#[tokio::test]
async fn official_names_are_given_by_administrators_of_the_domain() {
    const GROUPS: &str = "/v1/domains/example.com/groups";
    let api = Api::start().await;
    api.domain("example.com").await;
    let sales =
        api.post("/v1/domains/example.com/departments", json!({"name": "Sales"})).await.id();
    let head = api.department_admin("head@example.com", &sales).await;
    let admin = api.domain_admin("admin2@example.com").await;
    let user =
        |name: &str| json!({"local_part": name, "password": PASSWORD, "department_id": sales});
    let group =
        |name: &str| json!({"local_part": name, "display_name": "x", "department_id": sales});
    let post = |path, body, token| api.ask(Method::POST, path).by(token).json(body).send();
    for name in ["postmaster", "Admin", "hostmaster"] {
        post(PATH, user(name), &head).await.is_invalid(&["/local_part"]);
        post(GROUPS, group(name), &head).await.is_invalid(&["/local_part"]);
    }
    let name = json!({"local_part": "webmaster"});
    post(PATH, user("eve"), &head).await.is(StatusCode::CREATED);
    let rename = |token| {
        let ask = api.ask(Method::PATCH, "/v1/users/eve@example.com").header("if-match", "*");
        ask.by(token).json(name.clone()).send()
    };
    rename(&head).await.is_invalid(&["/local_part"]);
    rename(&admin).await.is(StatusCode::OK);
    post(PATH, user("postmaster"), &admin).await.is(StatusCode::CREATED);
    post(GROUPS, group("security"), &admin).await.is(StatusCode::CREATED);
}
