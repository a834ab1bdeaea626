//! Small mail clients that see a server as any client does.

pub mod conversation;
pub mod imap;
pub mod pop3;
pub mod smtp;

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};

pub use self::{imap::Imap, pop3::Pop3, smtp::Smtp};
use super::{Because, Result};

/// The certificate authority that a client trusts.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the certificates of this PEM file only.
    pub fn from_file(path: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let name = path.display().to_string();
        for certificate in CertificateDer::pem_file_iter(path).because(name)? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// Text of a message with these fields; lines end as RFC 5322 wants it.
#[must_use]
pub fn message(from: &str, to: &str, id: &str, subject: &str) -> String {
    format!(
        "From: <{from}>\r\nTo: <{to}>\r\nMessage-ID: <{id}>\r\nSubject: {subject}\r\n\
         Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nThis is {subject}.\r\n"
    )
}

/// The value of a header field of a message, in angle brackets or not.
#[must_use]
pub fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let is_field = |line: &&str| line.len() > name.len() && line.is_char_boundary(name.len());
    let line = text.lines().filter(is_field).find(|line| {
        let (field, rest) = line.split_at(name.len());
        field.eq_ignore_ascii_case(name) && rest.starts_with(':')
    })?;
    let value = line.split_once(':')?.1.trim();
    Some(value.trim_start_matches('<').trim_end_matches('>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_fields_that_it_was_given() {
        let text = message("a@x.test", "b@x.test", "1@x.test", "number 1");
        assert_eq!(header(&text, "message-id"), Some("1@x.test"));
        assert_eq!(header(&text, "Subject"), Some("number 1"));
        assert_eq!(header(&text, "Cc"), None);
    }
}
