//! Files that are either the old one or the new one, whole, whatever happens while writing.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Writes a file with this mode: complete and on the disk when it returns, untouched on an error.
/// Its folder must exist.
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let aside = Path::new(&name);
    // A rest of an earlier attempt would keep its own mode.
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(aside, path)
    })();
    if written.is_err() {
        fs::remove_file(aside).ok();
        return written;
    }
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Whether there was no room for what was to be written.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Reads a file; none when it does not exist.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_new_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        write(&path, b"one", 0o644).unwrap();
        write(&path, b"two", 0o600).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error_and_a_missing_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(&folder.path().join("no/ledger"), b"", 0o600).is_err());
        assert!(read(&folder.path().join("ledger")).unwrap().is_none());
    }
}
