//! Which part of a list is wanted, and what was found of it.

use uuid::Uuid;

/// Items of a list are counted up to so many.
pub const COUNTED: i32 = 10_000;

/// A page of a list that is ordered by id.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Begins behind this id.
    pub after: Option<Uuid>,
    /// Rows wanted, one more than the page shows: it tells whether there is a next page.
    pub limit: i64,
}

impl Page {
    /// Begins behind this id, which is below all others on the first page. (A statement with "any, or
    /// behind this" would be planned at each use, or read all that is before.)
    #[must_use]
    pub fn after(&self) -> Uuid {
        self.after.unwrap_or(Uuid::nil())
    }

    /// The ids of this page, of a list whose ids are known. They end where the page does, which is to
    /// be told to [`Found::of_ids`].
    #[must_use]
    pub fn of<T: Copy + Into<Uuid>>(&self, ids: &[T]) -> Vec<Uuid> {
        let ids = ids.iter().map(|id| (*id).into()).filter(|id: &Uuid| *id > self.after());
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        ids
    }
}

/// What was found for a page.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The rows, in the order of the list.
    pub rows: Vec<T>,
    /// Behind this id there may be more, whatever the number of rows: the next page begins there.
    pub upto: Option<Uuid>,
    /// How many there are on all pages, if that was asked: up to [`COUNTED`], and one more if there
    /// are more.
    pub total: Option<i32>,
}

impl<T> Found<T> {
    /// The rows of these ids, which are a whole page if they are so many: if one of them has gone
    /// meanwhile, that does not end the list.
    #[must_use]
    pub fn of_ids(rows: Vec<T>, ids: &[Uuid], page: Page) -> Self {
        let last = ids.last().copied();
        let upto = last.filter(|_| i64::try_from(ids.len()).is_ok_and(|len| len >= page.limit));
        Self { rows, upto, total: None }
    }

    /// The same rows of a search that ended behind this id, if it did.
    #[must_use]
    pub fn ended(self, upto: Option<Uuid>) -> Self {
        Self { upto: upto.or(self.upto), ..self }
    }
}

impl<T> From<Vec<T>> for Found<T> {
    fn from(rows: Vec<T>) -> Self {
        Self { rows, upto: None, total: None }
    }
}
