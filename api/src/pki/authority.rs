//! Issues certificates; its key is sealed in the database and shared by all instances.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber,
};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, pem::PemObject,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use umail_proto::{clock::Clock, ids::NodeId};

use crate::{
    database::pool::Pool,
    error::{Error, Result},
    pki::SERVER_NAME,
    sealer::Sealer,
    store,
};

/// Of a node's certificate; renewed at half of it.
pub const NODE_LIFETIME: Duration = Duration::hours(24);
/// Of the certificate of a node's mail daemons.
pub const MAIL_LIFETIME: Duration = Duration::days(90);
/// Of a server's own certificate, which lives in its memory only.
const SERVER_LIFETIME: Duration = Duration::days(7);
const ROOT_LIFETIME: Duration = Duration::days(20 * 365);
/// Clocks of nodes may be slow by this much.
const BACKDATED: Duration = Duration::hours(1);
const SECRET: &str = "certificate-authority";

/// The certificate authority of the fleet.
#[derive(Debug)]
pub struct Authority {
    root: CertificateDer<'static>,
    root_pem: String,
    issuer: Issuer<'static, KeyPair>,
    clock: Clock,
}

/// A certificate for a key that only its owner has.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Certificate and root, leaf first.
    pub chain_pem: String,
    /// Unique among all certificates.
    pub serial: Vec<u8>,
    /// The end of its life.
    pub not_after: OffsetDateTime,
}

/// A certificate and the key that was made for it.
#[derive(Debug)]
pub struct IssuedWithKey {
    /// Certificate and root, leaf first.
    pub chain_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: String,
    /// The end of its life.
    pub not_after: OffsetDateTime,
}

impl Authority {
    /// The authority of this database, founded at first use. Instances that race agree on one.
    pub async fn open(pool: &Pool, sealer: &Sealer, clock: Clock) -> Result<Self> {
        let found = store::secrets::find(pool, SECRET).await?;
        let kept = if let Some(kept) = found {
            kept
        } else {
            let new = sealer.seal(SECRET, found_root(clock.now())?.as_bytes())?;
            store::secrets::insert_or_find(pool, SECRET, &new).await?
        };
        let pem = String::from_utf8(sealer.open(SECRET, &kept)?).map_err(Error::internal)?;
        Self::from_pem(&pem, clock)
    }

    /// Reads certificate and key.
    fn from_pem(pem: &str, clock: Clock) -> Result<Self> {
        let root = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(Error::internal)?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(Error::internal)?;
        let key = KeyPair::try_from(&key).map_err(Error::internal)?;
        let issuer = Issuer::from_ca_cert_der(&root, key).map_err(Error::internal)?;
        let root_pem = to_pem(&root);
        Ok(Self { root, root_pem, issuer, clock })
    }

    /// The root, DER.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The root, PEM.
    #[must_use]
    pub fn roots_pem(&self) -> &str {
        &self.root_pem
    }

    /// SHA-256 of the root, in hexadecimal: what a joining node trusts.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.root))
    }

    /// A certificate for a node. Of the request only key and signature count.
    pub fn issue_node(&self, node: NodeId, request: &[u8]) -> Result<Issued> {
        let request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request));
        let request =
            request.map_err(|cause| Error::invalid("signing_request", cause.to_string()))?;
        let mut params = self.leaf(&node.to_string(), NODE_LIFETIME)?;
        params.subject_alt_names = vec![
            dns(&format!("{node}.node.umail"))?,
            SanType::URI(name(&format!("urn:umail:node:{node}"))?),
        ];
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        let not_after = params.not_after;
        Ok(Issued { chain_pem: self.sign(&params, &request.public_key)?, serial, not_after })
    }

    /// A certificate for this server.
    pub fn issue_server(&self) -> Result<IssuedWithKey> {
        let mut params = self.leaf(SERVER_NAME, SERVER_LIFETIME)?;
        params.subject_alt_names = vec![dns(SERVER_NAME)?];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign_with_key(&params)
    }

    /// A certificate for the mail daemons of a node.
    pub fn issue_mail(&self, hostname: &str, address: IpAddr) -> Result<IssuedWithKey> {
        let mut params = self.leaf(hostname, MAIL_LIFETIME)?;
        params.subject_alt_names = vec![dns(hostname)?, SanType::IpAddress(address)];
        self.sign_with_key(&params)
    }

    fn leaf(&self, common_name: &str, lifetime: Duration) -> Result<CertificateParams> {
        let now = self.clock.now();
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(Error::internal)?;
        // A positive number of full length.
        serial[0] = serial[0] & 0x7f | 0x40;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(common_name);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = now - BACKDATED;
        params.not_after = whole_seconds(now + lifetime);
        Ok(params)
    }

    fn sign_with_key(&self, params: &CertificateParams) -> Result<IssuedWithKey> {
        let key = KeyPair::generate().map_err(Error::internal)?;
        let chain_pem = self.sign(params, &key)?;
        Ok(IssuedWithKey { chain_pem, key_pem: key.serialize_pem(), not_after: params.not_after })
    }

    fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Result<String> {
        let leaf = params.signed_by(key, &self.issuer).map_err(Error::internal)?;
        Ok(leaf.pem() + &self.root_pem)
    }
}

