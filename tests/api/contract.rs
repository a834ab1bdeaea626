//! What holds for the whole document, and for every route in it.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::http;
use umail_tests::api::Api;

/// Routes that need nobody to be signed in.
pub(crate) const PUBLIC: [&str; 3] = ["create_session", "redeem_login_link", "refresh_session"];
/// Routes that are about the caller, whoever it is.
pub(crate) const OWN: [&str; 18] = [
    "list_api_keys",
    "create_api_key",
    "read_api_key",
    "delete_api_key",
    "rotate_api_key",
    "list_audit_events",
    "read_audit_event",
    "export_audit_events",
    "read_me",
    "update_my_password",
    "delete_current_session",
    "list_my_sessions",
    "delete_my_sessions",
    "delete_my_session",
    "read_my_totp",
    "enrol_my_totp",
    "confirm_my_totp",
    "remove_my_totp",
];

/// One call of the document.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Operation {
    pub(crate) fn id(&self) -> &str {
        self.body["operationId"].as_str().unwrap_or_default()
    }

    /// The path with ids and names of the right form.
    pub(crate) fn filled(&self) -> String {
        let id = "01936d5e-0000-7000-8000-000000000000";
        let mut path = self.path.clone();
        for (name, value) in [
            ("{domain}", "example.com"),
            ("{domain_alias}", "example.net"),
            ("{user}", "anna@example.com"),
            ("{group}", "team@example.com"),
            ("{member}", "anna@example.com"),
            ("{node}", "node-1"),
            ("{plan}", "standard"),
            ("{kind}", "postfix"),
            ("{id}", id),
            ("{session}", id),
        ] {
            path = path.replace(name, value);
        }
        assert!(!path.contains('{'), "{path}: fill in the new parameter here");
        path
    }
}

fn document() -> Value {
    serde_json::to_value(http::document()).unwrap()
}

pub(crate) fn operations() -> Vec<Operation> {
    let document = document();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, body) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            operations.push(Operation { method, path: path.clone(), body: body.clone() });
        }
    }
    assert!(operations.len() > 40, "only {} operations", operations.len());
    operations
}

/// Every `$ref` and every schema of a document, wherever it stands.
fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values().for_each(|one| walk(one, visit));
        }
        Value::Array(items) => items.iter().for_each(|one| walk(one, visit)),
        _ => {}
    }
}

