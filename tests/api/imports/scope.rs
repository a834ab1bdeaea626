//! Who may import what: each line by the rights of whoever began the import, as they are now.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_tests::api::Api;

use super::{DOMAIN, HASH, count, counts, errors, no_drift, send_by, skip, start, work};

async fn import_by(api: &Api, token: &str, path: &str, content: String) -> Value {
    let id = send_by(api, token, path, (skip(), content)).await;
    work(api, &id).await
}

#[tokio::test]
async fn a_foreign_domain_late_in_a_file_looks_like_one_that_is_not_there() {
    let api = start().await;
    api.domain("foreign.example").await;
    let victim = api.user("victim@foreign.example").await;
    let admin = api.domain_admin("admin@example.com").await;
    let line = |address: &str| format!("{address},Chief,{HASH}\n");
    let good: String = (0..300).map(|number| line(&format!("u{number}@example.com"))).collect();
    let content = format!(
        "address,title,password_hash\n{good}{}{}{}",
        line("victim@foreign.example"),
        line("new@foreign.example"),
        line("x@nowhere.example"),
    );
    let done = import_by(&api, &admin, "/v1/imports", content).await;
    assert_eq!(counts(&done), [300, 0, 0, 3]);
    let reasons: Vec<_> = errors(&api, &done).await.into_iter().map(|one| one.2).collect();
    let missing = |name| format!("domain {name} does not exist");
    let foreign = missing("foreign.example");
    assert_eq!(reasons, [foreign.clone(), foreign, missing("nowhere.example")]);
    assert_eq!(api.get(format!("/v1/users/{victim}")).await.etag(), "\"1\"");
    // Nor does the other way in.
    let path = "/v1/domains/foreign.example/imports";
    let answer = api.ask(Method::POST, path).by(&admin).json(skip()).send().await;
    answer.is_problem(StatusCode::NOT_FOUND);
    no_drift(&api).await;
}

#[tokio::test]
async fn a_department_administrator_imports_into_departments_of_its_own() {
    let api = start().await;
    let path = "/v1/domains/example.com/departments";
    let own = api.post(path, json!({"name": "Own"})).await.is(StatusCode::CREATED).id();
    let below = json!({"name": "Below", "parent_id": own});
    api.post(path, below).await.is(StatusCode::CREATED);
    let other = api.post(path, json!({"name": "Other"})).await.is(StatusCode::CREATED).id();
    api.user("beside@example.com").await;
    let beside = json!({"department_id": other});
    api.patch("/v1/users/beside@example.com", beside).await.is(StatusCode::OK);
    let head = api.department_admin("head@example.com", &own).await;
    let content = format!(
        "address,department,password_hash\na,Own,{HASH}\nb,Own/Below,{HASH}\nc,Other,{HASH}\n\
         d,,{HASH}\nbeside,Own,{HASH}\nhead,Own/Below,{HASH}\n"
    );
    let done = import_by(&api, &head, DOMAIN, content).await;
    assert_eq!(counts(&done), [2, 0, 0, 4]);
    let refused: Vec<_> = errors(&api, &done).await.into_iter().map(|one| (one.0, one.2)).collect();
    let outside = "must be a department in your scope".to_owned();
    assert_eq!(refused[..2], [(4, outside.clone()), (5, outside.clone())]);
    assert_eq!(refused[2], (6, "address beside@example.com already exists".to_owned()));
    assert_eq!(refused[3].0, 7);
    assert!(refused[3].1.starts_with("not allowed: "), "{refused:?}");
    // Out of its scope, nobody goes.
    let content = "address,department\na,Other\nb,\n".to_owned();
    let done = import_by(&api, &head, DOMAIN, content).await;
    assert_eq!(counts(&done), [0, 0, 0, 2]);
    no_drift(&api).await;
}

