//! App passwords: long random ones, for programs that sign in all the time.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use sha2::{Digest, Sha512};
use time::OffsetDateTime;
use umail_proto::{functions::Functions, ids::CredentialId};

use crate::model::{functions, text};

/// How many one user may have.
pub const MAX_APP_PASSWORDS: i64 = 50;
/// 32 letters and digits that look different: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstvwxyz0123456789";
/// 28 of them: 140 bits.
const LEN: usize = 28;
const GROUP: usize = 4;

/// An app password, without the password.
#[derive(Clone, Debug, Serialize)]
pub struct AppPassword {
    /// Identifies it.
    pub id: CredentialId,
    /// What it is for.
    pub label: String,
    /// What it is good for.
    #[serde(serialize_with = "functions::serialize")]
    pub functions: Functions,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Reads what an app password is for.
pub fn parse_label(label: &str) -> Result<String, String> {
    text::name(label, 64)
}

/// Spells out random bytes as a password.
#[must_use]
pub fn spell(random: &[u8; LEN]) -> String {
    let letters = random
        .iter()
        .map(|byte| char::from(ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or_default()));
    let mut password = String::with_capacity(LEN + LEN / GROUP);
    for (index, letter) in letters.enumerate() {
        if index > 0 && index % GROUP == 0 {
            password.push('-');
        }
        password.push(letter);
    }
    password
}

/// What is stored: a fast salted hash, since nobody can guess 140 random bits.
#[must_use]
pub fn hash(password: &str, salt: [u8; 16]) -> String {
    let digest = Sha512::new().chain_update(password).chain_update(salt).finalize();
    let bytes = [&digest[..], &salt].concat();
    format!("{{SSHA512}}{}", BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_28_letters_in_groups() {
        let password = spell(&[255; LEN]);
        assert_eq!(password, "9999-9999-9999-9999-9999-9999-9999");
    }

    #[test]
    fn the_hash_is_the_one_that_dovecot_makes() {
        // doveadm pw -s SSHA512 verifies it: digest of password and salt, then the salt.
        let hash = hash("secret", *b"0123456789abcdef");
        let bytes = BASE64_STANDARD.decode(hash.strip_prefix("{SSHA512}").unwrap()).unwrap();
        assert_eq!(bytes.len(), 80);
        assert_eq!(&bytes[64..], b"0123456789abcdef");
        assert_eq!(&bytes[..64], &Sha512::digest("secret0123456789abcdef")[..]);
    }
}
