//! Opening the files of the replica the way that readers without a busy time-out survive.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use libsqlite3_sys as ffi;
use sqlx::{
    ConnectOptions, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{ReplicaError, schema};

/// The group of Dovecot's auth processes, the only readers of the secrets.
const AUTH_GROUP: &str = "dovecot";

/// A constant statement. SQLite statements of the agent are checked by its tests: the build has
/// one database for `query!`, and that is the server's.
#[expect(clippy::disallowed_methods, reason = "the macro checks against the server's database")]
pub(crate) fn statement(sql: &'static str) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(sql)
}

/// A statement composed of constants: names of tables and their columns.
#[expect(clippy::disallowed_methods, reason = "the macro checks against the server's database")]
pub(super) fn composed(sql: String) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(sqlx::AssertSqlSafe(sql))
}

/// Opens the directory: everybody on the node may read it.
pub(super) async fn open_directory(path: &Path) -> Result<SqliteConnection, ReplicaError> {
    create_folder(path, 0o755, None)?;
    let mut connection = connect(path, SqliteSynchronous::Normal).await?;
    sqlx::raw_sql(schema::DIRECTORY).execute(&mut connection).await?;
    schema::upgrade(&mut connection).await?;
    sqlx::raw_sql(schema::INDEXES).execute(&mut connection).await?;
    schema::install_views(&mut connection).await?;
    set_modes(path, &Modes { file: 0o644, shm: 0o666, group: None })?;
    Ok(connection)
}

/// Opens the secrets: only Dovecot's auth may read them.
pub(super) async fn open_secrets(path: &Path) -> Result<SqliteConnection, ReplicaError> {
    let group = auth_group();
    create_folder(path, 0o750, group)?;
    // The position stands in the directory: what it covers must be on the disk here.
    let mut connection = connect(path, SqliteSynchronous::Full).await?;
    sqlx::raw_sql(schema::SECRETS).execute(&mut connection).await?;
    schema::install_secrets_view(&mut connection).await?;
    set_modes(path, &Modes { file: 0o640, shm: 0o660, group })?;
    Ok(connection)
}

async fn connect(
    path: &Path,
    synchronous: SqliteSynchronous,
) -> Result<SqliteConnection, ReplicaError> {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(Duration::from_secs(5))
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging()
        .connect()
        .await?;
    persist_wal(&mut connection).await?;
    Ok(connection)
}

/// Keeps `-wal` and `-shm` when the connection closes: readers cannot create them and would fail.
#[expect(unsafe_code, reason = "SQLite offers this switch through its C interface only")]
async fn persist_wal(connection: &mut SqliteConnection) -> Result<(), ReplicaError> {
    let mut handle = connection.lock_handle().await?;
    let mut on: std::ffi::c_int = 1;
    // SAFETY: the handle is open and locked for us, the name is a constant C string, and SQLite
    // reads and writes one int behind the pointer, which lives until the call returns.
    let code = unsafe {
        ffi::sqlite3_file_control(
            handle.as_raw_handle().as_ptr(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_PERSIST_WAL,
            (&raw mut on).cast(),
        )
    };
    if code == ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(ReplicaError::Damaged(format!("the log cannot be made persistent: SQLite code {code}")))
    }
}

/// Empties a damaged file in place: readers have it open, it must stay the same file.
pub(super) async fn reset(connection: &mut SqliteConnection) -> Result<(), ReplicaError> {
    set_reset(connection, 1).await?;
    let emptied = sqlx::raw_sql("VACUUM").execute(&mut *connection).await;
    set_reset(connection, 0).await?;
    emptied?;
    Ok(())
}

#[expect(unsafe_code, reason = "SQLite offers this switch through its C interface only")]
async fn set_reset(
    connection: &mut SqliteConnection,
    value: std::ffi::c_int,
) -> Result<(), ReplicaError> {
    let mut handle = connection.lock_handle().await?;
    // SAFETY: the handle is open and locked for us; this option takes an int and a pointer
    // to an int, which may be null.
    let code = unsafe {
        ffi::sqlite3_db_config(
            handle.as_raw_handle().as_ptr(),
            ffi::SQLITE_DBCONFIG_RESET_DATABASE,
            value,
            std::ptr::null_mut::<std::ffi::c_int>(),
        )
    };
    if code == ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(ReplicaError::Damaged(format!("the file cannot be reset: SQLite code {code}")))
    }
}

struct Modes {
    file: u32,
    shm: u32,
    group: Option<u32>,
}

fn set_modes(path: &Path, modes: &Modes) -> std::io::Result<()> {
    for (suffix, mode) in [("", modes.file), ("-wal", modes.file), ("-shm", modes.shm)] {
        let file = with_suffix(path, suffix);
        if let Some(group) = modes.group {
            std::os::unix::fs::chown(&file, None, Some(group))?;
        }
        std::fs::set_permissions(&file, Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn create_folder(path: &Path, mode: u32, group: Option<u32>) -> std::io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    if let Some(group) = group {
        std::os::unix::fs::chown(folder, None, Some(group))?;
    }
    std::fs::set_permissions(folder, Permissions::from_mode(mode))
}

/// The group id, where there is such a group and we may give files to it.
fn auth_group() -> Option<u32> {
    let group = nix::unistd::Group::from_name(AUTH_GROUP).ok().flatten()?;
    nix::unistd::geteuid().is_root().then(|| group.gid.as_raw())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
