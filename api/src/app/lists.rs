//! What all lists do.

use crate::{error::Result, model::page::Found};

/// The same rows, with how many there are in all, if that was asked.
pub(super) async fn counted<T>(
    found: Found<T>,
    asked: Option<bool>,
    count: impl Future<Output = Result<i32>>,
) -> Result<Found<T>> {
    if asked != Some(true) {
        return Ok(found);
    }
    Ok(Found { total: Some(count.await?), ..found })
}
