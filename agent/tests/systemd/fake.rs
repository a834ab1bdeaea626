//! A private bus, and a fake systemd on it. The real one is never started.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::process::{Child, Command};
use zbus::{
    Connection, ObjectServer, OwnedObjectPath, connection, fdo, interface,
    object_server::SignalEmitter,
};

const MANAGER: &str = "/org/freedesktop/systemd1";

/// A bus daemon without service folders: it starts nothing by itself.
pub(crate) struct Bus {
    folder: tempfile::TempDir,
    address: String,
    daemon: Child,
}

impl Bus {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("unix:path={}", folder.path().join("bus").display());
        let policy = r#"<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>"#;
        let config = format!(
            "<busconfig><type>custom</type><listen>{address}</listen><auth>EXTERNAL</auth>{policy}</busconfig>"
        );
        std::fs::write(folder.path().join("bus.conf"), config).unwrap();
        let daemon = spawn(&folder).await;
        Self { folder, address, daemon }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn stop(&mut self) {
        self.daemon.kill().await.unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.daemon = spawn(&self.folder).await;
    }
}

async fn spawn(folder: &tempfile::TempDir) -> Child {
    let socket: PathBuf = folder.path().join("bus");
    std::fs::remove_file(&socket).ok();
    let daemon = Command::new("/usr/bin/dbus-daemon")
        .arg("--config-file")
        .arg(folder.path().join("bus.conf"))
        .args(["--nofork", "--nopidfile", "--nosyslog"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for _ in 0..500 {
        if tokio::net::UnixStream::connect(&socket).await.is_ok() {
            return daemon;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the bus does not come up");
}

/// What the fake was asked, and what it shall do.
#[derive(Default)]
struct Book {
    asked: Vec<String>,
    active: Vec<String>,
    next_result: Option<String>,
    is_disturbing: bool,
    is_condition_false: bool,
    is_subscribed: bool,
    jobs: u32,
}

/// The fake systemd; gone when dropped.
pub(crate) struct Fake {
    book: Arc<Mutex<Book>>,
    _connection: Connection,
}

impl Fake {
    pub(crate) async fn serve(bus: &Bus) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let connection = connection::Builder::address(bus.address())
            .serve_at(MANAGER, Manager(Arc::clone(&book)))
            .name("org.freedesktop.systemd1")
            .build()
            .await
            .unwrap();
        Self { book, _connection: connection }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.book.lock().unwrap().asked.clone()
    }

    /// The next job ends like this.
    pub(crate) fn next_result(&self, result: &str) {
        self.book.lock().unwrap().next_result = Some(result.to_owned());
    }

    /// Units have conditions that do not hold: their jobs end well and they do not run.
    pub(crate) fn forbid(&self) {
        self.book.lock().unwrap().is_condition_false = true;
    }

    /// Failed jobs of other units are told before each one.
    pub(crate) fn disturb(&self) {
        self.book.lock().unwrap().is_disturbing = true;
    }
}

struct Manager(Arc<Mutex<Book>>);

struct Unit {
    name: String,
    book: Arc<Mutex<Book>>,
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn active_state(&self) -> String {
        let is_active = self.book.lock().unwrap().active.contains(&self.name);
        if is_active { "active" } else { "inactive" }.to_owned()
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&self) {
        self.0.lock().unwrap().is_subscribed = true;
    }

    async fn load_unit(
        &self,
        name: String,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> fdo::Result<OwnedObjectPath> {
        let escaped: String = name
            .bytes()
            .map(|one| if one.is_ascii_alphanumeric() { char::from(one) } else { '_' })
            .collect();
        let path = OwnedObjectPath::try_from(format!("{MANAGER}/unit/{escaped}")).unwrap();
        let unit = Unit { name, book: Arc::clone(&self.0) };
        server.at(&path, unit).await?;
        Ok(path)
    }

    fn start_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> OwnedObjectPath {
        self.job("start", name, mode, emitter)
    }

    fn stop_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> OwnedObjectPath {
        self.job("stop", name, mode, emitter)
    }

    fn reload_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        if !self.0.lock().unwrap().active.contains(&name.to_owned()) {
            return Err(fdo::Error::Failed(format!("Unit {name} is not active, cannot reload.")));
        }
        Ok(self.job("reload", name, mode, emitter))
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

impl Manager {
    /// Takes a job, and ends it a little later.
    fn job(
        &self,
        verb: &str,
        name: &str,
        mode: &str,
        emitter: SignalEmitter<'_>,
    ) -> OwnedObjectPath {
        let (id, result, disturbs) = {
            let mut book = self.0.lock().unwrap();
            assert!(book.is_subscribed, "systemd would not tell the end of the job");
            book.asked.push(format!("{verb} {name} {mode}"));
            book.jobs += 1;
            (book.jobs, book.next_result.take(), book.is_disturbing)
        };
        let path = job_path(id);
        let (book, emitter) = (Arc::clone(&self.0), emitter.into_owned());
        let (job, verb, name) = (path.clone(), verb.to_owned(), name.to_owned());
        let end = async move {
            if disturbs {
                Self::job_removed(&emitter, 900, job_path(900), "cron.service", "failed")
                    .await
                    .unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let result = result.unwrap_or_else(|| "done".to_owned());
            let is_skipped = book.lock().unwrap().is_condition_false;
            if result == "done" && !is_skipped {
                let mut book = book.lock().unwrap();
                book.active.retain(|unit| *unit != name);
                if verb != "stop" {
                    book.active.push(name.clone());
                }
            }
            Self::job_removed(&emitter, id, job, &name, &result).await.unwrap();
        };
        tokio_util::task::TaskTracker::new().spawn(end);
        path
    }
}

fn job_path(id: u32) -> OwnedObjectPath {
    OwnedObjectPath::try_from(format!("{MANAGER}/job/{id}")).unwrap()
}
