//! Installing configuration: a folder of files that is compared, written and cleared of leftovers.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{ConfigFile, Refusal};
use crate::durable;

/// Says which path the file system refused, and why.
pub(super) fn failed(path: &Path, error: &io::Error) -> Refusal {
    Refusal(format!("{}: {error}", path.display()))
}

/// Creates a folder with this mode and, when we may, this owner.
pub(super) fn create_folder(path: &Path, mode: u32, owner: Option<Owner>) -> Result<(), Refusal> {
    let created = || -> io::Result<()> {
        fs::create_dir_all(path)?;
        let found = fs::metadata(path)?;
        if found.mode() & 0o7777 != mode {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        match owner {
            Some(owner) if (found.uid(), found.gid()) != (owner.uid, owner.gid) => {
                std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))
            }
            _ => Ok(()),
        }
    };
    created().map_err(|error| failed(path, &error))
}

/// A user of the system and its main group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    /// The user.
    pub(super) uid: u32,
    /// Its main group.
    pub(super) gid: u32,
}

impl Owner {
    /// The user of this name; a refusal says what to do when there is none.
    pub(super) fn named(name: &str) -> Result<Self, Refusal> {
        let found = nix::unistd::User::from_name(name)
            .map_err(|error| Refusal(format!("user {name}: {error}")))?
            .ok_or_else(|| Refusal(format!("user {name} is missing: run deploy/packages.sh")))?;
        Ok(Self { uid: found.uid.as_raw(), gid: found.gid.as_raw() })
    }
}

/// The data directory and the folders that every daemon passes through.
pub(super) fn create_common_folders(root: &Path) -> Result<(), Refusal> {
    for path in [root.to_owned(), root.join("etc"), root.join("log"), root.join("run")] {
        create_folder(&path, 0o755, None)?;
    }
    Ok(())
}

/// Whether the folder holds exactly these files.
pub(super) fn is_installed(folder: &Path, files: &[ConfigFile]) -> bool {
    let same = |file: &ConfigFile| {
        fs::read(&file.path).is_ok_and(|content| content == file.content.as_bytes())
            && fs::metadata(&file.path).is_ok_and(|found| found.mode() & 0o777 == file.mode)
    };
    files.iter().all(same) && leftovers(folder, files).is_ok_and(|leftovers| leftovers.is_empty())
}

/// Writes the files, each of them whole, and removes what else lies in the folder.
pub(super) fn install(folder: &Path, files: &[ConfigFile]) -> Result<(), Refusal> {
    create_folder(folder, 0o755, None)?;
    for file in files {
        durable::write(&file.path, file.content.as_bytes(), file.mode)
            .map_err(|error| failed(&file.path, &error))?;
    }
    for path in leftovers(folder, files).map_err(|error| failed(folder, &error))? {
        fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// Files in the folder that are not among these.
fn leftovers(folder: &Path, files: &[ConfigFile]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_file() && !files.iter().any(|file| file.path == path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// A folder for a rendered copy that is looked through before it is installed; gone afterwards.
pub(super) fn aside(service: &str) -> Result<tempfile::TempDir, Refusal> {
    tempfile::Builder::new()
        .prefix(&format!("umail-{service}-"))
        .tempdir()
        .map_err(|error| Refusal(format!("no folder for a copy of the configuration: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_and_modes_count_as_differences() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.cf");
        let files = [ConfigFile { path: path.clone(), content: "a = b\n".into(), mode: 0o644 }];
        assert!(!is_installed(folder.path(), &files));
        install(folder.path(), &files).unwrap();
        assert!(is_installed(folder.path(), &files));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(!is_installed(folder.path(), &files));
        install(folder.path(), &files).unwrap();
        fs::write(folder.path().join("two.cf"), "").unwrap();
        assert!(!is_installed(folder.path(), &files));
        install(folder.path(), &files).unwrap();
        assert!(is_installed(folder.path(), &files));
        assert!(!folder.path().join("two.cf").exists());
    }
}
