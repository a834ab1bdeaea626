//! Joining: a token and the root's fingerprint become a certificate.

use std::{fmt, str::FromStr, sync::Arc};

use rcgen::KeyPair;
use sha2::{Digest, Sha256};
use umail_proto::agent::{
    EnrolRequest, EnrolResponse, enrolment_service_client::EnrolmentServiceClient,
};

use super::{IdentityError, certificate, create_folder, current, tls, write};
use crate::{config::Config, layout::Layout, link};

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of this certificate.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// Reads 64 hexadecimal digits, with or without colons.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.replace(':', ""), &mut bytes)
            .map_err(|error| format!("a fingerprint has 64 hexadecimal digits: {error}"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA-256 {}", hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a person hands to `umail-agent join`.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The join token as it was printed.
    pub token: String,
    /// The node's name: the token is bound to it.
    pub name: String,
    /// Fingerprint of the root to trust.
    pub root: Fingerprint,
}

/// Gets this node its certificate and returns the node's id. The servers are asked in turn until
/// one has answered.
pub async fn join(
    layout: &Layout,
    config: &Config,
    joining: &Joining,
) -> Result<String, IdentityError> {
    let refused = |error: &dyn fmt::Display| IdentityError::Refused(error.to_string());
    create_folder(layout)?;
    let key = KeyPair::generate().map_err(|error| refused(&error))?;
    let request = EnrolRequest {
        join_token: joining.token.clone(),
        signing_request: certificate::signing_request(&key).map_err(|error| refused(&error))?,
        node_name: joining.name.clone(),
        address: config.address.to_string(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let enrolled = enrol(config, joining.root, request).await?;
    let offered = enrolled.certificate.unwrap_or_default();
    let key_pem = key.serialize_pem();
    current(&enrolled.node_id, &key_pem, &offered.chain_pem, &offered.roots_pem)
        .map_err(|reason| IdentityError::Refused(format!("the server's answer: {reason}")))?;
    let roots = certificate::chain(&offered.roots_pem).map_err(|error| refused(&error))?;
    if !roots.iter().any(|root| Fingerprint::of(root) == joining.root) {
        return Err(refused(&"the server's answer lacks the root of that fingerprint"));
    }
    let folder = layout.agent();
    write(&folder, "node.key", &key_pem)?;
    write(&folder, "roots.pem", &offered.roots_pem)?;
    write(&folder, "node.pem", &offered.chain_pem)?;
    write(&folder, "node-id", &enrolled.node_id)?;
    Ok(enrolled.node_id)
}

async fn enrol(
    config: &Config,
    root: Fingerprint,
    request: EnrolRequest,
) -> Result<EnrolResponse, IdentityError> {
    let pinned = Arc::new(tls::pinned(root).map_err(IdentityError::Refused)?);
    let mut reason = "agent.toml names no servers".to_owned();
    for server in &config.servers {
        match link::connect(server, Arc::clone(&pinned)).await {
            Err(error) => reason = format!("{server}: {error}"),
            // The token is single use: the first server that answers decides.
            Ok(channel) => {
                let answer = EnrolmentServiceClient::new(channel).enrol(request).await;
                return answer.map(tonic::Response::into_inner).map_err(|status| {
                    IdentityError::Refused(format!("{server}: {}", status.message()))
                });
            }
        }
    }
    Err(IdentityError::Refused(reason))
}
