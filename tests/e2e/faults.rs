//! Faults of all kinds, one after the other on one fleet: mail goes on and nothing is lost.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;
use tokio::time::sleep;
use tonic::Code;
use umail_agent::{identity::Identity, link};
use umail_proto::agent::{
    GetDesiredStateRequest, HeartbeatRequest, ListDirectoryRowsRequest, ReportActionRequest,
    agent_service_client::AgentServiceClient, directory_row::Row,
};
use umail_tests::harness::{fleet::FOUR_NODES, node::Node, until};

use crate::stage::Stage;

type Agent = AgentServiceClient<tonic::transport::Channel>;

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_on_through_faults_of_every_part() {
    let mut stage = Stage::start(FOUR_NODES).await;
    let one = stage.user("one", "storage-1").await.unwrap();
    let two = stage.user("two", "storage-2").await.unwrap();
    stage.rest.converged().await.unwrap();
    let sent = agents_stop_and_mail_does_not_notice(&mut stage, &one, &two).await;
    control_plane_dies_under_traffic(&mut stage, &one, &two, sent).await;
    an_agent_hangs(&mut stage).await;
    an_agent_is_killed_while_it_applies_changes(&mut stage).await;
    an_agent_gets_its_own_view_only(&stage).await;
    a_revoked_node_is_cut_off(&mut stage, &one).await;
}

/// An upgrade of the agents: the daemons run on, and Postfix finds nothing fatal. Returns how many
/// messages were sent.
async fn agents_stop_and_mail_does_not_notice(stage: &mut Stage, one: &str, two: &str) -> u64 {
    let (masters, complaints) = (masters(stage), complaints(stage));
    let flow = stage.flow("upgrade", &[one, two], 20);
    for name in ["smtp-1", "storage-1", "pop-1", "storage-2"] {
        stage.fleet.node_mut(name).unwrap().stop().await.unwrap();
        sleep(Duration::from_secs(1)).await;
        stage.fleet.node_mut(name).unwrap().start().unwrap();
    }
    stage.fleet.ready(&stage.rest).await.unwrap();
    let sent = flow.finish().await.unwrap();
    assert_eq!((sent.deferred, sent.unclear), (0, 0));
    stage.all_arrive_once(&[one, two], &sent).await.unwrap();
    assert_eq!(masters, self::masters(stage), "a daemon was restarted");
    assert_eq!(complaints, self::complaints(stage));
    sent.accepted.len() as u64
}

/// What Postfix cannot go on with.
fn complaints(stage: &Stage) -> Vec<String> {
    let smtp = stage.fleet.node("smtp-1").unwrap();
    [smtp.log_lines("postfix", "fatal:"), smtp.log_lines("postfix", "panic:")].concat()
}

/// Process ids of the mail daemons.
fn masters(stage: &Stage) -> Vec<String> {
    let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let nodes = stage.fleet.nodes.iter();
    let ids = nodes.map(|node| {
        let postfix = read(node.layout().queue().join("pid").join("master.pid"));
        postfix + "/" + &read(node.layout().run("dovecot").join("master.pid"))
    });
    ids.collect()
}

/// Server and database are away for a minute; the counts of that time arrive exactly.
async fn control_plane_dies_under_traffic(stage: &mut Stage, one: &str, two: &str, before: u64) {
    counted(stage, before).await;
    let flow = stage.flow("outage", &[one, two], 20);
    sleep(Duration::from_secs(2)).await;
    stage.fleet.server.kill().await.unwrap();
    sleep(Duration::from_mins(1)).await;
    stage.inbox(one).await.unwrap();
    stage.fleet.server.start().await.unwrap();
    stage.rest.sign_in_again().await.unwrap();
    stage.fleet.ready(&stage.rest).await.unwrap();
    let sent = flow.finish().await.unwrap();
    assert_eq!((sent.deferred, sent.unclear), (0, 0));
    stage.all_arrive_once(&[one, two], &sent).await.unwrap();
    counted(stage, before + sent.accepted.len() as u64).await;
}

/// Waits until exactly so many messages have been counted as received, and as stored.
async fn counted(stage: &Stage, messages: u64) {
    until(Duration::from_secs(30), async || {
        let now = counts(stage).await?;
        let is_all = now == (messages, messages);
        Ok(if is_all { Ok(()) } else { Err(format!("{now:?}, sent {messages}")) })
    })
    .await
    .unwrap();
}

/// Received by the SMTP node, and stored by both storage nodes.
async fn counts(stage: &Stage) -> umail_tests::harness::Result<(u64, u64)> {
    let stored =
        stage.counted("storage-1", "stored").await? + stage.counted("storage-2", "stored").await?;
    Ok((stage.counted("smtp-1", "received").await?, stored))
}

