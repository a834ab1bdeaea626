//! `/v1/domains/{domain}/groups`, `/v1/groups` and their members

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_tests::api::{Answer, Api};

use crate::allowances::counters::drift;

const PATH: &str = "/v1/domains/example.com/groups";
const TEAM: &str = "/v1/groups/team@example.com";

/// A domain with anna and bert, a department with anna's, and a group of it.
struct World {
    api: Api,
    department: String,
    anna: String,
}

async fn world() -> World {
    let api = Api::start().await;
    api.domain("example.com").await;
    let department = api.post("/v1/domains/example.com/departments", json!({"name": "Sales"}));
    let department = department.await.is(StatusCode::CREATED).id();
    let anna = api.user("anna@example.com").await;
    api.user("bert@example.com").await;
    let inside = json!({"department_id": department});
    api.patch(format!("/v1/users/{anna}"), inside).await.is(StatusCode::OK);
    let body = json!({"local_part": "Team", "department_id": department});
    api.post(PATH, body).await.is(StatusCode::CREATED);
    World { api, department, anna }
}

async fn add(api: &Api, member: &str) -> Answer {
    api.put(format!("{TEAM}/members/{member}"), json!(null)).await
}

#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
async fn members(api: &Api) -> Vec<Value> {
    let members = api.get(format!("{TEAM}/members")).await.is(StatusCode::OK);
    members.body["items"].as_array().unwrap().clone()
}

