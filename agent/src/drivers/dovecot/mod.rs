//! The Dovecot driver: one Dovecot per node serves all its roles.

mod conf;
mod queries;
mod reply;
pub mod sessions;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use umail_proto::agent::{DesiredState, ListenerKind, Role, ServiceHealth, ServiceKind};

use super::{
    Change, ConfigFile, Driver, Observation, Refusal,
    install::{self, Owner},
    listeners::{self, has_role, wants},
    settings::{self, Settings},
    tls,
};
use crate::{
    config::{Config, Ports},
    exec::{self, Program},
    layout::Layout,
    supervisors::Supervisor,
};

/// How long Dovecot's own tools may take.
const TOOL_LIMIT: Duration = Duration::from_secs(10);
/// The user that all mail belongs to.
const MAIL_USER: &str = "vmail";

/// Drives Dovecot.
pub struct Dovecot {
    layout: Layout,
    config: Config,
    supervisor: Arc<dyn Supervisor>,
    /// What Dovecot starts to send automatic replies: this program.
    program: PathBuf,
}

/// Everything that the rendered files are made of.
struct Source<'a> {
    layout: &'a Layout,
    config: &'a Config,
    /// Where the files lie.
    folder: &'a Path,
    settings: Settings,
    mail_user: Owner,
    has_tls: bool,
    /// Whether Postfix of this node asks it who somebody is.
    is_sasl: bool,
    /// Listeners that shall be open.
    open: Vec<ListenerKind>,
    /// What sends automatic replies.
    program: &'a Path,
    /// Whether users who are away are answered here.
    has_sieve: bool,
}

impl Dovecot {
    /// A driver for the Dovecot of this layout.
    #[must_use]
    pub fn new(layout: Layout, config: &Config, supervisor: Arc<dyn Supervisor>) -> Self {
        // Asked for now: an upgrade later on puts another file in its place.
        let program = std::env::current_exe().unwrap_or_default();
        Self { layout, config: config.clone(), supervisor, program }
    }

    /// Has Dovecot start this program instead of the one that runs.
    #[must_use]
    pub fn with_program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// The files as they stand in `folder`.
    fn compose(&self, desired: &DesiredState, folder: &Path) -> Result<Vec<ConfigFile>, Refusal> {
        settings::plain(self.layout.root())?;
        let mut files = tls::files(desired, &self.layout.etc("dovecot"), folder)?;
        let is_storage = has_role(desired, Role::Storage);
        let serves_clients = is_storage || has_role(desired, Role::Pop);
        let is_open = |(listener, is_ours): (ListenerKind, bool)| {
            (is_ours && wants(desired, ServiceKind::Dovecot, listener)).then_some(listener)
        };
        let ours = [
            (ListenerKind::Pop3, serves_clients),
            (ListenerKind::Imap, serves_clients),
            (ListenerKind::Lmtp, is_storage),
        ];
        let source = Source {
            layout: &self.layout,
            config: &self.config,
            folder,
            settings: Settings::read(desired)?,
            mail_user: Owner::named(MAIL_USER)?,
            has_tls: !files.is_empty(),
            is_sasl: has_role(desired, Role::Smtp),
            open: ours.into_iter().filter_map(is_open).collect(),
            program: &self.program,
            has_sieve: is_storage && self.is_silent().is_none(),
        };
        let file = |(name, content): (String, String)| {
            let path = folder.join(name);
            ConfigFile { path, content, mode: 0o644 }
        };
        files.extend(queries::all(&source).into_iter().map(file));
        files.push(file((reply::SCRIPT.to_owned(), reply::script())));
        files.push(file(("dovecot.conf".to_owned(), conf::render(&source))));
        Ok(files)
    }

    /// Why automatic replies cannot be made or sent.
    fn is_silent(&self) -> Option<String> {
        if !reply::is_installed() {
            return Some("dovecot-sieve is not installed".to_owned());
        }
        settings::plain(&self.program).err().map(|refusal| refusal.to_string())
    }

    async fn bring(&self, desired: &DesiredState) -> Result<Change, Refusal> {
        let folder = self.layout.etc("dovecot");
        let files = self.compose(desired, &folder)?;
        if install::is_installed(&folder, &files) {
            return Ok(Change::None);
        }
        let aside = install::aside("dovecot")?;
        install::install(aside.path(), &self.compose(desired, aside.path())?)?;
        check(aside.path()).await?;
        install::create_common_folders(self.layout.root())?;
        let mail_user = Owner::named(MAIL_USER)?;
        install::create_folder(&self.layout.mail(), 0o700, Some(mail_user))?;
        install::create_folder(&self.layout.sieve(), 0o700, Some(mail_user))?;
        install::install(&folder, &files)?;
        Ok(Change::Reload)
    }

    fn ports(&self) -> [(ListenerKind, u16); 3] {
        let Ports { pop3, imap, lmtp, .. } = self.config.ports;
        [(ListenerKind::Pop3, pop3), (ListenerKind::Imap, imap), (ListenerKind::Lmtp, lmtp)]
    }
}

impl Driver for Dovecot {
    fn kind(&self) -> ServiceKind {
        ServiceKind::Dovecot
    }

    fn observe(&self) -> BoxFuture<'_, Observation> {
        async move {
            let (health, mut detail) = match self.supervisor.running(ServiceKind::Dovecot).await {
                Ok(true) => (ServiceHealth::Running, String::new()),
                Ok(false) => (ServiceHealth::Stopped, String::new()),
                Err(error) => (ServiceHealth::Failed, error.to_string()),
            };
            let runs = health == ServiceHealth::Running;
            let listeners =
                if runs { listeners::open(&self.ports(), &self.config.listen) } else { Vec::new() };
            if listeners.contains(&ListenerKind::Lmtp)
                && let Some(reason) = self.is_silent()
            {
                detail = format!("nobody is answered automatically: {reason}");
            }
            Observation { health, listeners, version: version().await, detail }
        }
        .boxed()
    }

    fn render(&self, desired: &DesiredState) -> Result<Vec<ConfigFile>, Refusal> {
        self.compose(desired, &self.layout.etc("dovecot"))
    }

    fn configure<'a>(
        &'a self,
        desired: &'a DesiredState,
    ) -> BoxFuture<'a, Result<Change, Refusal>> {
        self.bring(desired).boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.supervisor.start(ServiceKind::Dovecot)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.supervisor.stop(ServiceKind::Dovecot)
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.supervisor.reload(ServiceKind::Dovecot)
    }
}

/// Has Dovecot read the copy in this folder.
async fn check(folder: &Path) -> Result<(), Refusal> {
    let file = folder.join("dovecot.conf");
    let arguments = [OsString::from("-n"), "-c".into(), file.into()];
    let output = exec::run(Program::Doveconf, &arguments, TOOL_LIMIT)
        .await
        .map_err(|error| Refusal(error.to_string()))?;
    if output.success() && output.stderr.trim().is_empty() {
        Ok(())
    } else {
        Err(Refusal(format!("dovecot: {}", output.complaint())))
    }
}

/// The installed version; empty when it cannot be told.
async fn version() -> String {
    match exec::run(Program::Dovecot, &["--version"], TOOL_LIMIT).await {
        Ok(output) if output.success() => {
            output.stdout.split_whitespace().next().unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}
