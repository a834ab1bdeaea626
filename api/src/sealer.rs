//! Seals secrets before they are stored: AES-256-GCM under a key that lives in a file.

use std::{
    fmt, fs, io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::error::{Error, Result};

const KEY_LEN: usize = 32;

/// Seals and opens; cheap to clone.
#[derive(Clone)]
pub struct Sealer(Arc<LessSafeKey>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// Reads the key file, or makes one that only its owner may read.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        let shown = path.display();
        let named = |cause: io::Error| Error::internal(format!("key file {shown}: {cause}"));
        let key = match fs::read(path) {
            Ok(key) => key,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => create(path).map_err(named)?,
            Err(cause) => return Err(named(cause)),
        };
        let mode = fs::metadata(path).map_err(named)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::internal(format!("key file {shown} must have the mode 0600")));
        }
        Self::new(&key).map_err(|_cause| {
            Error::internal(format!("key file {shown} must hold {KEY_LEN} bytes"))
        })
    }

    /// Takes a key of 32 bytes.
    pub fn new(key: &[u8]) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(Error::internal)?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Seals bytes under a name, which must be known to open them again.
    pub fn seal(&self, name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(Error::internal)?;
        let mut sealed = bytes.to_vec();
        let aad = Aad::from(name.as_bytes());
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(Error::internal)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed under this name; fails for another key, another name, or damage.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let damaged = || Error::internal(format!("secret {name} is damaged or of another key"));
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_cause| damaged())?;
        let mut bytes = sealed.to_vec();
        let aad = Aad::from(name.as_bytes());
        let opened = self.0.open_in_place(nonce, aad, &mut bytes).map_err(|_cause| damaged())?;
        Ok(opened.to_vec())
    }
}

/// Links a complete file into place, so that two servers that start together share one key.
fn create(path: &Path) -> io::Result<Vec<u8>> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut key = [0; KEY_LEN];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    io::Write::write_all(&mut file, &key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(cause),
        _ => fs::read(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_name_only() {
        let sealer = Sealer::new(&[7; KEY_LEN]).unwrap();
        let sealed = sealer.seal("jwt", b"secret").unwrap();
        assert_eq!(sealer.open("jwt", &sealed).unwrap(), b"secret");
        assert!(sealer.open("ca", &sealed).is_err());
        assert!(Sealer::new(&[8; KEY_LEN]).unwrap().open("jwt", &sealed).is_err());
        assert!(sealer.open("jwt", &sealed[..5]).is_err());
    }

    #[test]
    fn the_key_file_is_made_once_and_must_be_private() {
        let dir = std::env::temp_dir().join(format!("umail-sealer-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("key");
        let sealed = Sealer::open_or_create(&path).unwrap().seal("a", b"b").unwrap();
        assert_eq!(Sealer::open_or_create(&path).unwrap().open("a", &sealed).unwrap(), b"b");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Sealer::open_or_create(&path).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