async fn events(api: &Api) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT action || ' ' || resource FROM audit_event
          WHERE resource LIKE 'group%' ORDER BY id",
    )
    .fetch_all(api.state.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_group_is_made_read_changed_and_removed() {
    let World { api, department, .. } = world().await;
    let group = api.get(TEAM).await.is(StatusCode::OK);
    let fields = ["address", "display_name", "posting", "department_id"];
    let shown = fields.map(|name| group.body[name].clone());
    let wanted = ["team@example.com", "", "domain", department.as_str()].map(|one| json!(one));
    assert_eq!(shown, wanted);
    let path = format!("/v1/groups/{}", group.id());
    assert_eq!(api.get(&path).await.body, group.body);

    let body = json!({"local_part": "all", "display_name": "Everybody", "posting": "anyone"});
    let all = api.post(PATH, body).await.is(StatusCode::CREATED);
    assert_eq!(api.get(PATH).await.items("address"), ["team@example.com", "all@example.com"]);
    let of_department = api.get(format!("{PATH}?department_id={department}")).await;
    assert_eq!(of_department.items("address"), ["team@example.com"]);
    let first = api.get(format!("{PATH}?page_size=1")).await;
    let next = first.body["next_page_token"].as_str().unwrap();
    let second = api.get(format!("{PATH}?page_size=1&page_token={next}")).await;
    assert_eq!(second.items("address"), ["all@example.com"]);

    let patch = json!({"display_name": "The team", "posting": "members", "department_id": null});
    let ask = |etag: &[u8]| api.ask(Method::PATCH, &path).header("if-match", etag);
    let changed = ask(group.etag().as_bytes()).json(patch.clone()).send().await;
    assert_eq!(changed.is(StatusCode::OK).body["posting"], "members");
    let stale = ask(group.etag().as_bytes()).json(json!({"posting": "anyone"})).send().await;
    stale.is_problem(StatusCode::PRECONDITION_FAILED);
    let again = api.patch(&path, patch).await.is(StatusCode::OK);
    assert_eq!(again.etag(), "\"2\"", "nothing changed");
    let blind = api.ask(Method::DELETE, &path).send().await;
    blind.is_problem(StatusCode::PRECONDITION_REQUIRED);
    api.delete(&path).await.is(StatusCode::NO_CONTENT);
    api.get(&path).await.is_problem(StatusCode::NOT_FOUND);
    api.delete(format!("/v1/groups/{}", all.id())).await.is(StatusCode::NO_CONTENT);
    assert_eq!(
        events(&api).await,
        ["create group", "create group", "update group", "delete group", "delete group"]
    );
    // The address is free again.
    api.user("team@example.com").await;
}

#[tokio::test]
async fn create_group_refuses_fields_that_break_their_rules() {
    let World { api, .. } = world().await;
    for (body, field) in [
        (json!({"local_part": "a b"}), "/local_part"),
        (json!({"local_part": "a+b"}), "/local_part"),
        (json!({"local_part": "x".repeat(65)}), "/local_part"),
        (json!({"local_part": "a", "display_name": "a\u{0}b"}), "/display_name"),
        (json!({"local_part": "a", "display_name": "x".repeat(129)}), "/display_name"),
        (json!({"local_part": "abuse", "posting": "members"}), "/posting"),
    ] {
        api.post(PATH, body).await.is_invalid(&[field]);
    }
    for body in [
        json!({"local_part": "a", "posting": "everybody"}),
        json!({"local_part": "a", "members": ["anna@example.com"]}),
        json!({"local_part": "a", "id": "01936d5e-0000-7000-8000-000000000000"}),
    ] {
        api.post(PATH, body).await.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
    }
    // One registry of addresses, whoever has them; whoever was deleted keeps his.
    api.delete("/v1/users/bert@example.com").await.is(StatusCode::NO_CONTENT);
    for taken in ["team", "anna", "bert"] {
        api.post(PATH, json!({"local_part": taken})).await.is_problem(StatusCode::CONFLICT);
    }
    let alias = json!({"local_part": "team", "targets": ["x@example.org"]});
    let alias = api.post("/v1/domains/example.com/aliases", alias).await;
    alias.is_problem(StatusCode::CONFLICT);
    let nowhere = "01936d5e-0000-7000-8000-000000000000";
    let body = json!({"local_part": "a", "department_id": nowhere});
    api.post(PATH, body).await.is_invalid(&["/department_id"]);
    api.patch(TEAM, json!({"department_id": nowhere})).await.is_invalid(&["/department_id"]);
    api.patch(TEAM, json!({"display_name": null})).await.is_invalid(&["/display_name"]);
    api.patch(TEAM, json!({"posting": null})).await.is_invalid(&["/posting"]);
    let body = json!({"local_part": "postmaster", "posting": "anyone"});
    let postmaster = api.post(PATH, body).await.is(StatusCode::CREATED).id();
    let patch = json!({"posting": "domain"});
    api.patch(format!("/v1/groups/{postmaster}"), patch).await.is_invalid(&["/posting"]);
}

#[tokio::test]
async fn members_come_and_go_once() {
    let World { api, anna, .. } = world().await;
    let second = json!({"name": "example.net"});
    let second = api.post("/v1/domains/example.com/domain_aliases", second).await;
    second.is(StatusCode::CREATED);
    let added = add(&api, "Anna@example.com").await.is(StatusCode::OK).body;
    assert_eq!((&added["user_id"], &added["address"]), (&json!(anna), &json!("anna@example.com")));
    // The same user, by whatever name.
    for same in ["anna@example.com", anna.as_str(), "anna@EXAMPLE.net"] {
        assert_eq!(add(&api, same).await.is(StatusCode::OK).body, added, "{same}");
    }
    for member in ["X@elsewhere.example", "x+tag@elsewhere.example"] {
        assert!(add(&api, member).await.is(StatusCode::OK).body["user_id"].is_null());
        add(&api, member).await.is(StatusCode::OK);
    }
    assert_eq!(members(&api).await.len(), 3);
    // A new address of the user is one of the member, too.
    let rename = json!({"local_part": "anna.b"});
    api.patch(format!("/v1/users/{anna}"), rename).await.is(StatusCode::OK);
    assert_eq!(members(&api).await[0]["address"], "anna.b@example.com");
    for path in ["anna.b@example.net", "anna.b@example.net", "x@elsewhere.example", "no@a.example"]
    {
        let path = format!("{TEAM}/members/{path}");
        api.ask(Method::DELETE, path).send().await.is(StatusCode::NO_CONTENT);
    }
    let left = members(&api).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["address"], "x+tag@elsewhere.example");
    let changes = events(&api).await;
    let made = changes.iter().filter(|one| *one == "create group member").count();
    let gone = changes.iter().filter(|one| *one == "delete group member").count();
    assert_eq!((made, gone), (3, 2));
}

#[tokio::test]
async fn nobody_is_a_member_who_cannot_be() {
    let World { api, .. } = world().await;
    let alias = json!({"local_part": "info", "targets": ["anna@example.com"]});
    api.post("/v1/domains/example.com/aliases", alias).await.is(StatusCode::CREATED);
    api.post(PATH, json!({"local_part": "other"})).await.is(StatusCode::CREATED);
    api.delete("/v1/users/bert@example.com").await.is(StatusCode::NO_CONTENT);
    for member in [
        "nobody@example.com",
        "anna+tag@example.com",
        // Neither groups, so that there are no circles, nor aliases.
        "team@example.com",
        "other@example.com",
        "info@example.com",
        "bert@example.com",
        "01936d5e-0000-7000-8000-000000000000",
        "not an address",
        "x@%00.example",
    ] {
        add(&api, member).await.is_problem(StatusCode::NOT_FOUND);
    }
    assert!(members(&api).await.is_empty());
}

