//! Lists come in pages.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on this page, in the order of creation.
    pub items: Vec<T>,
    /// Asks for the next page as `page_token`; null on the last page. A page may have fewer items than
    /// were wanted, even none, and not be the last one.
    pub next_page_token: Option<String>,
    /// How many items all pages have together, if `count=true` asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total: Option<Total>,
}

/// How many items a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Total {
    /// How many; at most 10,000.
    #[schema(minimum = 0, maximum = 10_000)]
    pub count: i32,
    /// Whether that is all of them; there are more if not.
    pub is_exact: bool,
}

/// Which page of a list is wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// How many items a page has at most; 50 when absent.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    pub page_size: Option<u16>,
    /// `next_page_token` of the page before; absent for the first page.
    #[param(nullable = false, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    pub page_token: Option<String>,
}
