//! Reading certificates: whose they are, how long they are good, and asking for new ones.

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What node ids begin with in the URI of a certificate.
const NODE_URI: &str = "urn:umail:node:";

/// From when until when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The first moment.
    pub from: OffsetDateTime,
    /// The last moment.
    pub until: OffsetDateTime,
}

impl Lifetime {
    /// That of the leaf of this chain.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Result<Self, String> {
        let leaf = chain.first().ok_or("there is no certificate")?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
        let validity = leaf.validity();
        Ok(Self {
            from: validity.not_before.to_datetime(),
            until: validity.not_after.to_datetime(),
        })
    }

    /// When it is time to renew: half of the time has passed.
    #[must_use]
    pub fn half(&self) -> OffsetDateTime {
        self.from + (self.until - self.from) / 2
    }
}

/// The node that a peer's certificate names; none when it is not that of a node.
#[must_use]
pub fn peer_node_id(certificates: &[CertificateDer<'_>]) -> Option<String> {
    let (_, leaf) = X509Certificate::from_der(certificates.first()?).ok()?;
    let names = leaf.subject_alternative_name().ok()??;
    let id = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(NODE_URI),
        _ => None,
    })?;
    // The canonical form only: ids are compared as text.
    let uuid = uuid::Uuid::parse_str(id).ok()?;
    (uuid.hyphenated().to_string() == id).then(|| id.to_owned())
}

/// A chain in PEM, leaf first.
pub(super) fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("there is no certificate".to_owned()) } else { Ok(chain) }
}

/// Roots in PEM, at least one.
pub(super) fn roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for root in chain(pem)? {
        roots.add(root).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// A request for a certificate of this key. Names and extensions are the server's to set.
pub(super) fn signing_request(key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}
