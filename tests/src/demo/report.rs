//! What the reader of the demo sees: one line per step, then a summary.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::harness::{Error, Fleet};

/// Collects the outcome of the steps and prints each as it comes.
#[derive(Debug)]
pub struct Report {
    started: Instant,
    lines: usize,
    failures: Vec<String>,
    logs: PathBuf,
}

impl Report {
    /// A report whose logs of failures go to this folder.
    #[must_use]
    pub fn new(logs: PathBuf) -> Self {
        Self { started: Instant::now(), lines: 0, failures: Vec::new(), logs }
    }

    /// A step held.
    pub fn held(&mut self, step: &str, took: Duration, said: &str) {
        self.lines += 1;
        say(&format!("{:>2} ok    {:>6.1} s  {step}: {said}", self.lines, took.as_secs_f64()));
    }

    /// A step did not hold.
    pub fn failed(&mut self, step: &str, error: &Error) {
        self.lines += 1;
        say(&format!("{:>2} FAIL            {step}: {error}", self.lines));
        self.failures.push(format!("{step}: {error}"));
    }

    /// Keeps the logs of a fleet that does not work.
    pub fn keep_logs(&self, fleet: &Fleet) {
        match fleet.keep_logs(&self.logs) {
            Ok(()) => say(&format!("logs are in {}", self.logs.display())),
            Err(error) => say(&format!("logs could not be kept: {error}")),
        }
    }

    /// Prints the summary with what a person can try.
    pub fn summary(&self, hints: &[String]) {
        let took = self.started.elapsed().as_secs_f64();
        let held = self.lines - self.failures.len();
        say(&format!("\n{held} of {} steps held, in {took:.1} s", self.lines));
        for failure in &self.failures {
            say(&format!("  failed: {failure}"));
        }
        for hint in hints {
            say(&format!("  {hint}"));
        }
    }

    /// Says that the fleet stays up.
    pub fn waiting() {
        say("\nThe fleet stays up until Ctrl-C.");
    }

    /// What did not hold.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.failures
    }
}

#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
fn say(line: &str) {
    println!("{line}");
}
