//! `/v1/audit_events`: who sees what, and what is written.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod chain;
mod hidden;
mod pages;
mod security;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::model::operator::OperatorRole;
use umail_tests::api::{Answer, Api};

const PATH: &str = "/v1/audit_events";

async fn events(api: &Api, token: &str, query: &str) -> Vec<Value> {
    let answer = api.ask(Method::GET, format!("{PATH}{query}")).by(token).send().await;
    answer.is(StatusCode::OK).body["items"].as_array().unwrap().clone()
}

/// What was done to what, the newest first, signing in left out.
async fn changes(api: &Api, token: &str, query: &str) -> Vec<String> {
    let query = format!("?kind=change{query}");
    let events = events(api, token, &query).await;
    let word = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    events.iter().map(|one| format!("{} {}", word(one, "action"), word(one, "resource"))).collect()
}

/// A domain with an administrator, a department with its head, and members inside and outside.
struct Staff {
    domain: String,
    department: String,
    admin: String,
    head: String,
    inside: String,
    outside: String,
}

async fn staff(api: &Api, name: &str) -> Staff {
    api.domain(name).await;
    let domain = api.get(format!("/v1/domains/{name}")).await.id();
    let body = json!({"name": "sales"});
    let department = api.post(format!("/v1/domains/{name}/departments"), body).await.id();
    let admin = api.domain_admin(&format!("admin@{name}")).await;
    let head = api.department_admin(&format!("head@{name}"), &department).await;
    let mut members = Vec::new();
    for who in ["inside", "outside"] {
        let address = format!("{who}@{name}");
        let id = api.user(&address).await;
        if who == "inside" {
            let body = json!({"department_id": department});
            api.patch(format!("/v1/users/{id}"), body).await.is(StatusCode::OK);
        }
        members.push(api.sign_in(&address).await);
    }
    let [inside, outside] = members.try_into().unwrap();
    Staff { domain, department, admin, head, inside, outside }
}

async fn rename(api: &Api, token: &str, address: &str) -> Answer {
    let ask = api.ask(Method::PATCH, format!("/v1/users/{address}")).by(token);
    let ask = ask.header("if-match", "*").json(json!({"display_name": address}));
    ask.send().await.is(StatusCode::OK)
}

#[tokio::test]
async fn an_event_tells_who_from_where_what_and_what_it_was_before() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let anna = api.user("anna@example.com").await;
    let ask = api.ask(Method::PATCH, "/v1/users/anna@example.com").header("if-match", "*");
    let ask = ask.header("x-request-id", "request-of-the-test");
    let done = ask.json(json!({"display_name": "Anna"})).send().await.is(StatusCode::OK);
    let me = api.get("/v1/me").await.id();
    let page = api.get(format!("{PATH}?resource=user&action=update")).await;
    let event = &page.body["items"][0];
    assert_eq!(event["actor_kind"], "operator");
    assert_eq!(event["actor_id"], me.as_str());
    assert_eq!(event["actor"], api.get("/v1/me").await.body["name"]);
    assert_eq!(event["client_address"], "127.0.0.1");
    assert_eq!(event["resource_id"], anna.as_str());
    assert_eq!(event["user_id"], anna.as_str());
    assert_eq!(event["domain_id"], done.body["domain_id"]);
    assert_eq!(event["before"]["display_name"], "");
    assert_eq!(event["after"]["display_name"], "Anna");
    assert_eq!(event["request_id"], "request-of-the-test");
    // Secrets never.
    let all = api.get(format!("{PATH}?page_size=100")).await.body.to_string();
    assert!(!all.contains("argon2") && !all.contains(umail_tests::api::PASSWORD), "{all}");
}

