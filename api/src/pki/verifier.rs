//! Lets certificates of the own authority in, and expired ones for as long as they may be renewed.

use std::{sync::Arc, time::Duration};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use umail_proto::clock::Clock;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    error::{Error, Result},
    pki::{Authority, GRACE},
};

/// Verifies the chain of a client certificate, if the client shows one. Whether it may do more
/// than renew is decided with each call.
#[derive(Debug)]
pub struct Verifier {
    inner: Arc<dyn ClientCertVerifier>,
    clock: Clock,
}

impl Verifier {
    /// Trusts this authority and nobody else.
    pub fn new(authority: &Authority, provider: Arc<CryptoProvider>, clock: Clock) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.root().clone()).map_err(Error::internal)?;
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(Error::internal)?;
        Ok(Self { inner, clock })
    }

    /// The time at which the chain is verified: the end of its life when that has passed lately.
    fn time_for(&self, certificate: &CertificateDer<'_>) -> Result<UnixTime, TlsError> {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return Err(TlsError::InvalidCertificate(CertificateError::BadEncoding));
        };
        let (now, end) = (self.clock.now(), certificate.validity().not_after.to_datetime());
        if now > end + GRACE {
            return Err(TlsError::InvalidCertificate(CertificateError::Expired));
        }
        Ok(unix(now.min(end)))
    }
}

fn unix(time: OffsetDateTime) -> UnixTime {
    let seconds = u64::try_from(time.unix_timestamp()).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let time = self.time_for(end_entity)?;
        self.inner.verify_client_cert(end_entity, intermediates, time)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
