//! `/v1/domains`

mod life;
mod rename;

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::model::operator::OperatorRole;
use umail_proto::functions::Function;
use umail_tests::api::Api;

#[tokio::test]
async fn create_domain_gives_one_name_one_owner() {
    let api = Api::start().await;
    let domain = api.post("/v1/domains", json!({"name": "BÜCHER.example."})).await;
    let domain = domain.is(StatusCode::CREATED);
    assert_eq!(domain.body["name"], "xn--bcher-kva.example");
    assert_eq!(domain.body["status"], "active");
    let functions = domain.body["functions"].as_array().unwrap();
    assert_eq!(functions.len(), Function::ALL.len());
    for name in ["bücher.example", "xn--bcher-kva.example", "XN--BCHER-KVA.EXAMPLE"] {
        let taken = api.post("/v1/domains", json!({"name": name})).await;
        taken.is_problem(StatusCode::CONFLICT);
    }
    for path in [domain.id(), "xn--bcher-kva.example".to_owned(), "b%C3%BCcher.example".to_owned()]
    {
        let read = api.get(format!("/v1/domains/{path}")).await.is(StatusCode::OK);
        assert_eq!(read.body, domain.body);
    }
}

#[tokio::test]
async fn create_domain_refuses_what_is_no_domain() {
    let api = Api::start().await;
    let label = "a".repeat(60);
    let long = format!("{label}.{label}.{label}.example");
    for name in
        ["", &long, "localhost", "10.0.0.1", "a\u{0}.example", "xn--example-.org", "a b.example"]
    {
        api.post("/v1/domains", json!({"name": name})).await.is_invalid(&["/name"]);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let api = Api::start().await;
    for name in ["example.com", "01936d5e-0000-7000-8000-000000000000", "%00", "%FF", "a%2Fb"] {
        api.get(format!("/v1/domains/{name}")).await.is_problem(StatusCode::NOT_FOUND);
        let deleted = api.delete(format!("/v1/domains/{name}")).await;
        deleted.is_problem(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn update_domain_changes_what_is_given() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let patch = |body| api.patch("/v1/domains/example.com", body);
    let after = patch(json!({"status": "locked", "functions": ["imap"]})).await;
    let after = after.is(StatusCode::OK).body;
    assert_eq!((&after["status"], &after["functions"]), (&json!("locked"), &json!(["imap"])));
    let after = patch(json!({"catch_all": "Anna@example.com"})).await.is(StatusCode::OK).body;
    assert_eq!(after["catch_all"], "anna@example.com");
    assert_eq!(after["status"], "locked");
    let same = patch(json!({"status": "locked"})).await.is(StatusCode::OK);
    assert_eq!(same.headers["etag"], "\"3\"");
    let after = patch(json!({"catch_all": null})).await.is(StatusCode::OK).body;
    assert!(after["catch_all"].is_null());
    for (body, field) in [
        (json!({"status": "deleted"}), "/status"),
        (json!({"functions": ["fly"]}), "/functions/0"),
        (json!({"catch_all": "x"}), "/catch_all"),
    ] {
        patch(body).await.is_invalid(&[field]);
    }
    let blind = api.ask(Method::PATCH, "/v1/domains/example.com").json(json!({})).send().await;
    blind.is_problem(StatusCode::PRECONDITION_REQUIRED);
}

#[tokio::test]
async fn every_change_is_logged_for_the_nodes_and_audited() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.patch("/v1/domains/example.com", json!({"status": "locked"})).await.is(StatusCode::OK);
    api.delete("/v1/domains/example.com").await.is(StatusCode::NO_CONTENT);
    let changes: Option<i64> = sqlx::query_scalar("SELECT count(*) FROM change WHERE entity = 1")
        .fetch_one(api.state.pool())
        .await
        .unwrap();
    assert_eq!(changes, Some(3));
    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_event WHERE resource = 'domain' ORDER BY at")
            .fetch_all(api.state.pool())
            .await
            .unwrap();
    assert_eq!(actions, ["create", "update", "delete"]);
}

#[tokio::test]
async fn a_deleted_domain_is_gone_and_its_name_stays_taken() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let token = api.sign_in("anna@example.com").await;
    api.delete("/v1/domains/example.com").await.is(StatusCode::NO_CONTENT);
    api.get("/v1/domains/example.com").await.is_problem(StatusCode::NOT_FOUND);
    api.get("/v1/users/anna@example.com").await.is_problem(StatusCode::NOT_FOUND);
    assert!(api.get("/v1/domains").await.items("name").is_empty());
    let taken = api.post("/v1/domains", json!({"name": "example.com"})).await;
    taken.is_problem(StatusCode::CONFLICT);
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await;
    me.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn roles_see_and_do_what_is_theirs() {
    let api = Api::start().await;
    api.domain("own.example").await;
    api.domain("other.example").await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let everywhere = api.sign_in("super").await;
    let admin = api.domain_admin("admin@own.example").await;
    api.user("user@own.example").await;
    let user = api.sign_in("user@own.example").await;

    let names = |token: &str| api.ask(Method::GET, "/v1/domains").by(token).send();
    let all = names(&everywhere).await.is(StatusCode::OK);
    assert_eq!(all.items("name"), ["own.example", "other.example"]);
    assert_eq!(names(&admin).await.is(StatusCode::OK).items("name"), ["own.example"]);
    names(&user).await.is_problem(StatusCode::FORBIDDEN);

    for (token, domain, body, status) in [
        (&everywhere, "own", json!({"catch_all": "a@own.example"}), StatusCode::OK),
        (&everywhere, "own", json!({"status": "locked"}), StatusCode::FORBIDDEN),
        (&everywhere, "own", json!({"name": "new.example"}), StatusCode::FORBIDDEN),
        (&admin, "own", json!({"name": "new.example"}), StatusCode::FORBIDDEN),
        (&admin, "own", json!({"catch_all": "b@own.example"}), StatusCode::OK),
        (&admin, "own", json!({"functions": []}), StatusCode::FORBIDDEN),
        (&admin, "other", json!({"catch_all": "b@own.example"}), StatusCode::NOT_FOUND),
        (&user, "own", json!({"catch_all": "b@own.example"}), StatusCode::NOT_FOUND),
    ] {
        let ask = api.ask(Method::PATCH, format!("/v1/domains/{domain}.example"));
        let answer = ask.by(token).header("if-match", "*").json(body.clone()).send().await;
        assert_eq!(answer.status, status, "{domain} {body}");
    }
    for token in [&everywhere, &admin, &user] {
        let new = api.ask(Method::POST, "/v1/domains").json(json!({"name": "new.example"}));
        new.by(token).send().await.is_problem(StatusCode::FORBIDDEN);
    }
    let delete = api.ask(Method::DELETE, "/v1/domains/own.example").header("if-match", "*");
    delete.by(&admin).send().await.is_problem(StatusCode::FORBIDDEN);
    let hidden = api.ask(Method::GET, "/v1/domains/other.example").by(&admin).send().await;
    let missing = api.ask(Method::GET, "/v1/domains/none.example").by(&admin).send().await;
    assert_eq!(
        hidden.body["detail"].as_str().unwrap().replace("other", "none"),
        missing.body["detail"].as_str().unwrap()
    );
}
