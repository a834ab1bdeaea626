//! Hashes and verifies passwords, a few at a time: argon2id takes a core and much memory.

use std::{fmt, sync::Arc};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::{Error, Result},
    model::password::Password,
};

/// How Dovecot names the scheme.
const SCHEME: &str = "{ARGON2ID}";
/// How many requests may wait for a core; the next ones are refused, so that a flood of
/// sign-ins cannot starve everything else.
const WAITING: usize = 128;

/// A bounded pool for argon2id.
#[derive(Clone)]
pub struct Passwords {
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Verified when there is no such account, so that the time does not tell.
    nobody: Arc<str>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// A pool that leaves half of the cores to others.
    pub fn new() -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Self {
            working: Arc::new(Semaphore::new(cores.div_ceil(2))),
            waiting: Arc::new(Semaphore::new(WAITING)),
            nobody: hash(b"nobody has this password")?.into(),
        })
    }

    /// The hash to store, in Dovecot's notation.
    pub async fn hash(&self, password: Password) -> Result<String> {
        self.run(move || hash(password.expose().as_bytes())).await
    }

    /// Whether it is the password. Without a stored hash it is not, and takes as long.
    pub async fn verify(&self, password: Password, stored: Option<String>) -> Result<bool> {
        let nobody = Arc::clone(&self.nobody);
        self.run(move || {
            let exists = stored.is_some();
            let stored = stored.unwrap_or_else(|| nobody.as_ref().to_owned());
            Ok(verify(password.expose().as_bytes(), &stored)? && exists)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let waiting = Arc::clone(&self.waiting);
        let waiting = waiting.try_acquire_owned().map_err(|_cause| Error::TooManyRequests(1))?;
        let working: OwnedSemaphorePermit =
            Arc::clone(&self.working).acquire_owned().await.map_err(Error::internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let _permits = (waiting, working);
            work()
        });
        done.await.map_err(Error::internal)?
    }
}

fn hash(password: &[u8]) -> Result<String> {
    let hash: PasswordHash = Argon2::default().hash_password(password).map_err(Error::internal)?;
    Ok(format!("{SCHEME}{hash}"))
}

fn verify(password: &[u8], stored: &str) -> Result<bool> {
    let phc = stored.strip_prefix(SCHEME).ok_or_else(|| Error::internal("unknown scheme"))?;
    let phc = PasswordHash::new(phc).map_err(Error::internal)?;
    Ok(Argon2::default().verify_password(password, &phc).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_hash_only() {
        let passwords = Passwords::new().unwrap();
        let password = |text: &str| Password::any(text).unwrap();
        let stored = passwords.hash(password("correct horse")).await.unwrap();
        assert!(stored.starts_with("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify(password("correct horse"), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(password("wrong horse"), Some(stored)).await.unwrap());
        let nobody = passwords.verify(password("nobody has this password"), None).await.unwrap();
        assert!(!nobody);
    }
}
