//! Hashes and verifies passwords, a few at a time: argon2id takes a core and much memory.

use std::{fmt, sync::Arc};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use aws_lc_rs::pbkdf2;
use sha_crypt::ShaCrypt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::{Error, Result},
    model::{hash::Hash, password::Password},
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

    /// The hash to store, for who can wait as long as it takes.
    pub async fn hash_in_turn(&self, password: Password) -> Result<String> {
        self.run_in_turn(move || hash(password.expose().as_bytes())).await
    }

    /// Whether it is the password, for who can wait as long as it takes.
    pub async fn verify_in_turn(&self, password: Password, stored: String) -> Result<bool> {
        self.run_in_turn(move || verify(password.expose().as_bytes(), &stored)).await
    }

    /// Waits for a core without a place among those that wait.
    async fn run_in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let working: OwnedSemaphorePermit =
            Arc::clone(&self.working).acquire_owned().await.map_err(Error::internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = working;
            work()
        });
        done.await.map_err(Error::internal)?
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

/// Whether a stored hash is to be replaced by one of ours as soon as the password is known.
#[must_use]
pub fn is_foreign(stored: &str) -> bool {
    !stored.starts_with(SCHEME)
}

fn verify(password: &[u8], stored: &str) -> Result<bool> {
    let hash = Hash::parse(stored).map_err(|_reason| Error::internal("unknown scheme"))?;
    Ok(match hash {
        Hash::Argon2id(phc) => {
            let phc = PasswordHash::new(phc).map_err(Error::internal)?;
            Argon2::default().verify_password(password, &phc).is_ok()
        }
        Hash::Bcrypt(text) => bcrypt::verify(password, text).map_err(Error::internal)?,
        Hash::Sha512Crypt(text) => ShaCrypt::default().verify_password(password, text).is_ok(),
        Hash::Pbkdf2 { salt, rounds, digest } => {
            let rounds = std::num::NonZeroU32::new(rounds).unwrap_or(std::num::NonZeroU32::MIN);
            let digest = hex::decode(digest).map_err(Error::internal)?;
            let algorithm = pbkdf2::PBKDF2_HMAC_SHA1;
            pbkdf2::verify(algorithm, rounds, salt.as_bytes(), password, &digest).is_ok()
        }
    })
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

    #[tokio::test]
    async fn hashes_that_dovecot_made_verify() {
        let passwords = Passwords::new().unwrap();
        let password = |text: &str| Password::any(text).unwrap();
        // doveadm pw -s … -p 'correct horse battery'
        for hash in [
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$z3uhiNCJ1r9ggjZp8hXVAA$EpJMR5CZvYJAYa+f7T2HeIAT4S5UP4EbGDVxE8y1Bt8",
            "{BLF-CRYPT}$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO",
            "{SHA512-CRYPT}$6$Gaywqj1TcuX59aA8$8g9lPadl14NJSS4bmGizCH18uTLHjZF3V5xSqZE5JlgOrlEdBWD9KiH9VIVNEjJGDiZ5w6GRN4wkote69WuBJ.",
            "{SHA512-CRYPT}$6$rounds=10000$jqxUEAKdlOdTb2vd$il66h/55Rlunx.ElhHIl1spiya5685.F.YUWb57p69UyLc1oGgL5ymM5illzSZzNyeEhH9UkS55ZQNULpzRzj0",
            "{PBKDF2}$1$Z7tbTjOAYukDjdG2$5000$090d46cc16a0dd73569ee692acc6eb2031e816ac",
        ] {
            let stored = || Some(hash.to_owned());
            let good = passwords.verify(password("correct horse battery"), stored()).await;
            assert!(good.unwrap(), "{hash}");
            let bad = passwords.verify(password("wrong horse battery"), stored()).await;
            assert!(!bad.unwrap(), "{hash}");
        }
    }
}
