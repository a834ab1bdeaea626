//! Allowances and seats: each user takes its part, and none more than there is.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{World, counts, no_drift};

#[tokio::test]
async fn seats_are_taken_as_far_as_there_are_some_and_the_preview_says_so() {
    // More than are worked on at once.
    let w = World::start(4_500).await;
    let limits = json!({"seats": {"business": 2_500}});
    w.api.patch("/v1/domains/example.com/allowance", limits).await.is(StatusCode::OK);
    let change = json!({"plan_id": w.business});
    let preview = w.preview(json!({}), change.clone()).await;
    let done = w.change(json!({}), change).await;
    assert_eq!(counts(&done), [4_500, 2_500, 0, 2_000]);
    assert_eq!(done["state"], "succeeded");
    let reason = "domain example.com may have 2500 seats of plan business: 2500 are allocated, 1 more were asked for";
    assert_eq!(done["reasons"], json!([{"field": "", "reason": reason, "users": 2_000}]));
    for same in ["matched", "done", "changed", "unchanged", "refused", "reasons", "state"] {
        assert_eq!(preview[same], done[same], "{same}");
    }
    let errors = w.errors(&done).await;
    assert_eq!(errors.len(), 2_000);
    assert_eq!(errors, w.errors(&preview).await);
    let first = &errors[0];
    assert_eq!((first.1.as_str(), first.2.as_str()), ("", reason));
    let name = first.0.split('@').next().unwrap();
    assert_eq!(w.user(name).await["plan_id"], w.standard);
    let path = format!("/v1/bulk_changes/{}/errors", done["id"].as_str().unwrap());
    let file = w.api.get(path).await.is(StatusCode::OK);
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
    let file = file.body.as_str().unwrap().to_owned();
    assert!(file.starts_with(&format!("address,field,reason\n{},,\"domain example.com", first.0)));
    no_drift(&w.api).await;
}

#[tokio::test]
async fn departments_limit_as_well() {
    let w = World::start(6).await;
    let limits = json!({"users": 3});
    w.api.patch(format!("/v1/departments/{}/allowance", w.it), limits).await.is(StatusCode::OK);
    let (filter, change) = (json!({"department_id": w.sales}), json!({"department_id": w.it}));
    let preview = w.preview(filter.clone(), change.clone()).await;
    let done = w.change(filter, change).await;
    assert_eq!((counts(&preview), counts(&done)), ([2, 1, 0, 1], [2, 1, 0, 1]));
    let reason = "department IT may have 3 users: 3 are allocated, 1 more were asked for";
    assert_eq!(done["reasons"], json!([{"field": "", "reason": reason, "users": 1}]));
    no_drift(&w.api).await;
}

#[tokio::test]
async fn a_quota_that_a_plan_does_not_allow_is_refused_for_its_users() {
    let w = World::start(3).await;
    let plan = json!({"plan_id": w.business});
    w.api.patch("/v1/users/user1@example.com", plan).await.is(StatusCode::OK);
    let done = w.change(json!({}), json!({"quota_bytes": 2_000})).await;
    assert_eq!(counts(&done), [3, 2, 0, 1]);
    let reason = "must be at most 1000, the quota of the plan";
    let refused = ("user1@example.com".to_owned(), "quota_bytes".to_owned(), reason.to_owned());
    assert_eq!(w.errors(&done).await, [refused]);
    no_drift(&w.api).await;
}

#[tokio::test]
async fn all_or_nothing_is_nothing_where_one_is_refused() {
    let w = World::start(3).await;
    let limits = json!({"seats": {"business": 2}});
    w.api.patch("/v1/domains/example.com/allowance", limits).await.is(StatusCode::OK);
    let body = json!({
        "filter": {}, "change": {"plan_id": w.business}, "mode": "all_or_nothing",
    });
    let preview = w.run("?dry_run=true", body.clone()).await;
    let done = w.run("", body.clone()).await;
    for one in [&preview, &done] {
        assert_eq!((&one["state"], &one["refused"]), (&json!("failed"), &json!(1)));
        let reason = "domain example.com may have 2 seats of plan business: 0 are allocated, 3 more were asked for";
        assert_eq!(w.errors(one).await, [(String::new(), String::new(), reason.to_owned())]);
    }
    assert_eq!(
        (&done["changed"], &done["error"]),
        (&json!(0), &json!("users were refused: nothing has been changed"))
    );
    assert_eq!(w.user("user0").await["plan_id"], w.standard);
    let limits = json!({"seats": {"business": 3}});
    w.api.patch("/v1/domains/example.com/allowance", limits).await.is(StatusCode::OK);
    let done = w.run("", body).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("succeeded"), [3, 3, 0, 0]));
    assert_eq!(done["error"], Value::Null);
    no_drift(&w.api).await;
}
