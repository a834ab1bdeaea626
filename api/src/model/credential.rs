//! App passwords: long random ones, for programs that sign in all the time.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use sha2::{Digest, Sha512};
use time::OffsetDateTime;
use umail_api_types::functions::{FunctionName, set};
use umail_proto::{
    APP_PASSWORDS_TRIED,
    functions::{Function, Functions},
    ids::CredentialId,
};

use crate::model::{functions, text};

/// How many one user may have, those that have expired included.
const MAX_APP_PASSWORDS: usize = 50;
/// What an app password can be good for, and what those for it are called.
const PROTOCOLS: [(Function, &str); 3] = [
    (Function::Pop3, "app passwords for pop3"),
    (Function::Imap, "app passwords for imap"),
    (Function::Submission, "app passwords for submission"),
];
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
    /// When somebody signed in with it, as far as nodes have told. No change of it is anybody's.
    #[serde(skip)]
    pub last_used_at: Option<OffsetDateTime>,
    /// From where.
    #[serde(skip)]
    pub last_client_address: Option<String>,
}

/// A node has let somebody in with an app password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPasswordUse {
    /// When.
    pub used_at: OffsetDateTime,
    /// From where, if that is known.
    pub client_address: Option<String>,
}

/// Reads what an app password is for.
pub fn parse_label(label: &str) -> Result<String, String> {
    text::name(label, 64)
}

/// Reads what an app password is good for; nothing given: every protocol, those of later versions
/// included.
pub fn parse_scope(names: Option<&[FunctionName]>) -> Result<Functions, String> {
    let Some(names) = names else { return Ok(Functions::ALL) };
    let scope = set(names);
    if names.is_empty() || scope != protocols(scope) {
        return Err("must be one or more of pop3, imap, submission".to_owned());
    }
    Ok(scope)
}

/// What of a set an app password is good for.
#[must_use]
pub fn protocols(functions: Functions) -> Functions {
    let all = PROTOCOLS.into_iter().fold(Functions::NONE, |set, (one, _)| set.with(one));
    functions.intersection(all)
}

/// The limit that does not allow one more for this, beside those that a user has: of each whether
/// it is good still, and for what. Nodes would not try all of them.
#[must_use]
pub fn reached(held: &[(bool, Functions)], new: Functions) -> Option<(&'static str, i64)> {
    let is_full = |protocol: Function| {
        let good = held.iter().filter(|(is_good, scope)| *is_good && scope.contains(protocol));
        new.contains(protocol) && good.count() >= APP_PASSWORDS_TRIED
    };
    let full = PROTOCOLS.into_iter().find(|(protocol, _)| is_full(*protocol));
    let (kind, limit) = match full {
        Some((_, kind)) => (kind, APP_PASSWORDS_TRIED),
        None if held.len() >= MAX_APP_PASSWORDS => ("app_passwords", MAX_APP_PASSWORDS),
        None => return None,
    };
    Some((kind, i64::try_from(limit).unwrap_or(i64::MAX)))
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
    fn an_app_password_is_good_for_protocols() {
        use FunctionName::{ExternalSend, Imap, Pop3};
        assert_eq!(parse_scope(None), Ok(Functions::ALL));
        assert_eq!(parse_scope(Some(&[Pop3, Imap])), Ok(set(&[Pop3, Imap])));
        assert!(parse_scope(Some(&[])).is_err());
        assert!(parse_scope(Some(&[Imap, ExternalSend])).is_err());
    }

    #[test]
    fn as_many_are_good_for_a_protocol_as_nodes_try() {
        let (imap, pop3) = (set(&[FunctionName::Imap]), set(&[FunctionName::Pop3]));
        let mut held = vec![(true, imap); APP_PASSWORDS_TRIED - 1];
        assert_eq!(reached(&held, Functions::ALL), None);
        held.extend([(false, imap), (true, pop3)]);
        assert_eq!(reached(&held, imap), None);
        held.push((true, Functions::ALL));
        for new in [imap, Functions::ALL] {
            assert_eq!(reached(&held, new), Some(("app passwords for imap", 8)));
        }
        assert_eq!(reached(&held, pop3), None);
        let old = [(false, imap); MAX_APP_PASSWORDS];
        assert_eq!(reached(&old, pop3), Some(("app_passwords", 50)));
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
