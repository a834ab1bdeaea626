//! What the server always does, asked or not. Every task reads what there is and may run at any
//! time, on every instance at once.

mod actions;
mod expiry;
mod imports;
mod liveness;
mod operations;
mod partitions;
mod purging;
mod repeats;
mod sealing;
mod sequencer;
mod trimming;
mod unseen;

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

use crate::{
    context::{Context, State},
    error::Result,
};

/// A piece of periodic work.
trait Task: Send + 'static {
    /// The word for it in logs and metrics.
    const NAME: &'static str;
    /// Longest time between two runs.
    const PERIOD: Duration;
    /// Shortest time between two runs.
    const PAUSE: Duration = Duration::ZERO;

    /// Does what is to be done now, and says how much that was.
    fn run(&mut self, cx: &Context) -> impl Future<Output = Result<u64>> + Send;

    /// Ends when there is work before the period is over.
    fn woken(&mut self, _cx: &Context) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Starts all tasks. They end soon after `stop`; the tracker knows when.
pub fn start(state: &State, tracker: &TaskTracker, stop: &CancellationToken) {
    let cx = Context::system(state.clone());
    tracker.spawn(drive(sequencer::Sequencer, cx.clone(), stop.clone()));
    tracker.spawn(drive(liveness::Liveness, cx.clone(), stop.clone()));
    tracker.spawn(drive(actions::Actions::default(), cx.clone(), stop.clone()));
    tracker.spawn(drive(operations::Operations::new(state), cx.clone(), stop.clone()));
    // So that a large import of one domain does not hold up all others.
    for _ in 0..imports::WORKERS {
        tracker.spawn(drive(imports::Imports::new(state), cx.clone(), stop.clone()));
    }
    tracker.spawn(drive(purging::Purging::new(state), cx.clone(), stop.clone()));
    tracker.spawn(drive(repeats::Repeats, cx.clone(), stop.clone()));
    tracker.spawn(drive(unseen::Unseen, cx.clone(), stop.clone()));
    tracker.spawn(drive(sealing::Sealing, cx.clone(), stop.clone()));
    tracker.spawn(drive(partitions::Partitions, cx.clone(), stop.clone()));
    tracker.spawn(drive(trimming::Trimming, cx.clone(), stop.clone()));
    tracker.spawn(drive(expiry::Expiry, cx, stop.clone()));
}

async fn drive<T: Task>(mut task: T, cx: Context, stop: CancellationToken) {
    let mut is_failing = false;
    loop {
        let Some(outcome) = stop.run_until_cancelled(task.run(&cx)).await else { return };
        metrics::counter!("umail_api_task_runs_total", "task" => T::NAME,
            "outcome" => if outcome.is_ok() { "ok" } else { "failed" })
        .increment(1);
        match &outcome {
            Ok(done) => {
                metrics::counter!("umail_api_task_items_total", "task" => T::NAME).increment(*done);
                if is_failing {
                    info!(task = T::NAME, "a task works again");
                }
            }
            Err(cause) if !is_failing => error!(task = T::NAME, %cause, "a task failed"),
            Err(_) => {}
        }
        is_failing = outcome.is_err();
        // A task that fails is not woken, so that it does not spin.
        let pause = if is_failing { T::PERIOD } else { T::PAUSE };
        let next = async {
            tokio::time::sleep(pause).await;
            tokio::select! {
                () = tokio::time::sleep(T::PERIOD.saturating_sub(pause)) => {}
                () = task.woken(&cx) => {}
            }
        };
        if stop.run_until_cancelled(next).await.is_none() {
            return;
        }
    }
}