#[test]
fn the_document_is_complete() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let tags: Vec<_> =
        document["tags"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    let mut ids = std::collections::BTreeSet::new();
    for operation in operations() {
        let (id, body) = (operation.id(), &operation.body);
        assert!(ids.insert(id.to_owned()), "{id} is there twice");
        let is_named = id.bytes().all(|one| one.is_ascii_lowercase() || one == b'_');
        assert!(!id.is_empty() && is_named, "{} {id}", operation.path);
        let summary = body["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty() && !summary.ends_with('.'), "{id}: {summary:?}");
        for tag in body["tags"].as_array().unwrap() {
            assert!(tags.contains(&tag), "{id}: {tag} is not declared");
        }
        assert_eq!(body["tags"].as_array().unwrap().len(), 1, "{id}");
        assert!(body["security"].is_array(), "{id} has no security");
        for parameter in body["parameters"].as_array().unwrap_or(&Vec::new()) {
            let text = parameter["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{id}: {parameter}");
        }
        let responses = body["responses"].as_object().unwrap();
        assert!(responses.contains_key("default"), "{id}");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{id}");
        for (status, response) in responses {
            let text = response["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{id} {status} has no description");
            if !status.starts_with('2') {
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{id} {status}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut broken = Vec::new();
    walk(&document, &mut |object| {
        if let Some(target) = object.get("$ref").and_then(Value::as_str)
            && document.pointer(target.trim_start_matches('#')).is_none()
        {
            broken.push(target.to_owned());
        }
    });
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn every_parameter_of_a_path_is_declared() {
    for operation in operations() {
        let declared: Vec<_> = operation.body["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["in"] == "path")
            .map(|one| format!("{{{}}}", one["name"].as_str().unwrap()))
            .collect();
        let used: Vec<_> = operation.path.split('/').filter(|part| part.starts_with('{')).collect();
        assert_eq!(declared, used, "{}", operation.id());
    }
}

#[tokio::test]
async fn every_route_refuses_who_is_not_signed_in() {
    let api = Api::start().await;
    for operation in operations() {
        if PUBLIC.contains(&operation.id()) {
            assert_eq!(operation.body["security"], json!([{}]), "{}", operation.id());
            continue;
        }
        assert_eq!(operation.body["security"], json!([{"bearer": []}]), "{}", operation.id());
        for token in [None, Some(""), Some("nonsense"), Some("a.b.c")] {
            let ask = api.ask(operation.method.clone(), operation.filled()).anonymous();
            let ask = match token {
                Some(token) => ask.by(token),
                None => ask,
            };
            let answer = ask.header("if-match", "*").json(json!({})).send().await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", operation.id());
        }
    }
}

#[tokio::test]
async fn every_route_refuses_a_stranger() {
    let api = Api::start().await;
    api.domain("other.example").await;
    api.user("stranger@other.example").await;
    let stranger = api.sign_in("stranger@other.example").await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let bodies = bodies();
    for operation in operations() {
        if PUBLIC.contains(&operation.id()) || OWN.contains(&operation.id()) {
            continue;
        }
        let ask = api.ask(operation.method.clone(), operation.filled()).by(&stranger);
        let ask = match bodies.get(operation.id()) {
            Some(body) => ask.json(body.clone()),
            None => ask,
        };
        let answer = ask.header("if-match", "*").send().await;
        assert!(
            [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&answer.status),
            "{}: {} {:#}",
            operation.id(),
            answer.status,
            answer.body
        );
    }
}

/// A body that each route with a required body takes, so that the refusal is about the role.
pub(crate) fn bodies() -> serde_json::Map<String, Value> {
    let bodies = json!({
        "create_operator": {"name": "x", "role": "system_admin", "password": "correct horse"},
        "update_operator": {},
        "update_settings": {},
        "update_allowance": {},
        "update_domain_allowance": {},
        "create_plan": {"name": "x", "quota_bytes": 1},
        "update_plan": {},
        "update_department_allowance": {},
        "create_domain": {"name": "new.example"},
        "update_domain": {},
        "create_domain_alias": {"name": "new.example"},
        "create_department": {"name": "x"},
        "update_department": {},
        "create_user": {"local_part": "x", "password": "correct horse"},
        "update_user": {},
        "update_user_password": {"new_password": "correct horse"},
        "create_app_password": {"label": "x"},
        "create_login_link": {},
        "create_role_assignment": {"role": "domain_admin"},
        "update_forwarding": {"targets": [], "keep_copy": true},
        "update_autoreply": {"enabled": false},
        "create_import": {},
        "create_domain_import": {},
        "create_bulk_change": {"filter": {}, "change": {"status": "active"}},
        "create_alias": {"local_part": "x", "targets": ["x@example.org"]},
        "update_alias": {},
        "create_group": {"local_part": "x"},
        "update_group": {},
        "move_mailbox": {"storage_node": "node-1"},
        "update_node": {},
        "update_service": {},
        "create_join_token": {"node_name": "x", "roles": ["smtp"]},
    });
    match bodies {
        Value::Object(bodies) => bodies,
        _ => serde_json::Map::new(),
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let api = Api::start().await;
    api.get("/v1/nothing").await.is_problem(StatusCode::NOT_FOUND);
    let wrong = api.ask(Method::PATCH, "/v1/me").send().await;
    wrong.is_problem(StatusCode::METHOD_NOT_ALLOWED);
    let allow = api.ask(Method::DELETE, "/v1/me").send().await;
    assert!(allow.headers["allow"].to_str().unwrap().contains("GET"));
}

#[tokio::test]
async fn the_document_and_its_reader_are_served() {
    let api = Api::start().await;
    let served = api.ask(Method::GET, "/openapi.json").anonymous().send().await;
    assert_eq!(served.is(StatusCode::OK).body, document());
    let page = api.ask(Method::GET, "/docs/").anonymous().send().await.is(StatusCode::OK);
    let page = page.body.as_str().unwrap().to_owned();
    for outside in ["http://", "https://", "src=\"//"] {
        assert!(!page.contains(outside), "the page loads something from outside: {page}");
    }
}

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/umail.json");
    let committed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(committed == document(), "openapi/umail.json is of another version: make openapi");
}

#[tokio::test]
async fn a_database_that_is_away_is_worth_another_try() {
    let api = Api::start().await;
    api.state.pool().close();
    let answer = api.get("/v1/operators").await.is_problem(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
    assert!(!answer.body.to_string().contains("pool"), "the cause is nobody's business");
}

#[tokio::test]
async fn answers_are_not_kept_by_caches() {
    let api = Api::start().await;
    for path in ["/v1/me", "/v1/nothing"] {
        let answer = api.get(path).await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
    }
}
