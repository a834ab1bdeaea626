//! Bad input: refused before anything begins.

use reqwest::StatusCode;
use serde_json::json;

use super::{PATH, World};

#[tokio::test]
async fn what_would_be_refused_for_everybody_is_refused_at_once() {
    let w = World::start(1).await;
    w.api.domain("example.net").await;
    let path = "/v1/domains/example.net/departments";
    let foreign = w.api.post(path, json!({"name": "x"})).await.is(StatusCode::CREATED).id();
    let nothing = "01936d5e-0000-7000-8000-000000000000";
    let some = json!({"status": "locked"});
    for (filter, change, field) in [
        (json!({}), json!({}), "/change"),
        (json!({"department_id": foreign}), some.clone(), "/filter/department_id"),
        (json!({"department_id": nothing}), some.clone(), "/filter/department_id"),
        (json!({"plan_id": nothing}), some.clone(), "/filter/plan_id"),
        (json!({"include_subdepartments": true}), some.clone(), "/filter/include_subdepartments"),
        (json!({"search": ""}), some.clone(), "/filter/search"),
        (json!({"search": "a\u{202e}b"}), some.clone(), "/filter/search"),
        (json!({"search": "x".repeat(255)}), some.clone(), "/filter/search"),
        (json!({"external_id": "a\nb"}), some.clone(), "/filter/external_id"),
        (json!({}), json!({"department_id": foreign}), "/change/department_id"),
        (json!({}), json!({"plan_id": nothing}), "/change/plan_id"),
        (json!({}), json!({"quota_bytes": 0}), "/change/quota_bytes"),
        (json!({}), json!({"quota_bytes": -1}), "/change/quota_bytes"),
    ] {
        let body = json!({"filter": filter, "change": change});
        w.api.post(PATH, body).await.is_invalid(&[field]);
    }
    for body in [
        json!({"change": some}),
        json!({"filter": {}}),
        json!({"filter": {"search": null}, "change": some}),
        json!({"filter": {"query": "x"}, "change": some}),
        json!({"filter": {"deleted": true}, "change": some}),
        json!({"filter": {"status": "paused"}, "change": some}),
        json!({"filter": {"status": null}, "change": some}),
        json!({"filter": {}, "change": {"status": null}}),
        json!({"filter": {}, "change": {"local_part": "x"}}),
        json!({"filter": {}, "change": {"revision": 7}}),
        json!({"filter": {}, "change": some, "mode": "force"}),
    ] {
        let status = w.api.post(PATH, body.clone()).await.status;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    let body = json!({"filter": {}, "change": some});
    let answer = w.api.post(format!("{PATH}?dry_run=maybe"), body.clone()).await;
    answer.is_invalid(&["query"]);
    let path = "/v1/domains/nowhere.example/bulk_changes";
    w.api.post(path, body).await.is_problem(StatusCode::NOT_FOUND);
    assert!(w.api.get("/v1/bulk_changes").await.items("id").is_empty());
}

#[tokio::test]
async fn so_many_are_open_and_no_more() {
    let w = World::start(1).await;
    let body = json!({"filter": {}, "change": {"status": "locked"}});
    for _ in 0..10 {
        w.api.post(PATH, body.clone()).await.is(StatusCode::ACCEPTED);
    }
    w.api.post(PATH, body).await.is_problem(StatusCode::CONFLICT);
}
