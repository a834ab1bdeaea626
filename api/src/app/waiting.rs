//! Requests that wait: for nodes that follow, and for operations that end.

use std::time::Duration;

use crate::{
    authz::{Action, Resource},
    context::Context,
    error::Result,
};

/// How often somebody who waits looks again, if nothing woke them.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Looks again whenever a node has come further or an operation has moved on, until it is `done` or
/// the time is over, and for as long as the caller may do what was `asked`.
pub(super) async fn watch<T, F>(
    cx: &Context,
    asked: (Action, Resource),
    wait: Duration,
    look: impl Fn() -> F,
    done: impl Fn(&T) -> bool,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut progress = cx.state().fleet().progress();
    let mut mark = cx.state().fleet().watermark();
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        progress.borrow_and_update();
        mark.borrow_and_update();
        cx.authorize_still(asked.0, asked.1.clone()).await?;
        let seen = look().await?;
        if done(&seen) || tokio::time::Instant::now() >= deadline {
            return Ok(seen);
        }
        tokio::select! {
            _ = progress.changed() => {}
            _ = mark.changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
}