#[tokio::test]
async fn an_administrator_is_not_changed_by_its_peers() {
    let api = start().await;
    api.domain_admin("boss@example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    let content = format!("address,password_hash\nboss,{HASH}\nadmin,{HASH}\n");
    let done = import_by(&api, &admin, DOMAIN, content).await;
    assert_eq!(counts(&done), [0, 0, 0, 2]);
    assert_eq!(count(&api, "SELECT count(*) FROM credential WHERE hash LIKE '{PBKDF2}%'").await, 0);
}

#[tokio::test]
async fn whoever_is_demoted_while_it_waits_imports_nothing() {
    let api = start().await;
    let admin = api.domain_admin("admin@example.com").await;
    let id = api.ask(Method::POST, DOMAIN).by(&admin).json(skip()).send().await.id();
    let ask = api.ask(Method::PUT, format!("/v1/imports/{id}/content")).by(&admin);
    let content = format!("address,password_hash\nanna,{HASH}\n");
    ask.content("text/csv", content).send().await.is(StatusCode::ACCEPTED);
    let roles = api.get("/v1/users/admin@example.com/role_assignments").await;
    let role = roles.items("id").pop().unwrap();
    api.delete(format!("/v1/role_assignments/{role}")).await.is(StatusCode::NO_CONTENT);
    let done = work(&api, &id).await;
    assert_eq!(counts(&done), [0, 0, 0, 1]);
    // Whoever may not sign in any more ends it.
    let admin = api.domain_admin("second@example.com").await;
    let id = api.ask(Method::POST, DOMAIN).by(&admin).json(skip()).send().await.id();
    let ask = api.ask(Method::PUT, format!("/v1/imports/{id}/content")).by(&admin);
    let content = format!("address,password_hash\nanna,{HASH}\n");
    ask.content("text/csv", content).send().await.is(StatusCode::ACCEPTED);
    let locked = json!({"status": "locked"});
    api.patch("/v1/users/second@example.com", locked).await.is(StatusCode::OK);
    let done = work(&api, &id).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("failed"), [0; 4]));
    assert_eq!(done["error"], "whoever began it may not sign in any more");
}

#[tokio::test]
async fn an_import_is_its_makers_business() {
    let api = start().await;
    let admin = api.domain_admin("admin@example.com").await;
    let other = api.domain_admin("other@example.com").await;
    api.user("user@example.com").await;
    let user = api.sign_in("user@example.com").await;
    let answer = api.ask(Method::POST, DOMAIN).by(&user).json(skip()).send().await;
    answer.is_problem(StatusCode::NOT_FOUND);
    let id = api.ask(Method::POST, DOMAIN).by(&admin).json(skip()).send().await.id();
    let path = format!("/v1/imports/{id}");
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::GET, format!("{path}/errors")),
        (Method::DELETE, path.clone()),
    ] {
        let answer = api.ask(method, path).by(&other).send().await;
        answer.is_problem(StatusCode::NOT_FOUND);
    }
    let put = api.ask(Method::PUT, format!("{path}/content")).content("text/csv", "address\n");
    put.by(&other).send().await.is_problem(StatusCode::NOT_FOUND);
    // Not even an operator puts words into somebody's mouth.
    let put = api.ask(Method::PUT, format!("{path}/content")).content("text/csv", "address\n");
    put.send().await.is_problem(StatusCode::FORBIDDEN);
    assert_eq!(api.ask(Method::GET, "/v1/imports").by(&other).send().await.items("id"), [""; 0]);
    assert_eq!(api.ask(Method::GET, "/v1/imports").by(&admin).send().await.items("id"), [id]);
    let put = api.ask(Method::PUT, format!("{path}/content")).content("text/csv", "address\n");
    let answer = put.by(&admin).send().await.is(StatusCode::ACCEPTED);
    let operation = answer.headers["location"].to_str().unwrap();
    let read = |token: &str| api.ask(Method::GET, operation).by(token).send();
    read(&admin).await.is(StatusCode::OK);
    read(&other).await.is_problem(StatusCode::FORBIDDEN);
    let cancel = |token: &str| {
        let path = format!("{operation}/cancel");
        api.ask(Method::POST, path).by(token).json(json!(null)).send()
    };
    cancel(&other).await.is_problem(StatusCode::FORBIDDEN);
    cancel(&admin).await.is(StatusCode::ACCEPTED);
}
