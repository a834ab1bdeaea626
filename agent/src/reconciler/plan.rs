//! What has to be done to a service: pure, from the wish and what was seen.

use umail_proto::agent::ServiceHealth;

use crate::drivers::Change;

/// What a service shall be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// It shall run.
    pub(super) is_running: bool,
    /// The operator has asked for a restart that has not been carried out.
    pub(super) is_restart_due: bool,
}

/// What is done to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it is as it shall be.
    Leave,
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Make it read its configuration again.
    Reload,
    /// Stop it and start it.
    Restart,
}

/// Decides for one service whose configuration has changed like this.
pub(super) const fn plan(wish: Wish, health: ServiceHealth, change: Change) -> Step {
    match (wish.is_running, health) {
        (false, ServiceHealth::Stopped) => Step::Leave,
        (false, _) => Step::Stop,
        (true, ServiceHealth::Stopped) => Step::Start,
        (true, ServiceHealth::Failed) => Step::Restart,
        (true, ServiceHealth::Running | ServiceHealth::Unspecified) => {
            match (wish.is_restart_due, change) {
                (true, _) | (_, Change::Restart) => Step::Restart,
                (false, Change::Reload) => Step::Reload,
                (false, Change::None) => Step::Leave,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wish_leads_to_its_step() {
        use ServiceHealth::{Failed, Running, Stopped};
        let table = [
            // shall run, restart due, health, change, step
            (true, false, Running, Change::None, Step::Leave),
            (true, false, Running, Change::Reload, Step::Reload),
            (true, false, Running, Change::Restart, Step::Restart),
            (true, true, Running, Change::None, Step::Restart),
            (true, true, Running, Change::Reload, Step::Restart),
            (true, false, Stopped, Change::None, Step::Start),
            (true, false, Stopped, Change::Restart, Step::Start),
            (true, true, Stopped, Change::None, Step::Start),
            (true, false, Failed, Change::None, Step::Restart),
            (false, false, Running, Change::None, Step::Stop),
            (false, true, Running, Change::Restart, Step::Stop),
            (false, false, Failed, Change::None, Step::Stop),
            (false, true, Stopped, Change::Reload, Step::Leave),
        ];
        for (is_running, is_restart_due, health, change, step) in table {
            let wish = Wish { is_running, is_restart_due };
            assert_eq!(plan(wish, health, change), step, "{wish:?} {health:?} {change:?}");
        }
    }
}
