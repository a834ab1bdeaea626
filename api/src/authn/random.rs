//! Secrets that nobody can guess, and what is stored of them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A secret of 256 random bits behind a prefix that tells its kind.
pub fn secret(prefix: &str) -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// What is stored of such a secret. It needs no salt, since nobody can guess it.
#[must_use]
pub fn hash(secret: &str) -> Vec<u8> {
    digest(secret).to_vec()
}

/// The same, of the length that it has.
#[must_use]
pub fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}
