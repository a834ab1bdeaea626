//! The golden matrix of the agents' calls: whoever has no good certificate gets nothing.

use std::fmt::Write;

use prost::Message;
use prost_types::FileDescriptorSet;
use reqwest::StatusCode;
use serde_json::json;
use tonic::{Code, Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use umail_proto::DESCRIPTORS;
use umail_tests::{agents::Server, nodes};

/// The one call that needs no certificate: the join token in it is what admits.
const PUBLIC: &str = "/umail.agent.v1.EnrolmentService/Enrol";

/// Every call of every service.
fn calls() -> Vec<String> {
    let mut calls = Vec::new();
    for file in FileDescriptorSet::decode(DESCRIPTORS).unwrap().file {
        for service in &file.service {
            for method in &service.method {
                calls.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    assert!(calls.len() > 10, "{calls:?}");
    calls
}

/// How the server answers an empty message.
async fn answer(channel: &Channel, call: &str) -> Code {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec: ProstCodec<(), ()> = ProstCodec::default();
    let path = call.parse().unwrap();
    match client.unary(Request::new(()), path, codec).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn every_call_refuses_who_has_no_good_certificate() {
    let server = Server::start().await;
    let revoked = nodes::join(&server.api, "node-1", &["smtp"]).await;
    let path = "/v1/nodes/node-1/revoke";
    server.api.post(path, json!({})).await.is(StatusCode::OK);
    let nobody = server.endpoint(None).connect().await.unwrap();
    let revoked = server.endpoint(Some(&revoked)).connect().await.unwrap();
    let mut text = format!("{:<50}{:<20}revoked\n", "", "nobody");
    for call in calls() {
        let (nobody, revoked) = (answer(&nobody, &call).await, answer(&revoked, &call).await);
        writeln!(text, "{call:<50}{:<20}{revoked:?}", format!("{nobody:?}")).unwrap();
        if call != PUBLIC {
            assert_eq!(nobody, Code::Unauthenticated, "{call}");
            assert_eq!(revoked, Code::PermissionDenied, "{call}");
        }
        assert!(nobody != Code::Ok && revoked != Code::Ok, "{call}");
    }
    assert!(text == include_str!("rpcs.txt"), "rpcs.txt should be:\n{text}");
    server.stop().await;
}
