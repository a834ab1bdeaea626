//! Which part of a list is wanted.

use uuid::Uuid;

/// A page of a list that is ordered by id.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Begins behind this id.
    pub after: Option<Uuid>,
    /// Rows wanted, one more than the page shows: it tells whether there is a next page.
    pub limit: i64,
}
