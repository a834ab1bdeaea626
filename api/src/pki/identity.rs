//! What a node's certificate says about its bearer.

use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use umail_proto::ids::NodeId;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const URN: &str = "urn:umail:node:";

/// The certificate of a node, once its chain has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    /// Whose it is.
    pub node: NodeId,
    /// Unique among all certificates.
    pub serial: Vec<u8>,
    /// The end of its life.
    pub not_after: OffsetDateTime,
}

impl NodeCertificate {
    /// Reads the certificate; none unless it names exactly one node.
    #[must_use]
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let mut nodes = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(URN)?.parse().ok(),
            _ => None,
        });
        let (Some(node), None) = (nodes.next(), nodes.next()) else { return None };
        Some(Self {
            node,
            serial: certificate.raw_serial().to_vec(),
            not_after: certificate.validity().not_after.to_datetime(),
        })
    }
}
