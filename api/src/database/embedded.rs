//! A private PostgreSQL cluster in the data directory, reachable by a local socket only.
//!
//! ```text
//! DATA_DIR/postgres/        of the unprivileged user, 0700: whoever gets in may connect
//!     data/                 the cluster
//!     run/                  its socket
//!     log/                  what it says, a file per weekday
//!     start.log             what its last start said
//! DATA_DIR/postgres.lock    held by the server that started it
//! ```

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User, geteuid},
};
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::{Error, Result};

/// Where distributions put PostgreSQL: a directory per major version.
const INSTALLED: &str = "/usr/lib/postgresql";
const OLDEST_VERSION: u32 = 15;
/// `initdb` and `postgres` refuse to run as root; this is who runs them then.
const UNPRIVILEGED: &str = "postgres";
const NAME: &str = "umail";
/// A cluster that recovers from a crash may need this long.
const START_TIMEOUT: Duration = Duration::from_mins(5);
const STOP_TIMEOUT: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(50);
/// What the address of a Unix socket may hold.
const LONGEST_SOCKET: usize = 107;

/// Whose cluster it is.
#[derive(Debug)]
pub enum Running {
    /// This process started it and must stop it.
    Ours(Box<Cluster>),
    /// Another process of this data directory has it running.
    Elsewhere,
}

/// The cluster that this process started.
#[derive(Debug)]
pub struct Cluster {
    home: Home,
    connections: u32,
    child: Child,
    /// Given up with the process, however that ends.
    _lock: Flock<File>,
}

/// How to connect to the cluster as its owner.
#[must_use]
pub fn options(data_dir: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(data_dir.join("postgres/run"))
        .port(5432)
        .username(NAME)
        .database(NAME)
        .ssl_mode(PgSslMode::Disable)
}

impl Cluster {
    /// Starts the cluster, made first if there is none, recovered if it was killed.
    pub async fn start(data_dir: &Path, connections: u32) -> Result<Running> {
        make_directory(data_dir, 0o711)?;
        let Some(lock) = lock(&data_dir.join("postgres.lock"))? else {
            wait_until_ready(&options(data_dir), None).await?;
            return Ok(Running::Elsewhere);
        };
        let home = Home::open(data_dir)?;
        home.initialise().await?;
        home.stop_orphan().await?;
        let child = home.spawn(connections)?;
        let mut cluster = Self { home, connections, child, _lock: lock };
        cluster.become_ready().await?;
        Ok(Running::Ours(Box::new(cluster)))
    }

    /// Starts the cluster again whenever it ends, until it shall stop.
    pub async fn supervise(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.stop().await,
                status = self.child.wait() => warn!(?status, "the embedded database ended; starting it again"),
            }
            while let Err(error) = self.restart().await {
                warn!(%error, "the embedded database does not start");
                tokio::select! {
                    () = stop.cancelled() => return self.stop().await,
                    () = sleep(Duration::from_millis(300)) => {}
                }
            }
            info!("the embedded database is back");
        }
    }

    /// Stops the cluster: politely, then not.
    pub async fn stop(mut self) {
        for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
            let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
            // Fails only when it has ended, which the wait finds out.
            let _ = kill(Pid::from_raw(pid), signal);
            if timeout(STOP_TIMEOUT, self.child.wait()).await.is_ok() {
                return;
            }
        }
    }

    async fn restart(&mut self) -> Result<()> {
        self.home.stop_orphan().await?;
        self.child = self.home.spawn(self.connections)?;
        self.become_ready().await
    }

    async fn become_ready(&mut self) -> Result<()> {
        let maintenance = options(&self.home.data_dir).database("postgres");
        if let Err(error) = wait_until_ready(&maintenance, Some(&mut self.child)).await {
            let log = self.home.dir.join("log");
            let text = format!("{error}: {} (see {})", self.home.last_words(), log.display());
            return Err(Error::internal(text));
        }
        create_database(&maintenance).await
    }
}

/// Directories and programs of the cluster, and who runs them.
#[derive(Debug)]
struct Home {
    data_dir: PathBuf,
    dir: PathBuf,
    programs: PathBuf,
    /// None: whoever runs this process.
    user: Option<User>,
}

