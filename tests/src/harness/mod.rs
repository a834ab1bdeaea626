//! A fleet of real mail nodes on this machine, and clients to look at it from outside.
#![expect(clippy::indexing_slicing, reason = "JSON answers null for what is not there")]

pub mod fleet;
pub mod leftovers;
pub mod load;
pub mod mail;
pub mod network;
pub mod node;
pub mod process;
pub mod rest;
pub mod server;

use std::time::Duration;

use tokio::time::Instant;

pub use fleet::{Fleet, NodePlan};

/// What went wrong, for a person to read.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result whose error is a text for a person.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// Fails with a text unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*).into());
        }
    };
}

/// Says what was being done when something failed.
pub trait Because<T> {
    /// Puts the text before the error.
    fn because(self, text: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Error>> Because<T> for std::result::Result<T, E> {
    fn because(self, text: impl Into<String>) -> Result<T> {
        self.map_err(|error| format!("{}: {}", text.into(), error.into()).into())
    }
}

/// Asks again until the answer is there or the time is up; the last complaint says why not.
///
/// `Ok(Err(text))` means not yet; an error of the question itself counts as not yet, too.
pub async fn until<T>(
    limit: Duration,
    mut question: impl AsyncFnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        let complaint = match question().await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(complaint)) => complaint,
            Err(error) => error.to_string(),
        };
        ensure!(Instant::now() < end, "not within {} s: {complaint}", limit.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
