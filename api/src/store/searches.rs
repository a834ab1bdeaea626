//! What lists are searched and counted by: functions of the database, since row-level security keeps
//! statements from using an index for `LIKE` (decision 0032). They see what is within reach.

use uuid::Uuid;

use crate::{
    model::{department::Among, domain::Domain, search::Search},
    store::uuids,
};

/// Rows that a search looks at before it says that there may be more: a quarter of a second.
pub(super) const BOUND: i32 = 1_000_000;

/// Which rows of a table are wanted. What a table has no column for is nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// In this domain.
    pub(super) place: Option<Uuid>,
    /// In these departments of it.
    pub(super) departments: Option<Vec<Uuid>>,
    /// In these, or below them.
    pub(super) tops: Option<Vec<Uuid>>,
    /// With this status.
    pub(super) status: Option<i16>,
    /// With this plan.
    pub(super) plan: Option<Uuid>,
    /// With this in the text that is searched.
    pub(super) term: Option<String>,
}

impl Wanted {
    /// The same, of departments.
    pub(super) fn among(self, among: &Among) -> Self {
        Self { departments: uuids(among.these()), tops: uuids(among.tops()), ..self }
    }

    /// The rows of a domain that have what is searched for. Nothing: no row can.
    pub(super) fn of(domain: &Domain, search: Option<&Search>) -> Option<Self> {
        let term = match search {
            Some(search) => Some(search.in_domain(&domain.name)?),
            None => None,
        };
        Some(Self { place: Some(domain.id.uuid()), term, ..Self::default() })
    }
}

/// The ids of the rows of a page that match, and behind which one there may be more, although these
/// are fewer than were wanted.
macro_rules! search {
    ($function:literal, $db:expr, $wanted:expr, $page:expr) => {{
        let row = sqlx::query!(
            r#"SELECT ids AS "ids!", upto FROM "#
                + $function
                + "($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            $wanted.place,
            $wanted.departments.as_deref(),
            $wanted.tops.as_deref(),
            $wanted.status,
            $wanted.plan,
            $wanted.term,
            $page.after(),
            i32::try_from($page.limit).unwrap_or(i32::MAX),
            $crate::store::searches::BOUND,
        );
        let row = row.fetch_one($db).await?;
        (row.ids, row.upto)
    }};
}

/// The ids of the rows of a page of some departments.
macro_rules! of_departments {
    ($function:literal, $db:expr, $wanted:expr, $page:expr) => {{
        let row = sqlx::query_scalar!(
            r#"SELECT "# + $function + r#"($1, $2, $3, $4, $5, $6, $7) AS "ids!""#,
            $wanted.place,
            $wanted.departments.as_deref(),
            $wanted.tops.as_deref(),
            $wanted.status,
            $wanted.plan,
            $page.after(),
            i32::try_from($page.limit).unwrap_or(i32::MAX),
        );
        row.fetch_one($db).await?
    }};
}

/// How many rows match, up to the bound of counts and one more.
macro_rules! count {
    ($function:literal, $db:expr, $wanted:expr) => {{
        let row = sqlx::query_scalar!(
            r#"SELECT "# + $function + r#"($1, $2, $3, $4, $5, $6, $7) AS "count!""#,
            $wanted.place,
            $wanted.departments.as_deref(),
            $wanted.tops.as_deref(),
            $wanted.status,
            $wanted.plan,
            $wanted.term,
            $crate::model::page::COUNTED,
        );
        row.fetch_one($db).await?
    }};
}

pub(super) use {count, of_departments, search};
