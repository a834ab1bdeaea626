//! A group, from the REST API to the mailboxes of its members on a real node.

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_tests::harness::fleet::SINGLE_NODE;

use crate::stage::{DOMAIN, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_a_group_is_in_the_mailboxes_of_its_members() {
    let stage = Stage::start(SINGLE_NODE).await;
    let alice = stage.user("alice", "mail-1").await.unwrap();
    let bob = stage.user("bob", "mail-1").await.unwrap();
    let carol = stage.user("carol", "mail-1").await.unwrap();
    let body = json!({"local_part": "team", "posting": "members"});
    stage.rest.post(&format!("/v1/domains/{DOMAIN}/groups"), &body).await.unwrap();
    let team = format!("team@{DOMAIN}");
    let path = format!("/v1/groups/{team}");
    for (method, member, status) in [
        (Method::PUT, &alice, StatusCode::OK),
        (Method::PUT, &bob, StatusCode::OK),
        (Method::PUT, &carol, StatusCode::OK),
        (Method::DELETE, &carol, StatusCode::NO_CONTENT),
    ] {
        let answer = stage.rest.ask(method, &format!("{path}/members/{member}"), None).await;
        assert_eq!(answer.unwrap().status, status);
    }
    stage.rest.converged().await.unwrap();

    // Closed to strangers, and to who is no member.
    assert_eq!(stage.send(&team, "stranger@groups").await.unwrap().code, 550);
    let refused = stage.submit(&carol, &team, "carol@groups").await.unwrap();
    assert_eq!(refused.code, 550, "{refused:?}");
    assert!(refused.text.contains("Only its members may write to the group"), "{refused:?}");
    assert_eq!(stage.submit(&alice, &team, "alice@groups").await.unwrap().code, 250);
    for member in [&alice, &bob] {
        stage.arrives(member, "alice@groups").await.unwrap();
    }

    // Open to all, and without bob, who was deleted.
    stage.rest.patch(&path, &json!({"posting": "anyone"})).await.unwrap();
    stage.rest.delete(&format!("/v1/users/{bob}")).await.unwrap();
    stage.rest.converged().await.unwrap();
    assert_eq!(stage.send(&team, "guest@groups").await.unwrap().code, 250);
    stage.arrives(&alice, "guest@groups").await.unwrap();
    let alices = stage.inbox(&alice).await.unwrap();
    assert_eq!(alices.into_keys().collect::<Vec<_>>(), ["alice@groups", "guest@groups"]);
    assert!(stage.inbox(&carol).await.unwrap().is_empty());

    stage.rest.delete(&path).await.unwrap();
    stage.rest.converged().await.unwrap();
    assert_eq!(stage.send(&team, "gone@groups").await.unwrap().code, 550);
}
