//! A certification authority for one test.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls_pki_types::CertificateSigningRequestDer;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use umail_proto::{agent::NodeCertificate, clock::Clock};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test root");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn root_pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.0.der()))
    }

    /// Chain and key of the server.
    pub(crate) fn server(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["umail-api".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (format!("{}{}", certificate.pem(), self.root_pem()), key.serialize_pem())
    }

    /// The certificate of a node, good from an hour before now until that long after now.
    pub(crate) fn node(
        &self,
        request: &[u8],
        node_id: &str,
        good_for: Duration,
    ) -> NodeCertificate {
        let request = CertificateSigningRequestDer::from(request.to_vec());
        let mut request = CertificateSigningRequestParams::from_der(&request).unwrap();
        let now: OffsetDateTime = Clock::system().now();
        request.params.distinguished_name.push(DnType::CommonName, node_id);
        request.params.subject_alt_names = vec![
            SanType::DnsName(format!("{node_id}.node.umail").try_into().unwrap()),
            SanType::URI(format!("urn:umail:node:{node_id}").try_into().unwrap()),
        ];
        request.params.not_before = now - Duration::hours(1) + good_for.min(Duration::ZERO);
        request.params.not_after = now + good_for;
        let certificate = request.signed_by(&self.0).unwrap();
        NodeCertificate {
            chain_pem: format!("{}{}", certificate.pem(), self.root_pem()),
            roots_pem: self.root_pem(),
            not_after: None,
        }
    }
}
