//! Closes and forgets what is over: actions, sessions, answers kept for repeats, old figures.

use std::time::Duration;

use super::Task;
use crate::{context::Context, error::Result, model::lockout::PAUSE, store};

/// A node may have begun an action just before its deadline.
const GRACE: time::Duration = time::Duration::minutes(5);
const ACTIONS_KEPT: time::Duration = time::Duration::days(30);
const SESSIONS_KEPT: time::Duration = time::Duration::days(7);
/// Whoever shows one that was good is told apart from whoever guesses.
const LOGIN_LINKS_KEPT: time::Duration = time::Duration::hours(1);
const KEYS_KEPT: time::Duration = time::Duration::days(30);
const ANSWERS_KEPT: time::Duration = time::Duration::days(1);
/// Longer than any spool keeps a report that was not accepted.
const REPORT_KEYS_KEPT: time::Duration = time::Duration::days(45);
const FIGURES_KEPT: time::Duration = time::Duration::days(400);
const LOAD_KEPT: time::Duration = time::Duration::days(35);

const IMPORTS_KEPT: time::Duration = time::Duration::days(30);
/// An import whose content does not come on.
const CUT_OFF_KEPT: time::Duration = time::Duration::days(2);

pub(super) struct Expiry;

impl Task for Expiry {
    const NAME: &'static str = "expiry";
    const PERIOD: Duration = Duration::from_mins(1);

    async fn run(&mut self, cx: &Context) -> Result<u64> {
        let (db, now) = (cx.pool(), cx.now());
        let mut done = store::actions::expire(db, now - GRACE, now).await?;
        done += store::actions::delete_before(db, now - ACTIONS_KEPT).await?;
        done += store::sessions::delete_ended(db, now - SESSIONS_KEPT).await?;
        done += store::api_keys::delete_expired(db, now - KEYS_KEPT).await?;
        done += store::login_links::delete_expired(db, now - LOGIN_LINKS_KEPT).await?;
        done += store::lockouts::delete_before(db, now - PAUSE).await?;
        done += store::idempotency_keys::delete_old(db, now - ANSWERS_KEPT).await?;
        let (keys, figures) = (now - REPORT_KEYS_KEPT, now - FIGURES_KEPT);
        done += store::traffic::delete_before(db, keys, figures).await?;
        done += store::load::delete_before(db, now - LOAD_KEPT).await?;
        done += store::nodes::sum_users(db).await?;
        let (ended, cut_off) = (now - IMPORTS_KEPT, now - CUT_OFF_KEPT);
        done += store::imports::delete_before(db, ended, cut_off).await?;
        Ok(done)
    }
}
