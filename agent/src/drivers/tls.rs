//! Certificates of the mail daemons: one file with key and chain, one with the roots.

use std::{fmt::Display, path::Path};

use rustls::{RootCertStore, sign::CertifiedKey};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use umail_proto::agent::{DesiredState, MailTls};

use super::{ConfigFile, Refusal};
use crate::durable;

/// Key and chain, in this order: Postfix wants the key first, Dovecot does not mind.
pub(super) const PAIR: &str = "tls.pem";
/// The roots with which daemons of other nodes are verified.
pub(super) const ROOTS: &str = "roots.pem";

/// The files for a service whose configuration lies in `folder`; what the server does not send
/// stays as it is `installed`. Empty when there is no certificate at all.
pub(super) fn files(
    desired: &DesiredState,
    installed: &Path,
    folder: &Path,
) -> Result<Vec<ConfigFile>, Refusal> {
    let (pair, roots) = match &desired.mail_tls {
        Some(tls) if *tls != MailTls::default() => {
            check(tls)?;
            let newline = if tls.key_pem.ends_with('\n') { "" } else { "\n" };
            (format!("{}{newline}{}", tls.key_pem, tls.chain_pem), tls.roots_pem.clone())
        }
        _ => match (read(&installed.join(PAIR))?, read(&installed.join(ROOTS))?) {
            (Some(pair), Some(roots)) => (pair, roots),
            _ => return Ok(Vec::new()),
        },
    };
    Ok(vec![
        ConfigFile { path: folder.join(PAIR), content: pair, mode: 0o600 },
        ConfigFile { path: folder.join(ROOTS), content: roots, mode: 0o644 },
    ])
}

/// A daemon with a broken certificate, or one that does not go with the key, would run and serve
/// nobody.
fn check(tls: &MailTls) -> Result<(), Refusal> {
    let refused =
        |what: &str, error: &dyn Display| Refusal(format!("{what} of the mail daemons: {error}"));
    let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes())
        .map_err(|error| refused("key", &error))?;
    let chain = certificates(&tls.chain_pem).map_err(|error| refused("chain", &error))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| refused("chain", &error))?;
    let mut store = RootCertStore::empty();
    for root in certificates(&tls.roots_pem).map_err(|error| refused("roots", &error))? {
        store.add(root).map_err(|error| refused("roots", &error))?;
    }
    if store.is_empty() { Err(refused("roots", &"there are none")) } else { Ok(()) }
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(text.as_bytes()).collect()
}

fn read(path: &Path) -> Result<Option<String>, Refusal> {
    let content = durable::read(path).map_err(|error| super::install::failed(path, &error))?;
    Ok(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
}
