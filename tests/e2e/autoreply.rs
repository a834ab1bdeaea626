//! An automatic reply, from the REST API over two storage nodes and back to who wrote.

use std::time::Duration;

use serde_json::json;
use umail_tests::harness::{
    fleet::FOUR_NODES,
    mail::{Imap, header},
    until,
};

use crate::stage::{PASSWORD, Stage};

/// Writes to bob as this user, and sees it arrive.
async fn write(stage: &Stage, from: &str, bob: &str) {
    let id = format!("of-{from}");
    assert_eq!(stage.submit(from, bob, &id).await.unwrap().code, 250);
    stage.arrives(bob, &id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_to_somebody_away_is_told_so() {
    let stage = Stage::start(FOUR_NODES).await;
    let alice = stage.user("alice", "storage-1").await.unwrap();
    let carol = stage.user("carol", "storage-1").await.unwrap();
    let bob = stage.user("bob", "storage-2").await.unwrap();
    let reply = json!({"enabled": true, "subject": "Weg", "text": "Bis M\u{e4}rz, 100 %."});
    let path = format!("/v1/users/{bob}/autoreply");
    stage.rest.put(&path, &reply).await.unwrap();
    stage.rest.converged().await.unwrap();

    write(&stage, &alice, &bob).await;
    until(Duration::from_secs(30), async || {
        let there = stage.inbox(&alice).await?.len();
        Ok(if there == 1 { Ok(()) } else { Err(format!("{there} messages")) })
    })
    .await
    .unwrap();
    let pop = stage.fleet.node("pop-1").unwrap().address();
    let mut imap = Imap::open((pop, 993).into(), &stage.trust, &alice, PASSWORD).await.unwrap();
    imap.select("INBOX").await.unwrap();
    let text = imap.text(1).await.unwrap();
    assert_eq!(header(&text, "From"), Some(&*bob), "{text}");
    assert_eq!(header(&text, "Subject"), Some("Weg"), "{text}");
    assert!(text.contains("Bis M\u{e4}rz, 100 %."), "{text}");

    // Without the function nobody is told any more.
    let functions = ["pop3", "imap", "submission", "external_send"];
    let narrow = json!({ "functions": functions });
    stage.rest.patch(&format!("/v1/users/{bob}"), &narrow).await.unwrap();
    stage.rest.converged().await.unwrap();
    write(&stage, &carol, &bob).await;
    let smtp = stage.fleet.node("smtp-1").unwrap().folder().join("data/log/postfix.log");
    until(Duration::from_secs(30), async || {
        let log = std::fs::read_to_string(&smtp)?;
        let for_bob = |line: &&str| line.contains(&format!("to=<{bob}>")) && line.contains("sent");
        let count = log.lines().filter(for_bob).count();
        Ok(if count == 2 { Ok(()) } else { Err(format!("{count} delivered to bob")) })
    })
    .await
    .unwrap();
    let log = stage.fleet.node("storage-2").unwrap().folder().join("data/log/dovecot.log");
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("sent vacation response").count(), 1, "{log}");
    assert!(stage.inbox(&carol).await.unwrap().is_empty());
}