impl Home {
    fn open(data_dir: &Path) -> Result<Self> {
        let dir = data_dir.join("postgres");
        let socket = dir.join("run/.s.PGSQL.5432");
        if socket.as_os_str().len() > LONGEST_SOCKET {
            let reason = "is too long for the address of a socket: choose a shorter data_dir";
            return Err(Error::internal(format_args!("{} {reason}", socket.display())));
        }
        let user =
            if geteuid().is_root() { Some(owner_or_default(&dir.join("data"))?) } else { None };
        for (dir, mode) in
            [(dir.clone(), 0o700), (dir.join("run"), 0o700), (dir.join("log"), 0o700)]
        {
            make_directory(&dir, mode)?;
            if let Some(user) = &user {
                chown(&dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                    .map_err(|cause| at(&dir, cause))?;
            }
        }
        let programs = programs(&dir.join("data"))?;
        Ok(Self { data_dir: data_dir.to_owned(), dir, programs, user })
    }

    /// Makes the cluster beside its place and moves it there whole, so that none is half made.
    async fn initialise(&self) -> Result<()> {
        let (data, new) = (self.dir.join("data"), self.dir.join("data.new"));
        if data.join("PG_VERSION").exists() {
            return Ok(());
        }
        if new.exists() {
            fs::remove_dir_all(&new).map_err(|cause| at(&new, cause))?;
        }
        info!(directory = %data.display(), "making the embedded database");
        // Sorted by bytes; letters of every script are letters, where the system knows them.
        let initdb = |ctype: &str| {
            let mut initdb = self.command("initdb");
            initdb.args(["-A", "trust", "-U", NAME, "-E", "UTF8", "--locale=C", "--lc-ctype"]);
            initdb.arg(ctype).arg("-D").arg(&new);
            run(initdb)
        };
        if initdb("C.UTF-8").await.is_err() {
            initdb("C").await?;
        }
        fs::rename(&new, &data).map_err(|cause| at(&data, cause))
    }

    /// Ends the cluster of a server that was killed, so that this one is ours alone.
    async fn stop_orphan(&self) -> Result<()> {
        if !self.dir.join("data/postmaster.pid").exists() || !self.is_running().await {
            return Ok(());
        }
        info!("stopping the embedded database of a server that was killed");
        for mode in ["fast", "immediate"] {
            let mut stop = self.command("pg_ctl");
            stop.args(["stop", "-w", "-t", "5", "-m", mode, "-D"]).arg(self.dir.join("data"));
            if run(stop).await.is_ok() || !self.is_running().await {
                return Ok(());
            }
        }
        Err(Error::internal("the embedded database of a killed server does not stop"))
    }

    async fn is_running(&self) -> bool {
        let mut status = self.command("pg_ctl");
        status.arg("status").arg("-D").arg(self.dir.join("data"));
        run(status).await.is_ok()
    }

    fn spawn(&self, connections: u32) -> Result<Child> {
        let path = self.dir.join("start.log");
        let log = File::create(&path).map_err(|cause| at(&path, cause))?;
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.dir.join("data")).arg("-k").arg(self.dir.join("run"));
        let connections = format!("max_connections={connections}");
        let log_directory = format!("log_directory={}", self.dir.join("log").display());
        for setting in [
            "listen_addresses=",
            "unix_socket_permissions=0700",
            // Compiling queries pays for long ones only, and needs memory that is written and run.
            "jit=off",
            "logging_collector=on",
            "log_filename=%a.log",
            "log_truncate_on_rotation=on",
            "log_rotation_age=1d",
            &log_directory,
            &connections,
        ] {
            postgres.arg("-c").arg(setting);
        }
        postgres
            // A group of its own: Ctrl-C is for the server, which stops the database last.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|cause| at(&self.programs.join("postgres"), cause))
    }

    /// A program of PostgreSQL, as the unprivileged user, which ends when this process does.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/bin/setpriv");
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir(&self.dir);
        command.arg("--pdeathsig=INT");
        if let Some(user) = &self.user {
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
            command.arg("--init-groups");
        }
        command.arg(self.programs.join(program));
        command
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.dir.join("start.log")).unwrap_or_default();
        text.trim().to_owned()
    }
}

async fn run(mut command: Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().await.map_err(Error::internal)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Error::internal(format_args!("the embedded database: {}", text.trim())))
}

async fn wait_until_ready(options: &PgConnectOptions, mut child: Option<&mut Child>) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let cause = match PgConnection::connect_with(options).await {
            Ok(connection) => return Ok(connection.close().await?),
            Err(cause) => cause,
        };
        let ended = child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        if let Some(status) = ended {
            return Err(Error::internal(format_args!("the embedded database ended ({status})")));
        }
        if Instant::now() > deadline {
            return Err(cause.into());
        }
        sleep(PAUSE).await;
    }
}

async fn create_database(maintenance: &PgConnectOptions) -> Result<()> {
    let mut connection = PgConnection::connect_with(maintenance).await?;
    let made = sqlx::raw_sql("CREATE DATABASE umail").execute(&mut connection).await;
    let exists = |cause: &sqlx::Error| {
        cause.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref()
            == Some("42P04")
    };
    match made {
        Err(cause) if !exists(&cause) => Err(cause.into()),
        _ => Ok(connection.close().await?),
    }
}

fn lock(path: &Path) -> Result<Option<Flock<File>>> {
    let file = File::options().create(true).append(true).open(path);
    let file = file.map_err(|cause| at(path, cause))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, cause)) => Err(at(path, cause)),
    }
}

/// The programs of the version that made the cluster; of the newest one if there is none yet.
fn programs(data: &Path) -> Result<PathBuf> {
    let made_by = fs::read_to_string(data.join("PG_VERSION")).ok();
    let made_by: Option<u32> = made_by.and_then(|text| text.trim().parse().ok());
    let entries = fs::read_dir(INSTALLED).into_iter().flatten().flatten();
    let versions = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let usable = versions.filter(|version| match made_by {
        Some(made_by) => *version == made_by,
        None => *version >= OLDEST_VERSION,
    });
    let newest = usable.max().map(|version| Path::new(INSTALLED).join(format!("{version}/bin")));
    newest.ok_or_else(|| {
        let wanted = made_by.map_or_else(|| "15 or later".to_owned(), |one| one.to_string());
        Error::internal(format_args!(
            "PostgreSQL {wanted} is not installed in {INSTALLED}: install it, or set database.url"
        ))
    })
}

/// Whose the cluster is: a service may run as a user of its own, and a command beside it as
/// root. A new one belongs to the user that PostgreSQL's package has made.
fn owner_or_default(data: &Path) -> Result<User> {
    let owner = fs::metadata(data).ok().map(|data| Uid::from_raw(data.uid()));
    let user = match owner.filter(|owner| !owner.is_root()) {
        Some(owner) => User::from_uid(owner),
        None => User::from_name(UNPRIVILEGED),
    };
    let user = user.map_err(Error::internal)?;
    user.ok_or_else(|| Error::internal("there is no unprivileged user for the embedded database"))
}

fn make_directory(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(path).map_err(|cause| at(path, cause))?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|cause| at(path, cause))
}

fn at(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::internal(format_args!("{}: {cause}", path.display()))
}
