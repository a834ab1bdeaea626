//! Noticing a damaged replica, and emptying it in place so that a snapshot can fill it again.

use std::{os::unix::fs::MetadataExt, path::Path};

use sqlx::{Row as _, SqliteConnection};

use super::{
    Replica, ReplicaError,
    connection::{self, statement},
};

impl Replica {
    /// Reads both files through. [`ReplicaError::Damaged`] says what does not hold together, or
    /// that a file is no longer the one that is open.
    pub async fn check(&self) -> Result<(), ReplicaError> {
        let mut files = self.files.lock().await;
        for (opened, path) in
            [(files.directory_id, &self.directory_path), (files.secrets_id, &self.secrets_path)]
        {
            if !is_file(opened, path) {
                return Err(ReplicaError::Damaged(format!("{} was replaced", path.display())));
            }
        }
        check_file(&mut files.directory, &self.directory_path).await?;
        check_file(&mut files.secrets, &self.secrets_path).await?;
        Ok(())
    }

    /// Empties both files in place and makes their tables anew; what is frozen stays frozen where
    /// it can still be read. Until the next snapshot lookups fail temporarily.
    ///
    /// When a file had vanished, another one was made: Postfix and Dovecot have to be restarted.
    pub async fn rebuild(&self) -> Result<(), ReplicaError> {
        let mut files = self.files.lock().await;
        let frozen: Vec<(String, String)> = statement("SELECT user_id, move_id FROM frozen")
            .fetch_all(&mut files.directory)
            .await
            .unwrap_or_default()
            .iter()
            .filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?)))
            .collect();
        let settings: Vec<(String, String)> = statement("SELECT key, value FROM setting")
            .fetch_all(&mut files.directory)
            .await
            .unwrap_or_default()
            .iter()
            .filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?)))
            .collect();
        if is_file(files.directory_id, &self.directory_path) {
            connection::reset(&mut files.directory).await?;
        }
        files.directory = connection::open_directory(&self.directory_path).await?;
        files.directory_id = file_id(&self.directory_path);
        if is_file(files.secrets_id, &self.secrets_path) {
            connection::reset(&mut files.secrets).await?;
        }
        files.secrets = connection::open_secrets(&self.secrets_path).await?;
        files.secrets_id = file_id(&self.secrets_path);
        drop(files);
        for (user_id, move_id) in frozen {
            self.freeze(&user_id, &move_id).await?;
        }
        for (key, value) in settings {
            self.set_setting(&key, &value).await?;
        }
        Ok(())
    }
}

/// Device and inode of a file; none when it is missing.
pub(super) fn file_id(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn is_file(opened: Option<(u64, u64)>, path: &Path) -> bool {
    opened.is_some() && opened == file_id(path)
}

async fn check_file(file: &mut SqliteConnection, path: &Path) -> Result<(), ReplicaError> {
    let found = match statement("PRAGMA quick_check(1)").fetch_one(file).await {
        Ok(row) => row.try_get::<String, _>(0)?,
        Err(error) => {
            let error = ReplicaError::from(error);
            // What was written before is still good.
            if error.is_full() {
                return Err(error);
            }
            error.to_string()
        }
    };
    if found == "ok" {
        Ok(())
    } else {
        Err(ReplicaError::Damaged(format!("{}: {found}", path.display())))
    }
}
