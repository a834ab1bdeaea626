//! The Postfix driver.

mod check;
mod main_cf;
mod maps;
mod master_cf;
pub mod queue;

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use umail_proto::agent::{DesiredState, ListenerKind, ServiceHealth, ServiceKind};

use super::{
    Change, ConfigFile, Driver, Observation, Refusal,
    install::{self, Owner},
    listeners,
    settings::{self, Settings},
    tls,
};
use crate::{
    config::{Config, Ports},
    exec::{self, Program},
    layout::Layout,
    supervisors::Supervisor,
};

/// How long Postfix's own tools may take.
const TOOL_LIMIT: Duration = Duration::from_secs(10);
/// The user that Postfix's daemons run as.
const MAIL_OWNER: &str = "postfix";

/// Drives Postfix.
pub struct Postfix {
    layout: Layout,
    config: Config,
    supervisor: Arc<dyn Supervisor>,
}

/// Everything that the rendered files are made of.
struct Source<'a> {
    layout: &'a Layout,
    config: &'a Config,
    settings: Settings,
    desired: &'a DesiredState,
    has_tls: bool,
}

impl Postfix {
    /// A driver for the Postfix of this layout.
    #[must_use]
    pub fn new(layout: Layout, config: &Config, supervisor: Arc<dyn Supervisor>) -> Self {
        Self { layout, config: config.clone(), supervisor }
    }

    /// The files as they stand in `folder`. The maps come first: a process that starts while
    /// they are installed finds them all.
    fn compose(&self, desired: &DesiredState, folder: &Path) -> Result<Vec<ConfigFile>, Refusal> {
        settings::plain(self.layout.root())?;
        let mut files = tls::files(desired, &self.layout.etc("postfix"), folder)?;
        let source = Source {
            layout: &self.layout,
            config: &self.config,
            settings: Settings::read(desired)?,
            desired,
            has_tls: !files.is_empty(),
        };
        let file =
            |name: &str, content| ConfigFile { path: folder.join(name), content, mode: 0o644 };
        files.extend(maps::all(&source).into_iter().map(|map| file(map.file, map.content)));
        files.push(file("master.cf", master_cf::render(&source)));
        files.push(file("main.cf", main_cf::render(&source)));
        Ok(files)
    }

    async fn bring(&self, desired: &DesiredState) -> Result<Change, Refusal> {
        let folder = self.layout.etc("postfix");
        let files = self.compose(desired, &folder)?;
        if install::is_installed(&folder, &files) {
            return Ok(Change::None);
        }
        let aside = install::aside("postfix")?;
        let copy = self.compose(desired, aside.path())?;
        install::install(aside.path(), &copy)?;
        check::check(aside.path()).await?;
        self.create_folders()?;
        install::install(&folder, &files)?;
        Ok(Change::Reload)
    }

    fn create_folders(&self) -> Result<(), Refusal> {
        install::create_common_folders(self.layout.root())?;
        install::create_folder(&self.layout.queue(), 0o755, None)?;
        let owner = Owner { gid: 0, ..Owner::named(MAIL_OWNER)? };
        install::create_folder(&self.layout.postfix_data(), 0o700, Some(owner))
    }

    fn ports(&self) -> [(ListenerKind, u16); 2] {
        let Ports { smtp, submission, .. } = self.config.ports;
        [(ListenerKind::Smtp, smtp), (ListenerKind::Submission, submission)]
    }
}

impl Driver for Postfix {
    fn kind(&self) -> ServiceKind {
        ServiceKind::Postfix
    }

    fn observe(&self) -> BoxFuture<'_, Observation> {
        async move {
            let (health, detail) = match self.supervisor.running(ServiceKind::Postfix).await {
                Ok(true) => (ServiceHealth::Running, String::new()),
                Ok(false) => (ServiceHealth::Stopped, String::new()),
                Err(error) => (ServiceHealth::Failed, error.to_string()),
            };
            let runs = health == ServiceHealth::Running;
            let listeners =
                if runs { listeners::open(&self.ports(), &self.config.listen) } else { Vec::new() };
            Observation { health, listeners, version: version().await, detail }
        }
        .boxed()
    }

    fn render(&self, desired: &DesiredState) -> Result<Vec<ConfigFile>, Refusal> {
        self.compose(desired, &self.layout.etc("postfix"))
    }

    fn configure<'a>(
        &'a self,
        desired: &'a DesiredState,
    ) -> BoxFuture<'a, Result<Change, Refusal>> {
        self.bring(desired).boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.supervisor.start(ServiceKind::Postfix)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.supervisor.stop(ServiceKind::Postfix)
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.supervisor.reload(ServiceKind::Postfix)
    }
}

/// The installed version; empty when it cannot be told.
async fn version() -> String {
    match exec::run(Program::Postconf, &["-d", "-h", "mail_version"], TOOL_LIMIT).await {
        Ok(output) if output.success() => output.stdout.trim().to_owned(),
        _ => String::new(),
    }
}
