//! `umail-api audit`: is the chain whole, and what is old enough to go.

use clap::Subcommand;
use time::Duration;
use umail_proto::clock::Clock;

use crate::{
    app::audit_seals::{self, Finding},
    commands::{print, with_system},
    config::Config,
    database::Database,
    error::{Error, Result},
    model::audit::Head,
    telemetry,
};

/// Look after audit events
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Verify the chain of audit events; fails, and says where, if it is broken
    Verify {
        /// A head that an earlier verification printed: the chain must still lead there
        #[arg(long, value_name = "SEQUENCE:DIGEST")]
        head: Option<Head>,
    },
    /// Remove the audit events of months that are older than this
    Prune {
        /// How long events are kept at least, such as `400d`
        #[arg(long, value_name = "DAYS", value_parser = days)]
        keep: i64,
    },
}

impl Audit {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        match self {
            Self::Verify { head } => {
                let found = with_system(config, async |cx| audit_seals::verify(cx, head).await);
                report(&found.await?)
            }
            Self::Prune { keep } => prune(config, keep).await,
        }
    }
}

fn report(found: &Finding) -> Result<()> {
    match found {
        Finding::Intact { head, sealed, unsealed } => print(&format!(
            "intact: {sealed} events are sealed, {unsealed} wait for their seal\nhead: {head}"
        )),
        Finding::Broken { sequence: Some(sequence), reason } => {
            Err(Error::Conflict(format!("the chain is broken at sequence {sequence}: {reason}")))
        }
        Finding::Broken { sequence: None, reason } => {
            Err(Error::Conflict(format!("the chain is whole, but {reason}")))
        }
    }
}

/// As the owner: the role of the server removes no events.
async fn prune(config: &Config, keep: i64) -> Result<()> {
    telemetry::start_logging(&config.log)?;
    let database = Database::open(config).await?;
    let pruned = async {
        database.migrate().await?;
        database.prune_audit(Clock::system().now() - Duration::days(keep)).await
    };
    let pruned = pruned.await;
    database.close().await;
    let (upto, removed) = pruned?;
    print(&match removed {
        0 => "nothing is old enough".to_owned(),
        _ => format!("{removed} events were removed; the chain begins after sequence {upto}"),
    })
}

/// A number of days, such as `400d`.
fn days(text: &str) -> Result<i64, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    let days = days.filter(|days| (31..=36_500).contains(days));
    days.ok_or_else(|| "must be a number of days from 31d to 36500d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_said_with_their_unit() {
        assert_eq!(days("400d"), Ok(400));
        for wrong in ["400", "1d", "d", "-40d", "9999999d", "40 d"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }
}
