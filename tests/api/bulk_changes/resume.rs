//! Bulk changes that are ended, that stop in the middle, and that meet.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use umail_api::{app, context::Context};

use super::{
    PATH, World, begin_import, count, counts, no_drift, scale, send, skip, users, work,
    work_to_the_end,
};

#[tokio::test]
async fn work_that_stopped_in_the_middle_goes_on_there() {
    let w = World::start(7_000).await;
    for (mode, status) in [("skip_errors", "locked"), ("all_or_nothing", "suspended")] {
        let body = json!({"filter": {}, "change": {"status": status}, "mode": mode});
        let id = w.api.post(PATH, body).await.is(StatusCode::ACCEPTED).id();
        // Given up after a while, as if the server had died: the transaction rolls back.
        let cx = Context::system(w.api.state.clone());
        for patience in [50, 200, 400] {
            let run = app::imports::carry_on(&cx, id.parse().unwrap());
            let _ = tokio::time::timeout(Duration::from_millis(patience), run).await;
        }
        let again = async || w.finish(&id).await;
        let done = work_to_the_end(Duration::from_mins(2), again).await;
        assert_eq!((&done["state"], counts(&done)), (&json!("succeeded"), [7_000, 7_000, 0, 0]));
    }
    // Each user was changed twice, and no more.
    assert_eq!(count(&w.api, "SELECT count(*) FROM account WHERE revision = 3").await, 7_000);
    let events = "SELECT count(*) FROM audit_event WHERE resource = 'user' AND action = 'update'";
    assert_eq!(count(&w.api, events).await, 14_000);
    no_drift(&w.api).await;
}

#[tokio::test]
async fn others_change_the_domain_meanwhile() {
    let w = World::start(scale(6_000)).await;
    let alone = w.api.user("alone@example.com").await;
    let body = json!({"filter": {"plan_id": w.standard}, "change": {"plan_id": w.business}});
    let id = w.api.post(PATH, body).await.is(StatusCode::ACCEPTED).id();
    let others = async {
        for number in 0..40 {
            // What does not count, and what counts in the same allowances.
            let body = json!({"display_name": format!("Alone {number}")});
            w.api.patch(format!("/v1/users/{alone}"), body).await.is(StatusCode::OK);
            w.api.user(&format!("new{number}@example.com")).await;
        }
    };
    let (done, ()) = tokio::join!(w.finish(&id), others);
    let (total, matched) = (i64::try_from(scale(6_000)).unwrap() + 1, &done["matched"]);
    assert_eq!((&done["state"], matched.as_i64()), (&json!("succeeded"), Some(total)));
    assert_eq!(done["changed"].as_i64(), Some(total));
    no_drift(&w.api).await;
}

#[tokio::test]
async fn its_operation_ends_it() {
    let w = World::start(1).await;
    let body = json!({"filter": {}, "change": {"status": "locked"}});
    let answer = w.api.post(PATH, body).await.is(StatusCode::ACCEPTED);
    let operation = answer.headers["location"].to_str().unwrap();
    w.api.post(format!("{operation}/cancel"), json!(null)).await.is(StatusCode::ACCEPTED);
    let done = w.finish(&answer.id()).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("cancelled"), [1, 0, 0, 0]));
    assert_eq!(w.api.get(operation).await.body["state"], "cancelled");
    assert_eq!(w.user("user0").await["status"], "active");
}

#[tokio::test]
async fn two_of_a_domain_wait_for_each_other_and_for_imports() {
    let w = World::start(3).await;
    let mut ids = Vec::new();
    for status in ["locked", "suspended"] {
        let body = json!({"filter": {}, "change": {"status": status}});
        ids.push(w.api.post(PATH, body).await.is(StatusCode::ACCEPTED).id());
    }
    let import = begin_import(&w.api, "/v1/domains/example.com/imports", skip()).await;
    send(&w.api, &import, users(3)).await.is(StatusCode::ACCEPTED);
    // Somebody works on the import.
    let domain = w.api.get("/v1/domains/example.com").await.id().parse().unwrap();
    let mut turn = w.api.state.pool().begin().await.unwrap();
    let domains = std::collections::BTreeSet::from([domain]);
    assert!(umail_api::store::imports::try_turn(&mut turn, Some(&domains)).await.unwrap());
    assert_eq!(w.finish(&ids[0]).await["state"], "running");
    turn.commit().await.unwrap();
    tokio::join!(w.finish(&ids[0]), w.finish(&ids[1]), work(&w.api, &import));
    for id in &ids {
        assert_eq!(counts(&w.finish(id).await), [3, 3, 0, 0]);
    }
    assert_eq!(work(&w.api, &import).await["state"], "succeeded");
    assert_eq!(count(&w.api, "SELECT max(revision) FROM account").await, 4);
    no_drift(&w.api).await;
}

#[tokio::test]
async fn who_matches_when_the_turn_comes_is_changed_and_who_came_later_is_not() {
    let w = World::start(3).await;
    let body = json!({"filter": {"plan_id": w.standard}, "change": {"status": "suspended"}});
    let id = w.api.post(PATH, body).await.is(StatusCode::ACCEPTED).id();
    let plan = json!({"plan_id": w.business});
    w.api.patch("/v1/users/user1@example.com", plan).await.is(StatusCode::OK);
    w.api.delete("/v1/users/user2@example.com").await.is(StatusCode::NO_CONTENT);
    w.api.user("late@example.com").await;
    assert_eq!(counts(&w.finish(&id).await), [1, 1, 0, 0]);
    for (name, status) in [("user0", "suspended"), ("user1", "active"), ("late", "active")] {
        assert_eq!(w.user(name).await["status"], status, "{name}");
    }
}

#[tokio::test]
async fn who_is_called_otherwise_when_the_turn_comes_is_not_changed() {
    let w = World::start(3).await;
    let body = json!({"filter": {"search": "USER"}, "change": {"status": "suspended"}});
    let id = w.api.post(PATH, body).await.is(StatusCode::ACCEPTED).id();
    let other = json!({"local_part": "anna"});
    w.api.patch("/v1/users/user1@example.com", other).await.is(StatusCode::OK);
    w.api.user("user3@example.com").await;
    assert_eq!(counts(&w.finish(&id).await), [2, 2, 0, 0]);
    for (name, status) in [("user0", "suspended"), ("anna", "active"), ("user3", "active")] {
        assert_eq!(w.user(name).await["status"], status, "{name}");
    }
}

#[tokio::test]
async fn of_a_domain_that_goes_meanwhile_nobody_is_changed() {
    let w = World::start(2).await;
    let body = json!({"filter": {}, "change": {"status": "suspended"}});
    let id = w.api.post(PATH, body).await.is(StatusCode::ACCEPTED).id();
    w.api.delete("/v1/domains/example.com").await.is(StatusCode::NO_CONTENT);
    let done = w.finish(&id).await;
    assert_eq!((&done["state"], &done["changed"]), (&json!("failed"), &json!(0)));
    assert!(done["error"].as_str().unwrap().starts_with("domain "), "{done}");
    assert_eq!(count(&w.api, "SELECT max(revision) FROM account").await, 1);
}
