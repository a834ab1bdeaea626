//! Joining and renewing.

use std::{os::unix::fs::PermissionsExt, sync::Arc};

use umail_agent::{
    identity::{Identity, IdentityError, Joining, join},
    layout::Layout,
};

use crate::{
    node::{Node, a_while, config, until},
    server::{Script, Server},
};

fn joining(token: &str, fingerprint: &str) -> Joining {
    Joining { token: token.to_owned(), name: "mx-1".to_owned(), root: fingerprint.parse().unwrap() }
}

#[tokio::test]
async fn join_writes_an_identity_that_only_the_agent_reads() {
    let (folder, script) = (tempfile::tempdir().unwrap(), Script::new());
    let (server, layout) = (Server::start(&script), Layout::new(folder.path().join("data")));
    assert!(matches!(Identity::load(&layout), Err(IdentityError::Missing(_))));
    let config = config(&folder, &[server.address]);
    let joining = joining("good-token", &script.authority.fingerprint());
    let node_id = join(&layout, &config, &joining).await.unwrap();
    let identity = Identity::load(&layout).unwrap();
    assert_eq!(identity.node_id(), node_id);
    script.heard(|heard| {
        assert_eq!(heard.enrolments[0].node_name, "mx-1");
        assert_eq!(heard.enrolments[0].address, "127.0.0.1");
    });
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(layout.agent()), 0o700);
    assert_eq!(mode(layout.agent().join("node.key")), 0o600);
}

#[tokio::test]
async fn join_with_another_fingerprint_does_not_even_show_its_token() {
    let (folder, script) = (tempfile::tempdir().unwrap(), Script::new());
    let (server, layout) = (Server::start(&script), Layout::new(folder.path().join("data")));
    let config = config(&folder, &[server.address]);
    let error = join(&layout, &config, &joining("good-token", &"ab".repeat(32))).await.unwrap_err();
    assert!(error.to_string().contains("abab"), "{error}");
    assert!(script.heard(|heard| heard.enrolments.is_empty()));
    assert!(Identity::load(&layout).is_err());
}

#[tokio::test]
async fn join_with_a_token_that_is_not_known_says_so() {
    let (folder, script) = (tempfile::tempdir().unwrap(), Script::new());
    let (server, layout) = (Server::start(&script), Layout::new(folder.path().join("data")));
    let config = config(&folder, &[server.address]);
    let joining = joining("other-token", &script.authority.fingerprint());
    let error = join(&layout, &config, &joining).await.unwrap_err();
    assert!(error.to_string().contains("the join token is not known"), "{error}");
    assert!(Identity::load(&layout).is_err());
}

#[tokio::test]
async fn an_identity_of_another_node_is_refused() {
    let node = Node::new();
    let layout = Layout::new(node.folder.path());
    std::fs::write(layout.agent().join("node-id"), crate::node::EPOCH).unwrap();
    assert!(matches!(Identity::load(&layout), Err(IdentityError::Broken { .. })));
}

#[tokio::test]
async fn an_expired_certificate_renews_itself_and_the_link_comes_up() {
    let node = Node::joined(time::Duration::hours(-2));
    let server = Server::start(&node.script);
    let agent = node.start(&server).await;
    let before = agent.state().identity.client_config();
    until("heartbeats", || node.script.heard(|heard| !heard.heartbeats.is_empty())).await;
    assert_eq!(node.script.heard(|heard| heard.renewals), 1);
    assert!(!Arc::ptr_eq(&before, &agent.state().identity.client_config()));
    until("no alarms", || {
        !node.script.heard(|heard| heard.statuses.is_empty())
            && node.script.status().alarms.is_empty()
    })
    .await;
    assert!(agent.stop().await);
    let reloaded = Identity::load(&Layout::new(node.folder.path())).unwrap();
    assert!(reloaded.lifetime().until > node.clock.now());
}

#[tokio::test]
async fn a_certificate_is_renewed_at_half_of_its_life_and_the_link_follows() {
    let node = Node::new();
    let server = Server::start(&node.script);
    let agent = node.start(&server).await;
    until("heartbeats", || node.script.heard(|heard| heard.heartbeats.len() > 2)).await;
    assert_eq!(node.script.heard(|heard| heard.renewals), 0);
    let streams = node.script.heard(|heard| heard.directory.len());
    node.clock.advance(time::Duration::hours(13));
    until("a renewal", || node.script.heard(|heard| heard.renewals) == 1).await;
    until("a new connection", || node.script.heard(|heard| heard.directory.len()) > streams).await;
    assert!(agent.stop().await);
}

#[tokio::test]
async fn a_clock_that_is_far_ahead_does_not_renew_over_and_over() {
    let node = Node::new();
    let server = Server::start(&node.script);
    node.clock.advance(time::Duration::days(400));
    let agent = node.start(&server).await;
    until("a renewal", || node.script.heard(|heard| heard.renewals) == 1).await;
    until("heartbeats", || node.script.heard(|heard| heard.heartbeats.len() > 5)).await;
    a_while().await;
    assert_eq!(node.script.heard(|heard| heard.renewals), 1);
    assert!(agent.stop().await);
}
