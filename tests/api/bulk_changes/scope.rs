//! Who may change whom: by the rights of whoever began it, as they are now.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::{app, context::Context};

use super::{PATH, World, counts, no_drift};

async fn make_key(w: &World, token: &str, mut body: Value) -> (String, String) {
    body["name"] = json!("HR system");
    let answer = w.api.ask(Method::POST, "/v1/api_keys").by(token).json(body).send().await;
    let answer = answer.is(StatusCode::CREATED);
    (answer.id(), answer.body["secret"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_department_administrator_changes_those_below_and_nobody_else() {
    let w = World::start(6).await;
    let head = w.api.department_admin("head@example.com", &w.sales).await;
    w.api.department_admin("peer@example.com", &w.sales).await;
    let body = json!({"filter": {}, "change": {"status": "locked"}});
    let id = w.begin_by(&head, body).await.is(StatusCode::ACCEPTED).id();
    let done = w.finish(&id).await;
    // The administrators of the department are among those who match, and are not outranked.
    assert_eq!(counts(&done), [6, 4, 0, 2]);
    let mut refused: Vec<_> = w.errors(&done).await;
    refused.sort();
    assert_eq!(refused[0].0, "head@example.com");
    assert_eq!(refused[1].0, "peer@example.com");
    let reason = "not allowed: update this user";
    assert_eq!(done["reasons"], json!([{"field": "", "reason": reason, "users": 2}]));
    assert_eq!(w.user("user2").await["status"], "active");
    // What is searched for does not reach further.
    let found = json!({"filter": {"search": "user"}, "change": {"status": "suspended"}});
    let id = w.begin_by(&head, found).await.is(StatusCode::ACCEPTED).id();
    assert_eq!(counts(&w.finish(&id).await), [4, 4, 0, 0]);
    assert_eq!(w.user("user2").await["status"], "active");
    // Out of the scope, nobody goes.
    let body = json!({"filter": {}, "change": {"department_id": null}});
    let id = w.begin_by(&head, body).await.is(StatusCode::ACCEPTED).id();
    let done = w.finish(&id).await;
    assert_eq!(counts(&done), [6, 0, 0, 6]);
    let outside = "must be a department in your scope";
    assert_eq!(done["reasons"][0]["reason"], outside);
    for (filter, change, field) in [
        (json!({"department_id": w.it}), json!({"status": "active"}), "/filter/department_id"),
        (json!({}), json!({"department_id": w.it}), "/change/department_id"),
    ] {
        let body = json!({"filter": filter, "change": change});
        w.begin_by(&head, body).await.is_invalid(&[field]);
    }
    no_drift(&w.api).await;
}

#[tokio::test]
async fn an_administrator_of_another_domain_and_a_user_find_nothing() {
    let w = World::start(1).await;
    w.api.domain("example.net").await;
    let foreign = w.api.domain_admin("admin@example.net").await;
    w.api.user("anna@example.com").await;
    let user = w.api.sign_in("anna@example.com").await;
    let body = json!({"filter": {}, "change": {"status": "locked"}});
    for token in [&foreign, &user] {
        w.begin_by(token, body.clone()).await.is_problem(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_bulk_change_is_its_makers_business() {
    let w = World::start(1).await;
    let admin = w.api.domain_admin("admin@example.com").await;
    let other = w.api.domain_admin("other@example.com").await;
    let body = json!({"filter": {}, "change": {"status": "locked"}});
    let answer = w.begin_by(&admin, body).await.is(StatusCode::ACCEPTED);
    let operation = answer.headers["location"].to_str().unwrap();
    let path = format!("/v1/bulk_changes/{}", answer.id());
    for path in [path.clone(), format!("{path}/errors")] {
        let read = |token: &str| w.api.ask(Method::GET, &path).by(token).send();
        read(&other).await.is_problem(StatusCode::NOT_FOUND);
        read(&admin).await.is(StatusCode::OK);
    }
    let list = |token: &str| w.api.ask(Method::GET, "/v1/bulk_changes").by(token).send();
    assert!(list(&other).await.items("id").is_empty());
    assert_eq!(list(&admin).await.items("id"), [answer.id()]);
    let cancel = |token: &str| {
        let ask = w.api.ask(Method::POST, format!("{operation}/cancel")).by(token);
        ask.json(json!(null)).send()
    };
    cancel(&other).await.is_problem(StatusCode::FORBIDDEN);
    cancel(&admin).await.is(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn whoever_is_demoted_while_it_waits_changes_nobody() {
    let w = World::start(1).await;
    let body = json!({"filter": {}, "change": {"status": "locked"}});
    let admin = w.api.domain_admin("admin@example.com").await;
    let id = w.begin_by(&admin, body.clone()).await.is(StatusCode::ACCEPTED).id();
    let roles = w.api.get("/v1/users/admin@example.com/role_assignments").await.items("id");
    let role = format!("/v1/role_assignments/{}", roles[0]);
    w.api.delete(role).await.is(StatusCode::NO_CONTENT);
    let done = w.finish(&id).await;
    assert_eq!((&done["state"], &done["changed"]), (&json!("failed"), &json!(0)));
    assert_eq!(done["error"], "not allowed: change users of the domain any more");
    let second = w.api.domain_admin("second@example.com").await;
    let id = w.begin_by(&second, body).await.is(StatusCode::ACCEPTED).id();
    let locked = json!({"status": "locked"});
    w.api.patch("/v1/users/second@example.com", locked).await.is(StatusCode::OK);
    let done = w.finish(&id).await;
    assert_eq!(done["error"], "whoever began it may not sign in any more");
    assert_eq!(w.user("user0").await["status"], "active");
}

#[tokio::test]
async fn whoever_is_demoted_while_all_is_written_together_changes_nobody() {
    let w = World::start(1).await;
    let admin = w.api.domain_admin("admin@example.com").await;
    let body = json!({
        "filter": {}, "change": {"status": "locked"}, "mode": "all_or_nothing",
    });
    let id = w.begin_by(&admin, body).await.is(StatusCode::ACCEPTED).id();
    let roles = w.api.get("/v1/users/admin@example.com/role_assignments").await.items("id");
    // The work has begun, and waits for somebody who changes a user.
    let mut other = w.api.state.pool().begin().await.unwrap();
    let lock = "SELECT FROM account WHERE local_part = 'user0' FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut *other).await.unwrap();
    let cx = Context::system(w.api.state.clone());
    let run = app::imports::carry_on(&cx, id.parse().unwrap());
    let demote = async {
        let waiting = "SELECT count(*) FROM pg_locks
                        WHERE NOT granted AND transactionid = pg_current_xact_id()::xid";
        let is_waited_for = async {
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *other).await.unwrap() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), is_waited_for).await.unwrap();
        let role = format!("/v1/role_assignments/{}", roles[0]);
        w.api.delete(role).await.is(StatusCode::NO_CONTENT);
        other.commit().await.unwrap();
    };
    let (run, ()) = tokio::join!(run, demote);
    run.unwrap_err();
    assert_eq!(w.user("user0").await["status"], "active");
    let done = w.finish(&id).await;
    assert_eq!(done["error"], "not allowed: change users of the domain any more");
}

#[tokio::test]
async fn what_a_key_begins_goes_on_with_no_more_than_the_key_has() {
    let w = World::start(6).await;
    let root = w.api.sign_in("root").await;
    let scope = json!({"role": "department_admin", "department_id": w.emea});
    let (_, narrow) = make_key(&w, &root, scope).await;
    let body = json!({"filter": {}, "change": {"status": "locked"}});
    let answer = w.begin_by(&narrow, body.clone()).await.is(StatusCode::ACCEPTED);
    let path = format!("/v1/bulk_changes/{}", answer.id());
    assert_eq!(counts(&w.finish(&answer.id()).await), [2, 2, 0, 0]);
    assert_eq!(w.user("user0").await["status"], "active");
    let own = w.api.ask(Method::GET, &path).by(&narrow).send().await.is(StatusCode::OK);
    assert_eq!(own.body["state"], "succeeded");
    let event = w.api.get("/v1/audit_events?resource=user&action=update").await.body;
    assert_eq!(event["items"][0]["actor_kind"], "operator");
    assert!(event["items"][0]["api_key_id"].is_string());
    // A key that is gone when the turn comes has nothing any more, whatever its maker has.
    let (id, whole) = make_key(&w, &root, json!({})).await;
    let change = w.begin_by(&whole, body.clone()).await.is(StatusCode::ACCEPTED).id();
    let gone = w.api.ask(Method::DELETE, format!("/v1/api_keys/{id}")).by(&root);
    gone.send().await.is(StatusCode::NO_CONTENT);
    let done = w.finish(&change).await;
    assert_eq!((&done["state"], &done["changed"]), (&json!("failed"), &json!(0)));
    // One that was rotated meanwhile is the same key.
    let (id, whole) = make_key(&w, &root, json!({})).await;
    let change = w.begin_by(&whole, body.clone()).await.is(StatusCode::ACCEPTED).id();
    let rotate = w.api.ask(Method::POST, format!("/v1/api_keys/{id}/rotate")).by(&root);
    rotate.json(json!({"overlap_seconds": 0})).send().await.is(StatusCode::OK);
    assert_eq!(counts(&w.finish(&change).await), [6, 4, 2, 0]);
    let (_, reader) = make_key(&w, &root, json!({"read_only": true})).await;
    w.begin_by(&reader, body).await.is_problem(StatusCode::FORBIDDEN);
    let list = w.api.ask(Method::GET, PATH).by(&reader).send().await;
    list.is_problem(StatusCode::METHOD_NOT_ALLOWED);
}
