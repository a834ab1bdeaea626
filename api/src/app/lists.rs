//! What all lists do.

use futures_util::future::try_join;

use crate::{error::Result, model::page::Found};

/// The rows that are found, with how many there are in all, if that was asked: at the same time.
pub(super) async fn counted<T>(
    found: impl Future<Output = Result<Found<T>>>,
    asked: Option<bool>,
    count: impl Future<Output = Result<i32>>,
) -> Result<Found<T>> {
    if asked != Some(true) {
        return found.await;
    }
    let (found, total) = try_join(found, count).await?;
    Ok(Found { total: Some(total), ..found })
}
