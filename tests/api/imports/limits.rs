//! Allowances and seats: each line takes its part, and none more than there is.

use reqwest::StatusCode;
use serde_json::json;

use super::{counts, errors, import, no_drift, skip, start, users};

#[tokio::test]
async fn lines_are_taken_as_far_as_the_allowance_leaves_room() {
    let api = start().await;
    let path = "/v1/domains/example.com/allowance";
    api.patch(path, json!({"users": 5})).await.is(StatusCode::OK);
    let done = import(&api, json!({}), users(8)).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("failed"), [0, 0, 0, 1]));
    let reason = "domain example.com may have 5 users: 0 are allocated, 8 more were asked for";
    assert_eq!(errors(&api, &done).await, [(0, String::new(), reason.to_owned())]);
    let preview = import(&api, json!({"mode": "skip_errors", "dry_run": true}), users(8)).await;
    let done = import(&api, skip(), users(8)).await;
    assert_eq!((counts(&preview), counts(&done)), ([5, 0, 0, 3], [5, 0, 0, 3]));
    let refused = errors(&api, &done).await;
    assert_eq!(errors(&api, &preview).await, refused);
    assert_eq!(refused.iter().map(|one| one.0).collect::<Vec<_>>(), [7, 8, 9]);
    assert_eq!(
        refused[0].2,
        "domain example.com may have 5 users: 5 are allocated, 1 more were asked for"
    );
    no_drift(&api).await;
    // What was refused is free.
    api.patch(path, json!({"users": 6})).await.is(StatusCode::OK);
    api.user("user7@example.com").await;
}

#[tokio::test]
async fn moves_quotas_and_plans_count_on_every_level() {
    let api = start().await;
    let plan = json!({"name": "business", "quota_bytes": 1_000});
    api.post("/v1/plans", plan).await.is(StatusCode::CREATED);
    let path = "/v1/domains/example.com/departments";
    let sales = api.post(path, json!({"name": "Sales"})).await.is(StatusCode::CREATED).id();
    let below = json!({"name": "EMEA", "parent_id": sales, "plan_id": null});
    api.post(path, below).await.is(StatusCode::CREATED);
    import(&api, skip(), users(10)).await;
    let limits = json!({"seats": {"business": 3}});
    api.patch("/v1/domains/example.com/allowance", limits).await.is(StatusCode::OK);
    let limits = json!({"storage_bytes": 2_500});
    api.patch(format!("/v1/departments/{sales}/allowance"), limits).await.is(StatusCode::OK);
    let done = import(
        &api,
        skip(),
        "address,plan,department\nuser0,business,Sales\nuser1,business,Sales/EMEA\n\
         user2,business,Sales\nuser3,business,\nuser4,business,\nuser5,,Sales/EMEA\nuser0,,\n",
    )
    .await;
    assert_eq!(counts(&done), [0, 3, 0, 4]);
    let refused = errors(&api, &done).await;
    let reasons: Vec<_> =
        refused.iter().map(|(line, _, reason)| (*line, reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (
                4,
                "department Sales may have 2500 storage_bytes: 2000 are allocated, 1000 more were asked for"
            ),
            (
                6,
                "domain example.com may have 3 seats of plan business: 3 are allocated, 1 more were asked for"
            ),
            (
                7,
                "department Sales may have 2500 storage_bytes: 2000 are allocated, 1073741824 more were asked for"
            ),
            (8, "line 2 is about the same user"),
        ]
    );
    no_drift(&api).await;
}

#[tokio::test]
async fn the_limit_of_the_system_holds_for_imports_as_well() {
    let api = start().await;
    import(&api, skip(), users(4)).await;
    api.patch("/v1/allowance", json!({"users": 5})).await.is(StatusCode::OK);
    let done = import(&api, skip(), users(6)).await;
    assert_eq!(counts(&done), [1, 0, 4, 1]);
    let reason = "the system may have 5 users: 5 are allocated, 1 more were asked for";
    assert_eq!(errors(&api, &done).await[0].2, reason);
    no_drift(&api).await;
}