/// SIGSTOP: the server notices, the others are not held up, and the agent catches up.
async fn an_agent_hangs(stage: &mut Stage) {
    stage.fleet.node("storage-1").unwrap().signal(Signal::SIGSTOP).unwrap();
    stage.status("storage-1", "unreachable", Duration::from_secs(25)).await.unwrap();
    let elsewhere = stage.user("elsewhere", "storage-2").await.unwrap();
    let here = stage.user("here", "storage-1").await.unwrap();
    stage.rest.converged().await.unwrap();
    assert_eq!(stage.send(&elsewhere, "elsewhere@hang").await.unwrap().code, 250);
    assert_eq!(stage.send(&here, "here@hang").await.unwrap().code, 250);
    stage.arrives(&elsewhere, "elsewhere@hang").await.unwrap();
    stage.fleet.node("storage-1").unwrap().signal(Signal::SIGCONT).unwrap();
    stage.status("storage-1", "ready", Duration::from_secs(30)).await.unwrap();
    stage.rest.converged().await.unwrap();
    // It waited in the queue: the storage node did not know the user yet and must not say no.
    stage.arrives(&here, "here@hang").await.unwrap();
}

/// SIGKILL at many moments of many changes: the replica is whole after each of them.
async fn an_agent_is_killed_while_it_applies_changes(stage: &mut Stage) {
    let mut users = Vec::new();
    for round in 0..6_u64 {
        for number in 0..10 {
            users.push(stage.user(&format!("kill{round}-{number}"), "storage-2").await.unwrap());
            if number == round {
                for name in ["storage-2", "smtp-1"] {
                    sleep(Duration::from_millis(7 * round)).await;
                    stage.fleet.node_mut(name).unwrap().kill().await.unwrap();
                    stage.fleet.node_mut(name).unwrap().start().unwrap();
                }
            }
        }
    }
    stage.fleet.ready(&stage.rest).await.unwrap();
    stage.rest.converged().await.unwrap();
    for user in &users {
        assert_eq!(stage.accepts(user).await.unwrap().code, 250, "{user}");
    }
    let last = users.last().unwrap();
    assert_eq!(stage.send(last, "last@kill").await.unwrap().code, 250);
    stage.arrives(last, "last@kill").await.unwrap();
}

/// The node's certificate decides what it sees, whatever it asks for.
async fn an_agent_gets_its_own_view_only(stage: &Stage) {
    let own = stage.rest.get("/v1/users/one@stage.test").await.unwrap()["id"].clone();
    let foreign = stage.rest.get("/v1/users/two@stage.test").await.unwrap()["id"].clone();
    let mut agent = impostor(stage, stage.fleet.node("storage-1").unwrap()).await;
    let (mut users, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListDirectoryRowsRequest { page_size: 1000, page_token };
        let page = agent.list_directory_rows(request).await.unwrap().into_inner();
        for row in page.rows.into_iter().filter_map(|row| row.row) {
            match row {
                Row::User(user) => users.push(user.id),
                Row::Credential(credential) => users.push(credential.user_id),
                _ => {}
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(users.iter().any(|id| own == id.as_str()), "its own user is not in its view");
    assert!(!users.iter().any(|id| foreign == id.as_str()), "a foreign user is in its view");
    let action_id = uuid::Uuid::new_v4().to_string();
    let request = ReportActionRequest { action_id, outcome: 1, ..ReportActionRequest::default() };
    let status = agent.report_action(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::NotFound | Code::InvalidArgument), "{status:?}");
    let request = ListDirectoryRowsRequest { page_size: 1000, page_token: "no token".into() };
    let status = agent.list_directory_rows(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

/// A client with a node's certificate that is not its agent.
async fn impostor(stage: &Stage, node: &Node) -> Agent {
    let identity = Identity::load(&node.layout()).unwrap();
    let server = format!("https://{}", stage.fleet.server.grpc());
    let channel = link::connect(&server, identity.client_config()).await.unwrap();
    AgentServiceClient::new(channel)
}

/// A heartbeat of an agent that has just started.
fn beat() -> HeartbeatRequest {
    let boot = uuid::Uuid::new_v4().to_string();
    HeartbeatRequest { boot, ..HeartbeatRequest::default() }
}

/// Revocation cuts off the agent and its certificate; the rest of the fleet goes on.
async fn a_revoked_node_is_cut_off(stage: &mut Stage, one: &str) {
    let node = stage.fleet.node("storage-2").unwrap();
    let mut agent = impostor(stage, node).await;
    // Its agent is connected: whoever else has its certificate does not speak for it.
    let rival = agent.heartbeat(beat()).await.unwrap_err();
    assert_eq!(rival.code(), Code::PermissionDenied, "{rival:?}");
    agent.get_desired_state(GetDesiredStateRequest {}).await.unwrap();
    stage.rest.post("/v1/nodes/storage-2/revoke", &serde_json::json!({})).await.unwrap();
    until(Duration::from_secs(3), async || {
        let answer = agent.get_desired_state(GetDesiredStateRequest {}).await;
        Ok(if answer.is_err() { Ok(()) } else { Err("it is still served".to_owned()) })
    })
    .await
    .unwrap();
    let identity = Identity::load(&node.layout()).unwrap();
    let server = format!("https://{}", stage.fleet.server.grpc());
    if let Ok(channel) = link::connect(&server, identity.client_config()).await {
        let mut agent = AgentServiceClient::new(channel);
        assert!(agent.get_desired_state(GetDesiredStateRequest {}).await.is_err());
    }
    stage.status("storage-2", "unreachable", Duration::from_secs(25)).await.unwrap();
    assert_eq!(stage.send(one, "after@revoke").await.unwrap().code, 250);
    stage.arrives(one, "after@revoke").await.unwrap();
}