#[tokio::test]
async fn everybody_sees_the_events_of_the_own_scope() {
    let api = Api::start().await;
    let (near, far) = (staff(&api, "near.example").await, staff(&api, "far.example").await);
    for address in ["inside@near.example", "outside@near.example"] {
        rename(&api, &near.admin, address).await;
    }
    rename(&api, &far.admin, "inside@far.example").await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let sue = api.sign_in("super").await;
    let root = api.sign_in("root").await;

    let all = events(&api, &root, "?page_size=100").await;
    let domains = |seen: &[Value]| {
        let mut domains: Vec<_> =
            seen.iter().map(|one| one["domain_id"].as_str().unwrap_or("-").to_owned()).collect();
        domains.sort();
        domains.dedup();
        domains
    };
    assert!(domains(&all).contains(&"-".to_owned()));
    let of_domains = events(&api, &sue, "?kind=change&page_size=100").await;
    let mut both = vec![near.domain.clone(), far.domain.clone()];
    both.sort();
    assert_eq!(domains(&of_domains), both);

    let of_admin = events(&api, &near.admin, "?page_size=100").await;
    assert_eq!(domains(&of_admin), std::slice::from_ref(&near.domain));
    assert!(of_admin.iter().any(|one| one["resource"] == "domain"));
    let of_head = events(&api, &near.head, "?kind=change&page_size=100").await;
    assert!(!of_head.is_empty());
    // What is about oneself counts wherever one was then.
    let me = api.get("/v1/users/head@near.example").await.id();
    for event in of_head.iter().filter(|one| one["user_id"] != me.as_str()) {
        assert_eq!(event["department_id"], near.department.as_str(), "{event:#}");
    }
    assert_eq!(
        changes(&api, &near.inside, "").await,
        ["update user", "update user", "create user"]
    );
    assert_eq!(changes(&api, &near.outside, "").await, ["update user", "create user"]);
    assert_eq!(changes(&api, &far.outside, "").await, ["create user"]);
    // What is asked for outside of the scope is not there, however it is asked for.
    let inside = api.get("/v1/users/inside@far.example").await.id();
    for query in [
        format!("&user={inside}"),
        format!("&resource_id={inside}"),
        format!("&domain={}", far.domain),
        format!("&actor={inside}"),
    ] {
        for token in [&near.admin, &near.head, &near.inside] {
            assert!(changes(&api, token, &query).await.is_empty(), "{query}");
        }
    }
    for query in ["?user=inside@far.example", "?domain=far.example"] {
        let ask = api.ask(Method::GET, format!("{PATH}{query}")).by(&near.admin);
        ask.send().await.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn each_filter_finds_what_it_says() {
    let api = Api::start().await;
    let staff = staff(&api, "example.com").await;
    rename(&api, &staff.admin, "inside@example.com").await;
    let root = api.sign_in("root").await;
    let inside = api.get("/v1/users/inside@example.com").await.id();
    let by_admin = changes(&api, &root, "&actor=admin@example.com").await;
    assert_eq!(by_admin, ["update user"]);
    for query in ["&user=inside@example.com".to_owned(), format!("&resource_id={inside}")] {
        let expected = ["update user", "update user", "create user"];
        assert_eq!(changes(&api, &root, &query).await, expected, "{query}");
    }
    let both = changes(&api, &root, "&user=inside@example.com&actor=admin@example.com").await;
    assert_eq!(both, ["update user"]);
    let roles = changes(&api, &root, "&domain=example.com&resource=role%20assignment").await;
    assert_eq!(roles, ["create role assignment"; 2]);
    let of_head = changes(&api, &staff.head, "&domain=example.com&action=create").await;
    assert_eq!(of_head, ["create role assignment", "create user", "create department"]);
    assert_eq!(changes(&api, &root, "&action=delete").await, [""; 0]);

    let all = events(&api, &root, "?page_size=100").await;
    let at = |place: usize| all[place]["at"].as_str().unwrap().replace('+', "%2B");
    let from = events(&api, &root, &format!("?page_size=100&from={}", at(3))).await;
    assert_eq!(from, all[..4]);
    let to = events(&api, &root, &format!("?page_size=100&to={}", at(3))).await;
    assert_eq!(to, all[4..]);

    for (query, field) in [
        ("?page_size=0", "page_size"),
        ("?from=yesterday", "query"),
        ("?kind=rumour", "query"),
        ("?resource_id=x", "query"),
        ("?colour=red", "query"),
        ("?actor=%00", "actor"),
        ("?user=nobody@example.com", "user"),
        ("?domain=nowhere.example", "domain"),
    ] {
        api.get(format!("{PATH}{query}")).await.is_invalid(&[field]);
    }
}

#[tokio::test]
async fn pages_lead_to_the_oldest_event_without_gap_or_repeat() {
    let api = Api::start().await;
    let staff = staff(&api, "example.com").await;
    let root = api.sign_in("root").await;
    for token in [&root, &staff.admin, &staff.head, &staff.inside] {
        let all = events(&api, token, "?page_size=100").await;
        let (mut seen, mut query) = (Vec::new(), "?page_size=2".to_owned());
        loop {
            let page = api.ask(Method::GET, format!("{PATH}{query}")).by(token).send().await;
            seen.extend(page.body["items"].as_array().unwrap().clone());
            let Some(next) = page.body["next_page_token"].as_str() else { break };
            query = format!("?page_size=2&page_token={next}");
        }
        assert_eq!(seen, all);
        assert!(
            all.len() > 1
                && all.windows(2).all(|two| two[0]["id"].as_str() > two[1]["id"].as_str())
        );
    }
}

#[tokio::test]
async fn an_export_is_all_that_the_list_shows() {
    let api = Api::start().await;
    let staff = staff(&api, "example.com").await;
    let rows = "INSERT INTO audit_event
                    (id, at, kind, actor_kind, action, resource, request_id, domain_id)
                SELECT gen_random_uuid(), now(), 'change', 'system', 'x', '=x', 'a,\"b\"', id
                  FROM domain, generate_series(1, 1100)";
    sqlx::raw_sql(rows).execute(api.state.pool()).await.unwrap();
    let path = format!("{PATH}/export");
    let ask = api.ask(Method::GET, path.clone()).by(&staff.admin).send().await.is(StatusCode::OK);
    assert_eq!(ask.headers["content-type"], "application/x-ndjson");
    let text = ask.body.as_str().unwrap().to_owned();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 1_100, "{}", lines.len());
    assert!(lines.iter().all(|one| one["domain_id"] == staff.domain.as_str()));
    let list = events(&api, &staff.admin, "?page_size=100").await;
    assert_eq!(lines[..list.len()], list);
    let csv = api.ask(Method::GET, path.clone()).by(&staff.admin).header("accept", "text/csv");
    let csv = csv.send().await.is(StatusCode::OK).body.as_str().unwrap().to_owned();
    assert_eq!(csv.lines().count(), lines.len() + 1);
    assert!(csv.starts_with("id,at,kind,") && csv.contains(",\"'=x\","), "{}", &csv[..300]);
    let wrong = api.get(format!("{path}?page_size=5")).await;
    wrong.is_invalid(&["query"]);
}

#[tokio::test]
async fn one_event_is_read_by_whoever_sees_it_in_a_list_and_names_are_for_whoever_may_know_them() {
    let api = Api::start().await;
    let one = staff(&api, "one.example").await;
    let other = staff(&api, "two.example").await;
    rename(&api, &one.admin, "inside@one.example").await;
    api.patch("/v1/users/outside@one.example", json!({"display_name": "O"}))
        .await
        .is(StatusCode::OK);
    let events = events(&api, &one.admin, "?resource=user&action=update").await;
    let [by_operator, by_admin] = [&events[0], &events[1]];
    assert_eq!(by_admin["actor"], "admin@one.example");
    assert_eq!(
        (&by_operator["actor_kind"], &by_operator["actor"]),
        (&json!("operator"), &json!(null))
    );
    let path = format!("{PATH}/{}", by_admin["id"].as_str().unwrap());
    for (token, status) in [
        (&one.admin, StatusCode::OK),
        (&one.inside, StatusCode::OK),
        (&one.head, StatusCode::OK),
        (&one.outside, StatusCode::NOT_FOUND),
        (&other.admin, StatusCode::NOT_FOUND),
        (&other.inside, StatusCode::NOT_FOUND),
    ] {
        let answer = api.ask(Method::GET, &path).by(token).send().await;
        let answer =
            if status.is_success() { answer.is(status) } else { answer.is_problem(status) };
        if token == &one.inside {
            assert_eq!(answer.body["actor"], json!(null), "an administrator is not shown to users");
        }
    }
    let event = api.get(&path).await.is(StatusCode::OK).body;
    assert_eq!((&event["actor"], &event["id"]), (&by_admin["actor"], &by_admin["id"]));
    for filter in ["resource", "action"] {
        for text in ["%00", "", "a'b", "%F0%9F%90%98"] {
            api.get(format!("{PATH}?{filter}={text}"))
                .await
                .is_problem(StatusCode::UNPROCESSABLE_ENTITY);
        }
    }
    let missing = format!("{PATH}/01a21851-5eb7-718e-ad9b-4d08d56e538d");
    api.get(missing).await.is_problem(StatusCode::NOT_FOUND);
    api.get(format!("{PATH}/none")).await.is_problem(StatusCode::NOT_FOUND);
}
