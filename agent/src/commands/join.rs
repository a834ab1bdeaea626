//! `umail-agent join`: gets this node its certificate.

use super::{Outcome, say};
use crate::{
    config::Config,
    identity::{self, Fingerprint, Joining},
    layout::Layout,
};

/// What the operator hands over from the printed join token.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The join token: single use, good for some minutes.
    #[arg(long, env = "UMAIL_JOIN_TOKEN", hide_env_values = true)]
    token: String,
    /// The name of this node, as in the token.
    #[arg(long)]
    name: String,
    /// SHA-256 of the fleet's root certificate, as printed with the token.
    #[arg(long)]
    ca_fingerprint: Fingerprint,
}

pub(super) async fn join(config: &Config, arguments: Arguments) -> Outcome {
    let Arguments { token, name, ca_fingerprint: root } = arguments;
    let layout = Layout::new(&config.data_dir);
    let node_id = identity::join(&layout, config, &Joining { token, name, root }).await?;
    say(format_args!("joined as node {node_id}; now start `umail-agent run`"))?;
    Ok(())
}
