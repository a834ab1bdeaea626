//! `umail-agent render`: the configuration that the agent would install.

use std::sync::Arc;

use super::{Outcome, drivers, say};
use crate::{
    config::Config,
    layout::Layout,
    ledger::Ledger,
    supervisors::{Supervisor, direct::Direct},
};

/// What to print.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print private keys as well.
    #[arg(long)]
    secrets: bool,
}

pub(super) fn render(config: &Config, arguments: &Arguments) -> Outcome {
    let layout = Layout::new(&config.data_dir);
    let desired = Ledger::read(&layout)?.ok_or("this node has no desired state yet")?;
    // Rendering starts and stops nothing: any supervisor will do.
    let supervisor: Arc<dyn Supervisor> = Arc::new(Direct::new(layout.clone()));
    for driver in drivers(&layout, config, &supervisor) {
        for file in driver.render(&desired)? {
            say(format_args!("# {} (mode {:04o})", file.path.display(), file.mode))?;
            if file.is_secret() && !arguments.secrets {
                say("# (secret)")?;
            } else {
                say(&file.content)?;
            }
        }
    }
    Ok(())
}
