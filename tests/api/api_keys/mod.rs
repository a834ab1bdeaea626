//! `/v1/api_keys`: what a key may, and what ends it.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{Duration, format_description::well_known::Rfc3339};
use umail_api::model::operator::OperatorRole;
use umail_proto::clock::Clock;
use umail_tests::api::{Answer, Api, PASSWORD};

use crate::contract::operations;

const PATH: &str = "/v1/api_keys";

/// Makes a key by this access token; returns its id and its secret.
async fn make(api: &Api, token: &str, body: Value) -> (String, String) {
    let answer = api.ask(Method::POST, PATH).by(token).json(body).send().await;
    let answer = answer.is(StatusCode::CREATED);
    (answer.id(), answer.body["secret"].as_str().unwrap().to_owned())
}

async fn get(api: &Api, token: &str, path: &str) -> Answer {
    api.ask(Method::GET, path).by(token).send().await
}

async fn rename(api: &Api, token: &str, user: &str) -> Answer {
    let ask = api.ask(Method::PATCH, format!("/v1/users/{user}")).by(token);
    ask.header("if-match", "*").json(json!({"display_name": "x"})).send().await
}

/// Asks until the answer has this status; a second is what it may take.
async fn within_a_second(api: &Api, token: &str, path: &str, status: StatusCode) {
    let start = std::time::Instant::now();
    while get(api, token, path).await.status != status {
        assert!(start.elapsed() < std::time::Duration::from_secs(1), "{path} is not {status}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn world() -> Api {
    let api = Api::start().await;
    for name in ["example.com", "example.net"] {
        api.domain(name).await;
        api.user(&format!("anna@{name}")).await;
    }
    api
}

#[tokio::test]
async fn a_key_acts_on_behalf_of_its_maker_and_the_audit_says_so() {
    let api = world().await;
    let admin = api.domain_admin("admin@example.com").await;
    let (id, secret) = make(&api, &admin, json!({"name": "HR system"})).await;
    assert!(secret.starts_with("umk_") && secret.len() == 47, "{secret}");
    let me = get(&api, &secret, "/v1/me").await.is(StatusCode::OK);
    assert_eq!(me.body["name"], "admin@example.com");
    assert_eq!(me.body["api_key_id"], id.as_str());
    assert_eq!(me.body["roles"][0]["role"], "domain_admin");
    rename(&api, &secret, "anna@example.com").await.is(StatusCode::OK);
    rename(&api, &secret, "anna@example.net").await.is_problem(StatusCode::NOT_FOUND);
    let body = json!({"local_part": "carl", "password": PASSWORD});
    let ask = api.ask(Method::POST, "/v1/domains/example.com/users").by(&secret).json(body);
    ask.header("idempotency-key", "once").send().await.is(StatusCode::CREATED);
    // What the maker has sent is answered to the maker only.
    let body = json!({"local_part": "carl", "password": PASSWORD});
    let ask = api.ask(Method::POST, "/v1/domains/example.com/users").by(&admin).json(body);
    ask.header("idempotency-key", "once").send().await.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
    let page = api.get(format!("/v1/audit_events?actor={}", me.id())).await;
    let event = &page.body["items"][0];
    assert_eq!((&event["action"], &event["resource"]), (&json!("create"), &json!("user")));
    assert_eq!(event["api_key_id"], id.as_str());
    assert_eq!(event["actor_kind"], "user");

    let shown = get(&api, &admin, &format!("{PATH}/{id}")).await.is(StatusCode::OK);
    assert_eq!(shown.body["prefix"], secret[..12]);
    assert!(shown.body["last_used_at"].is_string());
    assert!(!shown.body.to_string().contains(&secret), "the secret is shown once");
    let audit = api.get("/v1/audit_events?resource=API%20key").await;
    assert!(audit.body["items"][0]["after"]["name"] == "HR system");
    assert!(!audit.body.to_string().contains(&secret));
    // Others have nothing to do with it.
    let other = api.domain_admin("other@example.com").await;
    for method in [Method::GET, Method::DELETE] {
        let ask = api.ask(method, format!("{PATH}/{id}")).by(&other).send().await;
        ask.is_problem(StatusCode::NOT_FOUND);
    }
    let rotate = api.ask(Method::POST, format!("{PATH}/{id}/rotate")).by(&other).json(json!({}));
    rotate.send().await.is_problem(StatusCode::NOT_FOUND);
    assert_eq!(get(&api, &admin, PATH).await.items("id"), [id.as_str()]);
    assert!(get(&api, &other, PATH).await.items("id").is_empty());
}

#[tokio::test]
async fn a_key_has_a_part_of_the_rights_of_its_maker() {
    let api = world().await;
    let root = api.sign_in("root").await;
    let domain = api.get("/v1/domains/example.com").await.id();
    let body = json!({"name": "sales"});
    let sales = api.post("/v1/domains/example.com/departments", body).await.id();
    api.user("inside@example.com").await;
    let body = json!({"department_id": sales});
    api.patch("/v1/users/inside@example.com", body).await.is(StatusCode::OK);

    let body = json!({"name": "x", "role": "domain_admin", "domain_id": domain});
    let (_, of_domain) = make(&api, &root, body).await;
    rename(&api, &of_domain, "anna@example.com").await.is(StatusCode::OK);
    rename(&api, &of_domain, "anna@example.net").await.is_problem(StatusCode::NOT_FOUND);
    assert_eq!(get(&api, &of_domain, "/v1/domains").await.items("name"), ["example.com"]);
    get(&api, &of_domain, "/v1/nodes").await.is_problem(StatusCode::FORBIDDEN);
    let me = get(&api, &of_domain, "/v1/me").await.is(StatusCode::OK);
    assert_eq!((&me.body["name"], &me.body["kind"]), (&json!("root"), &json!("operator")));
    let event = api.get("/v1/audit_events?resource=user&action=update").await;
    assert_eq!(event.body["items"][0]["actor_kind"], "operator");
    assert_eq!(event.body["items"][0]["actor_id"], me.id().as_str());

    let body = json!({"name": "x", "role": "department_admin", "department_id": sales});
    let (_, of_department) = make(&api, &root, body).await;
    rename(&api, &of_department, "inside@example.com").await.is(StatusCode::OK);
    rename(&api, &of_department, "anna@example.com").await.is_problem(StatusCode::NOT_FOUND);

    let (_, of_all) = make(&api, &root, json!({"name": "x", "role": "super_domain_admin"})).await;
    rename(&api, &of_all, "anna@example.net").await.is(StatusCode::OK);
    get(&api, &of_all, "/v1/nodes").await.is_problem(StatusCode::FORBIDDEN);

    let (_, reader) = make(&api, &root, json!({"name": "x", "read_only": true})).await;
    get(&api, &reader, "/v1/nodes").await.is(StatusCode::OK);
    rename(&api, &reader, "anna@example.com").await.is_problem(StatusCode::FORBIDDEN);
    let ask = api.ask(Method::POST, "/v1/domains").by(&reader).json(json!({"name": "new.example"}));
    ask.send().await.is_problem(StatusCode::FORBIDDEN);

    // The own account is not part of a role elsewhere: else a key could lead its maker's mail away.
    let admin = api.domain_admin("admin@example.com").await;
    let body = json!({"name": "x", "role": "department_admin", "department_id": sales});
    let (_, narrow) = make(&api, &admin, body).await;
    let forwarding = "/v1/users/admin@example.com/forwarding";
    get(&api, &narrow, forwarding).await.is_problem(StatusCode::NOT_FOUND);
    let (_, own) = make(&api, &admin, json!({"name": "x", "role": "user"})).await;
    get(&api, &own, "/v1/users/admin@example.com").await.is(StatusCode::OK);
    rename(&api, &own, "anna@example.com").await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_more_than_its_maker() {
    let api = world().await;
    let net = api.get("/v1/domains/example.net").await.id();
    let com = api.get("/v1/domains/example.com").await.id();
    let body = json!({"name": "sales"});
    let sales = api.post("/v1/domains/example.com/departments", body.clone()).await.id();
    let foreign = api.post("/v1/domains/example.net/departments", body).await.id();
    let admin = api.domain_admin("admin@example.com").await;
    let head = api.department_admin("head@example.com", &sales).await;
    let anna = api.sign_in("anna@example.com").await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let sue = api.sign_in("super").await;
    let of_domain = |id: &str| json!({"role": "domain_admin", "domain_id": id});
    let of_department = |id: &str| json!({"role": "department_admin", "department_id": id});
    let nothing = "01936d5e-0000-7000-8000-000000000000";
    for (token, scope, field) in [
        (&admin, of_domain(&net), "/domain_id"),
        (&admin, of_domain(nothing), "/domain_id"),
        (&admin, of_department(&foreign), "/department_id"),
        (&admin, of_department(nothing), "/department_id"),
        (&admin, json!({"role": "super_domain_admin"}), "/role"),
        (&admin, json!({"role": "system_admin"}), "/role"),
        (&admin, json!({"role": "domain_admin"}), "/domain_id"),
        (&admin, json!({"role": "user", "domain_id": com}), "/domain_id"),
        (&admin, json!({"domain_id": com}), "/domain_id"),
        (&admin, json!({"role": "department_admin"}), "/department_id"),
        (&head, of_domain(&com), "/domain_id"),
        (&anna, of_domain(&com), "/domain_id"),
        (&anna, of_department(&sales), "/department_id"),
        (&sue, json!({"role": "system_admin"}), "/role"),
        (&sue, json!({"role": "user"}), "/role"),
        (&admin, json!({"name": ""}), "/name"),
        (&admin, json!({"networks": ["192.0.2.1/24"]}), "/networks"),
        (&admin, json!({"expires_at": "2020-01-01T00:00:00Z"}), "/expires_at"),
        (&admin, json!({"expires_at": "2099-01-01T00:00:00Z"}), "/expires_at"),
    ] {
        let mut body = json!({"name": "x"});
        body.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
        let ask = api.ask(Method::POST, PATH).by(token).json(body.clone()).send().await;
        assert_eq!(ask.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        ask.is_invalid(&[field]);
    }
    make(&api, &head, json!({"name": "x", "role": "department_admin", "department_id": sales}))
        .await;
    make(&api, &admin, json!({"name": "x", "role": "department_admin", "department_id": sales}))
        .await;
}

#[tokio::test]
async fn a_key_shrinks_and_dies_with_its_maker_within_a_second() {
    let api = world().await;
    let role = {
        let admin = api.user("admin@example.com").await;
        let body = json!({"role": "domain_admin"});
        api.post(format!("/v1/users/{admin}/role_assignments"), body).await.id()
    };
    let admin = api.sign_in("admin@example.com").await;
    let domain = api.get("/v1/domains/example.com").await.id();
    let (_, whole) = make(&api, &admin, json!({"name": "x"})).await;
    let body = json!({"name": "x", "role": "domain_admin", "domain_id": domain});
    let (_, narrow) = make(&api, &admin, body).await;
    let anna = "/v1/users/anna@example.com";
    for key in [&whole, &narrow] {
        get(&api, key, anna).await.is(StatusCode::OK);
    }
    api.delete(format!("/v1/role_assignments/{role}")).await.is(StatusCode::NO_CONTENT);
    within_a_second(&api, &whole, anna, StatusCode::NOT_FOUND).await;
    within_a_second(&api, &narrow, anna, StatusCode::UNAUTHORIZED).await;
    api.assign("admin@example.com", "domain_admin", None).await;
    within_a_second(&api, &narrow, anna, StatusCode::OK).await;
    for (status, answer) in [("suspended", StatusCode::UNAUTHORIZED), ("active", StatusCode::OK)] {
        let body = json!({"status": status});
        api.patch("/v1/users/admin@example.com", body).await.is(StatusCode::OK);
        within_a_second(&api, &whole, anna, answer).await;
        within_a_second(&api, &narrow, anna, answer).await;
    }
    // Whoever reset the password of an account does not trust it until its owner has changed it.
    let body = json!({"new_password": "many small blue whales"});
    api.put("/v1/users/admin@example.com/password", body).await.is(StatusCode::NO_CONTENT);
    within_a_second(&api, &whole, anna, StatusCode::FORBIDDEN).await;
    api.delete("/v1/users/admin@example.com").await.is(StatusCode::NO_CONTENT);
    within_a_second(&api, &whole, anna, StatusCode::UNAUTHORIZED).await;

    // An operator who is demoted, and one who is gone.
    api.operator("sue", OperatorRole::SystemAdmin).await;
    let sue = api.sign_in("sue").await;
    let (_, key) = make(&api, &sue, json!({"name": "x", "role": "system_admin"})).await;
    get(&api, &key, "/v1/nodes").await.is(StatusCode::OK);
    let id = get(&api, &sue, "/v1/me").await.id();
    let body = json!({"role": "super_domain_admin"});
    api.patch(format!("/v1/operators/{id}"), body).await.is(StatusCode::OK);
    within_a_second(&api, &key, "/v1/nodes", StatusCode::FORBIDDEN).await;
    api.delete(format!("/v1/operators/{id}")).await.is(StatusCode::NO_CONTENT);
    within_a_second(&api, &key, "/v1/nodes", StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_key_is_good_from_its_networks_until_it_expires_or_is_revoked() {
    let clock = Clock::manual(Clock::system().now());
    let api = Api::start_at(clock.clone()).await;
    let root = api.sign_in("root").await;
    let networks = json!(["192.0.2.0/24", "2001:db8::/32"]);
    let body = json!({"name": "x", "networks": networks});
    let (id, far) = make(&api, &root, body).await;
    let refused = get(&api, &far, "/v1/me").await.is_problem(StatusCode::UNAUTHORIZED);
    let wrong = get(&api, "umk_nonsense", "/v1/me").await.is_problem(StatusCode::UNAUTHORIZED);
    assert_eq!(refused.body["detail"], wrong.body["detail"], "a thief learns nothing");
    let page = get(&api, &root, "/v1/audit_events?action=key_refused").await;
    assert_eq!(page.body["items"][0]["resource_id"], id.as_str());
    let (_, near) = make(&api, &root, json!({"name": "x", "networks": ["127.0.0.0/8"]})).await;
    get(&api, &near, "/v1/me").await.is(StatusCode::OK);

    let end = (clock.now() + Duration::minutes(10)).format(&Rfc3339).unwrap();
    let (_, short) = make(&api, &root, json!({"name": "x", "expires_at": end})).await;
    let (id, revoked) = make(&api, &root, json!({"name": "x"})).await;
    get(&api, &short, "/v1/me").await.is(StatusCode::OK);
    get(&api, &revoked, "/v1/me").await.is(StatusCode::OK);
    let ask = api.ask(Method::DELETE, format!("{PATH}/{id}")).by(&root).send().await;
    ask.is(StatusCode::NO_CONTENT);
    get(&api, &revoked, "/v1/me").await.is_problem(StatusCode::UNAUTHORIZED);
    clock.advance(Duration::minutes(10));
    within_a_second(&api, &short, "/v1/me", StatusCode::UNAUTHORIZED).await;
    get(&api, &near, "/v1/me").await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_rotated_key_is_good_by_both_secrets_for_as_long_as_was_said() {
    let clock = Clock::manual(Clock::system().now());
    let api = Api::start_at(clock.clone()).await;
    let root = api.sign_in("root").await;
    let (id, first) = make(&api, &root, json!({"name": "x"})).await;
    let rotate = |body: Value| {
        let ask = api.ask(Method::POST, format!("{PATH}/{id}/rotate")).by(&root).json(body);
        ask.send()
    };
    rotate(json!({"overlap_seconds": 604_801})).await.is_invalid(&["/overlap_seconds"]);
    let answer = rotate(json!({"overlap_seconds": 600})).await.is(StatusCode::OK);
    let second = answer.body["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    for secret in [&first, &second] {
        assert_eq!(get(&api, secret, "/v1/me").await.body["api_key_id"], id.as_str());
    }
    clock.advance(Duration::minutes(10));
    within_a_second(&api, &first, "/v1/me", StatusCode::UNAUTHORIZED).await;
    get(&api, &second, "/v1/me").await.is(StatusCode::OK);
    let answer = rotate(json!({"overlap_seconds": 0})).await.is(StatusCode::OK);
    get(&api, &second, "/v1/me").await.is_problem(StatusCode::UNAUTHORIZED);
    let third = answer.body["secret"].as_str().unwrap().to_owned();
    get(&api, &third, "/v1/me").await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_compromised_user_has_no_keys_any_more() {
    let api = world().await;
    let anna = api.sign_in("anna@example.com").await;
    let (_, key) = make(&api, &anna, json!({"name": "x"})).await;
    let path = "/v1/users/anna@example.com/compromised";
    api.post(path, json!({})).await.is(StatusCode::ACCEPTED);
    within_a_second(&api, &key, "/v1/me", StatusCode::UNAUTHORIZED).await;
    let active = json!({"status": "active"});
    api.patch("/v1/users/anna@example.com", active).await.is(StatusCode::OK);
    get(&api, &key, "/v1/me").await.is_problem(StatusCode::UNAUTHORIZED);
}

/// What is for people only, whatever the key may otherwise.
pub(crate) const FOR_PEOPLE: [&str; 35] = [
    "confirm_my_totp",
    "create_api_key",
    "create_app_password",
    "create_domain_import",
    "create_import",
    "create_login_link",
    "create_operator",
    "create_role_assignment",
    "delete_api_key",
    "delete_app_password",
    "delete_current_session",
    "delete_my_session",
    "delete_my_sessions",
    "delete_operator",
    "delete_operator_lockout",
    "delete_operator_session",
    "delete_operator_sessions",
    "delete_operator_totp",
    "delete_user_lockout",
    "delete_user_session",
    "delete_user_sessions",
    "delete_user_totp",
    "enrol_my_totp",
    "list_api_keys",
    "list_my_sessions",
    "list_operator_sessions",
    "list_user_sessions",
    "read_api_key",
    "read_my_totp",
    "remove_my_totp",
    "rotate_api_key",
    "secure_account",
    "update_my_password",
    "update_operator",
    "update_user_password",
];

#[tokio::test]
async fn keys_have_nothing_to_do_with_keys_passwords_second_factors_and_sign_ins() {
    let api = world().await;
    let root = api.sign_in("root").await;
    let (_, key) = make(&api, &root, json!({"name": "x", "role": "system_admin"})).await;
    let mut refused = Vec::new();
    for operation in operations() {
        let ask = api.ask(operation.method.clone(), operation.filled()).by(&key);
        let ask = match crate::contract::bodies().get(operation.id()) {
            Some(body) => ask.json(body.clone()),
            None => match crate::matrix::bodies(operation.id()).into_iter().next() {
                Some((_, body)) => ask.json(body),
                None => ask,
            },
        };
        let answer = ask.header("if-match", "\"999\"").send().await;
        if answer.status == StatusCode::FORBIDDEN {
            assert!(answer.body["detail"].to_string().contains("API key"), "{}", answer.body);
            refused.push(operation.id().to_owned());
        }
    }
    refused.sort();
    assert_eq!(refused, FOR_PEOPLE);
}

#[tokio::test]
async fn a_key_does_not_fill_the_import_of_its_maker() {
    let api = world().await;
    let root = api.sign_in("root").await;
    let (_, key) = make(&api, &root, json!({"name": "x", "role": "system_admin"})).await;
    let import = api.post("/v1/domains/example.com/imports", json!({})).await.id();
    let content = api.ask(Method::PUT, format!("/v1/imports/{import}/content?offset=0"));
    let answer = content.by(&key).content("text/csv", "address\n").send().await;
    answer.is_problem(StatusCode::FORBIDDEN);
    get(&api, &key, &format!("/v1/imports/{import}")).await.is(StatusCode::OK);
    let hashes = "/v1/domains/example.com/users/export?password_hashes=true";
    get(&api, &key, hashes).await.is_problem(StatusCode::FORBIDDEN);
}