/// Makes a root: its certificate and key, PEM.
fn found_root(now: OffsetDateTime) -> Result<String> {
    let key = KeyPair::generate().map_err(Error::internal)?;
    let mut params = CertificateParams::default();
    // Two fleets have two names, so that nobody takes one's root for the other's.
    let id = hex::encode(Sha256::digest(key.public_key_raw()));
    params.distinguished_name =
        distinguished_name(&format!("U-Mail {}", id.get(..12).unwrap_or_default()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - BACKDATED;
    params.not_after = whole_seconds(now + ROOT_LIFETIME);
    let root = params.self_signed(&key).map_err(Error::internal)?;
    Ok(root.pem() + &key.serialize_pem())
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "U-Mail");
    name.push(DnType::CommonName, common_name);
    name
}

fn dns(text: &str) -> Result<SanType> {
    Ok(SanType::DnsName(name(text)?))
}

fn name(text: &str) -> Result<rcgen::string::Ia5String> {
    text.try_into().map_err(|cause: rcgen::Error| Error::internal(cause))
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let text = BASE64_STANDARD.encode(certificate);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Certificates know no fractions of a second.
fn whole_seconds(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(0).unwrap_or(time)
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::PublicKeyData as _;

    use super::*;
    use crate::pki::NodeCertificate;

    pub(crate) fn authority(clock: Clock) -> Authority {
        Authority::from_pem(&found_root(clock.now()).unwrap(), clock).unwrap()
    }

    fn leaf(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn a_node_gets_the_names_that_the_server_sets() {
        let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let authority = authority(clock.clone());
        let key = KeyPair::generate().unwrap();
        let mut asked = CertificateParams::new(["umail-api".to_owned()]).unwrap();
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let request = asked.serialize_request(&key).unwrap();
        let node = NodeId::generate(clock.now());
        let issued = authority.issue_node(node, request.der()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf(&issued.chain_pem))
            .map(|(rest, one)| (rest.len(), one.to_owned_parts()))
            .unwrap();
        assert!(!parsed.0);
        assert_eq!(parsed.1, key.subject_public_key_info());
        assert!(!parsed.2.contains("umail-api"), "{}", parsed.2);
        let identity = NodeCertificate::read(&leaf(&issued.chain_pem)).unwrap();
        assert_eq!(identity.node, node);
        assert_eq!(identity.serial, issued.serial);
        assert_eq!(identity.not_after, clock.now() + NODE_LIFETIME);
    }

    trait Parts {
        fn to_owned_parts(&self) -> (bool, Vec<u8>, String);
    }

    impl Parts for x509_parser::certificate::X509Certificate<'_> {
        fn to_owned_parts(&self) -> (bool, Vec<u8>, String) {
            let names = self.subject_alternative_name().unwrap().unwrap();
            (self.is_ca(), self.public_key().raw.to_vec(), format!("{:?}", names.value))
        }
    }

    #[test]
    fn a_request_with_a_broken_signature_is_refused() {
        let clock = Clock::system();
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        let mut der = request.der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        let node = NodeId::generate(clock.now());
        let error = authority(clock).issue_node(node, &der).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }

    #[test]
    fn certificates_of_mail_daemons_and_servers_name_no_node() {
        let authority = authority(Clock::system());
        let mail = authority.issue_mail("mx-1", [10, 0, 0, 1].into()).unwrap();
        assert!(NodeCertificate::read(&leaf(&mail.chain_pem)).is_none());
        let server = authority.issue_server().unwrap();
        assert!(NodeCertificate::read(&leaf(&server.chain_pem)).is_none());
    }
}