#[tokio::test]
async fn a_group_has_so_many_members_at_most() {
    let World { api, .. } = world().await;
    let id = api.get(TEAM).await.id();
    let fill = format!(
        "INSERT INTO group_member (id, group_id, address, created_at)
         SELECT gen_random_uuid(), '{id}', 'x' || n || '@elsewhere.example', now()
           FROM generate_series(1, 999) AS n"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(api.state.pool()).await.unwrap();
    add(&api, "anna@example.com").await.is(StatusCode::OK);
    let full = add(&api, "bert@example.com").await.is_problem(StatusCode::CONFLICT);
    assert_eq!(full.body["detail"], "a group has at most 1000 members");
    // Who is in it stays in it.
    add(&api, "anna@example.com").await.is(StatusCode::OK);
    let (mut seen, mut next) = (0, String::new());
    loop {
        let page = api.get(format!("{TEAM}/members?page_size=100{next}")).await.body;
        seen += page["items"].as_array().unwrap().len();
        match page["next_page_token"].as_str() {
            Some(token) => next = format!("&page_token={token}"),
            None => break,
        }
    }
    assert_eq!(seen, 1_000);
}

#[tokio::test]
async fn group_and_member_are_both_in_the_scope_of_whoever_adds() {
    let World { api, department, .. } = world().await;
    api.domain("example.org").await;
    let carl = api.user("carl@example.org").await;
    let body = json!({"local_part": "all", "posting": "anyone"});
    let all = api.post(PATH, body).await.is(StatusCode::CREATED).id();
    let head = api.department_admin("head@example.com", &department).await;
    let by = |token: &str, method, path: String| api.ask(method, path).by(token).send();

    // A department administrator has the groups of the department, and its people.
    let listed = by(&head, Method::GET, PATH.to_owned()).await.is(StatusCode::OK);
    assert_eq!(listed.items("address"), ["team@example.com"]);
    for (member, wanted) in [
        ("anna@example.com", StatusCode::OK),
        ("x@elsewhere.example", StatusCode::OK),
        ("bert@example.com", StatusCode::NOT_FOUND),
        (carl.as_str(), StatusCode::NOT_FOUND),
    ] {
        by(&head, Method::PUT, format!("{TEAM}/members/{member}")).await.is(wanted);
        let other = by(&head, Method::PUT, format!("/v1/groups/{all}/members/{member}")).await;
        other.is_problem(StatusCode::NOT_FOUND);
    }
    // Of a foreign domain no more is known than of any other: it is an address.
    let foreign = by(&head, Method::PUT, format!("{TEAM}/members/carl@example.org")).await;
    assert!(foreign.is(StatusCode::OK).body["user_id"].is_null());
    for nobody in ["nobody@example.org", "carl@example.org"] {
        by(&head, Method::PUT, format!("{TEAM}/members/{nobody}")).await.is(StatusCode::OK);
        let path = format!("{TEAM}/members/{nobody}");
        by(&head, Method::DELETE, path).await.is(StatusCode::NO_CONTENT);
    }

    // Whoever has the group can rid it of anybody, and learns nothing of who that is.
    add(&api, &carl).await.is(StatusCode::OK);
    add(&api, "bert@example.com").await.is(StatusCode::OK);
    let seen = by(&head, Method::GET, format!("{TEAM}/members")).await.is(StatusCode::OK).body;
    let seen = seen["items"].as_array().unwrap();
    assert_eq!(seen[2]["user_id"], carl);
    assert!(seen[2]["address"].is_null() && seen[3]["address"].is_null(), "{seen:?}");
    let gone = by(&head, Method::DELETE, format!("{TEAM}/members/{carl}")).await;
    gone.is(StatusCode::NO_CONTENT);
    assert_eq!(members(&api).await.len(), 3);

    // Nothing goes out of the scope.
    let patch = json!({"department_id": null});
    let ask = api.ask(Method::PATCH, TEAM).by(&head).header("if-match", "*").json(patch);
    ask.send().await.is_invalid(&["/department_id"]);
    let new = json!({"local_part": "mine"});
    let ask = api.ask(Method::POST, PATH).by(&head).json(new.clone());
    ask.send().await.is_problem(StatusCode::NOT_FOUND);
    let new = json!({"local_part": "mine", "department_id": department});
    api.ask(Method::POST, PATH).by(&head).json(new).send().await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn groups_are_for_administrators() {
    let World { api, anna, .. } = world().await;
    api.domain("example.org").await;
    add(&api, &anna).await.is(StatusCode::OK);
    let foreign = api.domain_admin("admin@example.org").await;
    // A member as well.
    let user = api.sign_in("anna@example.com").await;
    for token in [&foreign, &user] {
        for ask in [
            api.ask(Method::GET, PATH),
            api.ask(Method::POST, PATH).json(json!({"local_part": "x"})),
            api.ask(Method::GET, TEAM),
            api.ask(Method::PATCH, TEAM).header("if-match", "*").json(json!({})),
            api.ask(Method::DELETE, TEAM).header("if-match", "*"),
            api.ask(Method::GET, format!("{TEAM}/members")),
            api.ask(Method::PUT, format!("{TEAM}/members/{anna}")),
            api.ask(Method::DELETE, format!("{TEAM}/members/{anna}")),
            api.ask(Method::GET, format!("{TEAM}/convergence")),
        ] {
            ask.by(token).send().await.is_problem(StatusCode::NOT_FOUND);
        }
    }
    let own = api.domain_admin("admin@example.com").await;
    api.ask(Method::DELETE, TEAM).by(&own).header("if-match", "*").send().await;
    api.get(TEAM).await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn groups_count_on_every_level() {
    let World { api, department, .. } = world().await;
    let below = json!({"name": "North", "parent_id": department});
    let below = api.post("/v1/domains/example.com/departments", below).await.id();
    let of_department = format!("/v1/departments/{department}/allowance");
    let limit = async |path: &str, groups: u32| {
        api.patch(path, json!({"groups": groups})).await.is(StatusCode::OK);
    };
    let refused = |answer: Answer, level: &str, limit: u32| {
        let body = answer.is_problem(StatusCode::CONFLICT).body;
        assert_eq!(body["type"], "urn:umail:problem:limit-exceeded", "{body:#}");
        assert_eq!(
            body["exceeded"],
            json!({"level": level, "name": body["exceeded"]["name"], "kind": "groups",
                "limit": limit, "allocated": limit, "asked": 1})
        );
    };
    limit(&of_department, 1).await;
    let body = json!({"local_part": "north", "department_id": below});
    refused(api.post(PATH, body.clone()).await, "department", 1);
    let all = api.post(PATH, json!({"local_part": "all"})).await.is(StatusCode::CREATED).id();
    let move_in = json!({"department_id": below});
    refused(api.patch(format!("/v1/groups/{all}"), move_in).await, "department", 1);
    limit("/v1/domains/example.com/allowance", 2).await;
    refused(api.post(PATH, json!({"local_part": "more"})).await, "domain", 2);
    limit("/v1/allowance", 2).await;
    api.domain("example.org").await;
    let foreign = api.post("/v1/domains/example.org/groups", json!({"local_part": "x"})).await;
    refused(foreign, "system", 2);

    // It moves with its department, and goes with nothing.
    let full = api.delete(format!("/v1/departments/{department}")).await;
    full.is_problem(StatusCode::CONFLICT);
    api.patch(TEAM, json!({"department_id": below})).await.is(StatusCode::OK);
    let top = json!({"parent_id": null});
    api.patch(format!("/v1/departments/{below}"), top).await.is(StatusCode::OK);
    let left = api.get(&of_department).await.body;
    assert_eq!(left["allocated"]["groups"], 0);
    let gone = api.delete(format!("/v1/departments/{below}")).await;
    let detail = gone.is_problem(StatusCode::CONFLICT).body["detail"].clone();
    assert_eq!(detail, "the department still has users, groups or departments");
    api.delete(TEAM).await.is(StatusCode::NO_CONTENT);
    api.delete(format!("/v1/departments/{below}")).await.is(StatusCode::NO_CONTENT);
    assert_eq!(drift(&api).await, Vec::<String>::new());
    let system = api.get("/v1/allowance").await.body;
    assert_eq!((&system["groups"], &system["allocated"]["groups"]), (&json!(2), &json!(1)));
}
