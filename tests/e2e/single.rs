//! A single server that does everything: SMTP, POP and IMAP, storage.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use umail_tests::harness::{
    fleet::SINGLE_NODE,
    mail::{Pop3, Smtp, message},
    until,
};

use crate::stage::{GUEST, PASSWORD, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn one_node_with_all_roles_does_the_whole_job() {
    let stage = Stage::start(SINGLE_NODE).await;
    let alice = stage.user("alice", "mail-1").await.unwrap();
    let bob = stage.user("bob", "mail-1").await.unwrap();
    stage.rest.converged().await.unwrap();

    assert_eq!(stage.send(&alice, "one@single").await.unwrap().code, 250);
    let submission = Smtp::connect(stage.smtp(587)).await.unwrap();
    let mut submission = submission.start_tls(&stage.trust).await.unwrap();
    let wrong = submission.login(&alice, "a wrong password").await.unwrap();
    assert_eq!(wrong.code, 535, "{wrong:?}");
    assert_eq!(submission.login(&alice, PASSWORD).await.unwrap().code, 235);
    let text = message(&alice, &bob, "two@single", "a submission");
    assert_eq!(submission.send(&alice, &[&bob], &text).await.unwrap().code, 250);

    // What was sent counts, also for a limit that comes afterwards.
    let limit = json!({"messages_per_hour": 1});
    stage.rest.patch(&format!("/v1/users/{alice}"), &limit).await.unwrap();
    stage.rest.converged().await.unwrap();
    let text = message(&alice, &bob, "three@single", "one too many");
    let refused = submission.send(&alice, &[&bob], &text).await.unwrap();
    assert_eq!(refused.code, 450, "{refused:?}");
    assert!(refused.text.contains("limit of 1 messages per hour"), "{refused:?}");

    stage.arrives(&alice, "one@single").await.unwrap();
    stage.arrives(&bob, "two@single").await.unwrap();
    let mut pop = Pop3::open(address(&stage, 995), &stage.trust, &bob, PASSWORD).await.unwrap();
    assert_eq!(pop.unique_ids().await.unwrap().len(), 1);
    assert!(pop.retrieve(1).await.unwrap().contains("two@single"));
    pop.quit().await.unwrap();

    let unknown =
        stage.send(&format!("nobody@{}", crate::stage::DOMAIN), "x@single").await.unwrap();
    assert_eq!(unknown.code, 550, "{unknown:?}");
    let relayed = stage.send("somebody@example.com", "y@single").await.unwrap();
    assert!(!relayed.is_positive(), "{relayed:?} for {GUEST}");
    until(Duration::from_secs(20), async || {
        let counts = [
            stage.counted("mail-1", "received").await?,
            stage.counted("mail-1", "submitted").await?,
            stage.counted("mail-1", "stored").await?,
        ];
        Ok(if counts == [1, 1, 2] { Ok(()) } else { Err(format!("counted {counts:?}")) })
    })
    .await
    .unwrap();
}

fn address(stage: &Stage, port: u16) -> SocketAddr {
    SocketAddr::new(stage.fleet.nodes[0].address(), port)
}
