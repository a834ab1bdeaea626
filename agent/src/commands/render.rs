//! `umail-agent render`: the configuration that the agent would install.

use super::{Outcome, drivers, say};
use crate::{config::Config, layout::Layout, ledger::Ledger};

pub(super) async fn render(config: &Config) -> Outcome {
    let layout = Layout::new(&config.data_dir);
    let desired = Ledger::read(&layout)?.ok_or("this node has no desired state yet")?;
    for driver in drivers(&layout, config).await? {
        for file in driver.render(&desired)? {
            say(format_args!("# {} (mode {:o})", file.path.display(), file.mode))?;
            say(&file.content)?;
        }
    }
    Ok(())
}
