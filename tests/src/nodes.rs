//! Nodes that enrol as machines do, with a join token of the API.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "a harness fails by panicking, where the test can see it"
)]

use rcgen::{CertificateParams, KeyPair};
use reqwest::StatusCode;
use serde_json::json;
use umail_api::{
    app::enrolment::{Enrolment, enrol},
    context::Context,
};
use umail_proto::ids::NodeId;

use crate::api::Api;

/// A node with its identity.
pub struct Node {
    /// Who it is.
    pub id: NodeId,
    /// Its key.
    pub key: KeyPair,
    /// Its certificate, leaf first, PEM.
    pub chain_pem: String,
}

/// Makes a node of these roles, whose address is 10.0.0.1.
pub async fn join(api: &Api, name: &str, roles: &[&str]) -> Node {
    let body = json!({"node_name": name, "roles": roles});
    let made = api.post("/v1/join_tokens", body).await.is(StatusCode::CREATED).body;
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap();
    let wanted = Enrolment {
        join_token: made["token"].as_str().unwrap(),
        signing_request: request.der(),
        node_name: name,
        address: "10.0.0.1",
        from: [127, 0, 0, 1].into(),
    };
    let (id, issued) = enrol(&Context::system(api.state.clone()), wanted).await.unwrap();
    Node { id, key, chain_pem: issued.chain_pem }
}
