//! What is deleted comes back, and goes for good: on a real node, from the REST API to the disk.

use std::time::Duration;

use serde_json::{Value, json};
use umail_tests::harness::{fleet::SINGLE_NODE, until};

use crate::stage::{DOMAIN, Stage};

/// What mail to the address is answered.
async fn answered(stage: &Stage, to: &str, code: u16) {
    let reply = stage.accepts(to).await.unwrap();
    assert_eq!(reply.code, code, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_comes_back_with_the_mail_and_a_purged_one_leaves_nothing() {
    let stage = Stage::start(SINGLE_NODE).await;
    let alice = stage.user("alice", "mail-1").await.unwrap();
    let bob = stage.user("bob", "mail-1").await.unwrap();
    stage.rest.converged().await.unwrap();
    for user in [&alice, &bob] {
        assert_eq!(stage.send(user, "before@life").await.unwrap().code, 250);
        stage.arrives(user, "before@life").await.unwrap();
    }
    let path = format!("/v1/users/{alice}");
    let id = stage.rest.get(&path).await.unwrap()["id"].as_str().unwrap().to_owned();
    stage.rest.delete(&path).await.unwrap();
    stage.rest.converged().await.unwrap();
    answered(&stage, &alice, 550).await;

    stage.rest.post(&format!("{path}/restore"), &Value::Null).await.unwrap();
    stage.rest.converged().await.unwrap();
    assert_eq!(stage.send(&alice, "after@life").await.unwrap().code, 250);
    stage.arrives(&alice, "after@life").await.unwrap();
    assert_eq!(stage.inbox(&alice).await.unwrap().len(), 2);

    stage.rest.delete(&path).await.unwrap();
    stage.rest.post(&format!("{path}/purge"), &Value::Null).await.unwrap();
    let list = format!("/v1/domains/{DOMAIN}/users?deleted=true");
    until(Duration::from_mins(1), async || {
        let left = stage.rest.items(&list).await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) })
    })
    .await
    .unwrap();
    let mail = stage.fleet.node("mail-1").unwrap().layout().mail();
    assert!(!mail.join(&id).exists(), "the mailbox is on the disk still");
    assert!(stage.inbox(&bob).await.unwrap().contains_key("before@life"));

    // Whoever has the address now begins with nothing.
    stage.user("alice", "mail-1").await.unwrap();
    stage.rest.converged().await.unwrap();
    assert_eq!(stage.inbox(&alice).await.unwrap().len(), 0);
    assert_eq!(stage.send(&alice, "new@life").await.unwrap().code, 250);
    stage.arrives(&alice, "new@life").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_domain_defers_and_takes_mail_again() {
    let stage = Stage::start(SINGLE_NODE).await;
    let alice = stage.user("alice", "mail-1").await.unwrap();
    let path = format!("/v1/domains/{DOMAIN}");
    for (status, code) in [("suspended", 450), ("closed", 550), ("active", 250)] {
        stage.rest.patch(&path, &json!({"status": status})).await.unwrap();
        stage.rest.converged().await.unwrap();
        answered(&stage, &alice, code).await;
    }
    let at_once = json!({"suspended_defer_days": 0});
    stage.rest.patch("/v1/settings", &at_once).await.unwrap();
    stage.rest.patch(&path, &json!({"status": "suspended"})).await.unwrap();
    stage.rest.converged().await.unwrap();
    answered(&stage, &alice, 550).await;
}
