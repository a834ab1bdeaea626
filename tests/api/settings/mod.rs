//! `/v1/settings`

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::model::operator::OperatorRole;
use umail_tests::api::Api;

#[tokio::test]
async fn update_settings_changes_what_is_given() {
    let api = Api::start().await;
    let before = api.get("/v1/settings").await.is(StatusCode::OK);
    assert!(before.body["postmaster_address"].is_null());
    let patch = json!({"postmaster_address": "Post@Example.COM"});
    let after = api.patch("/v1/settings", patch).await.is(StatusCode::OK);
    assert_eq!(after.body["postmaster_address"], "post@example.com");
    assert_eq!(after.body["message_size_limit_bytes"], before.body["message_size_limit_bytes"]);
    assert_ne!(after.etag(), before.etag());
    let stale = api.ask(Method::PATCH, "/v1/settings").header("if-match", before.etag());
    let stale = stale.json(json!({"message_size_limit_bytes": 1_000_000})).send().await;
    stale.is_problem(StatusCode::PRECONDITION_FAILED);
    let cleared = api.patch("/v1/settings", json!({"postmaster_address": null})).await;
    assert!(cleared.is(StatusCode::OK).body["postmaster_address"].is_null());
}

#[tokio::test]
async fn update_settings_refuses_values_that_break_their_rules() {
    let api = Api::start().await;
    for (patch, field) in [
        (json!({"postmaster_address": "nobody"}), "/postmaster_address"),
        (json!({"message_size_limit_bytes": 1}), "/message_size_limit_bytes"),
        (json!({"message_size_limit_bytes": null}), "/message_size_limit_bytes"),
        (json!({"message_size_limit_bytes": 1u64 << 63}), "/message_size_limit_bytes"),
        (json!({"suspended_defer_days": -1}), "/suspended_defer_days"),
        (json!({"suspended_defer_days": 31}), "/suspended_defer_days"),
        (json!({"suspended_defer_days": null}), "/suspended_defer_days"),
        (json!({"deleted_grace_days": 0}), "/deleted_grace_days"),
        (json!({"deleted_grace_days": 3651}), "/deleted_grace_days"),
    ] {
        api.patch("/v1/settings", patch).await.is_invalid(&[field]);
    }
}

#[tokio::test]
async fn settings_are_for_system_admins() {
    let api = Api::start().await;
    api.operator("alice", OperatorRole::SuperDomainAdmin).await;
    let token = api.sign_in("alice").await;
    let read = api.ask(Method::GET, "/v1/settings").by(&token).send().await;
    read.is_problem(StatusCode::FORBIDDEN);
    let patch = api.ask(Method::PATCH, "/v1/settings").by(&token).header("if-match", "*");
    patch.json(json!({})).send().await.is_problem(StatusCode::FORBIDDEN);
}
