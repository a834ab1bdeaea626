//! Parameters behind the question mark, and the pages of lists.

use axum::{
    Json,
    extract::{FromRequestParts, OriginalUri},
    http::{HeaderMap, HeaderValue, header::LINK, request::Parts},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use umail_api_types::page::{Page as Body, PageQuery, Total};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    model::page::{COUNTED, Found, Page},
};

const DEFAULT_SIZE: u16 = 50;
const MAX_SIZE: u16 = 100;

/// Parameters of a call that is not a list.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        read(&pairs(parts)?).map(Self)
    }
}

/// A list without parameters of its own.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoFilter {}

/// Which page of a list is wanted, and which of all items.
#[derive(Clone, Debug)]
pub struct Pages<F = NoFilter> {
    /// Which items.
    pub filter: F,
    after: Option<Uuid>,
    size: u16,
    path: String,
    parameters: Vec<(String, String)>,
}

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Pages<F> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let (page, rest): (Vec<_>, Vec<_>) =
            pairs(parts)?.into_iter().partition(|(key, _)| key.starts_with("page_"));
        let wanted: PageQuery = read(&page)?;
        let size = wanted.page_size.unwrap_or(DEFAULT_SIZE);
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(Error::invalid("page_size", format!("must be 1 to {MAX_SIZE}")));
        }
        let after = wanted.page_token.as_deref().map(read_token).transpose()?;
        let path = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0).path();
        let path = path.to_owned();
        Ok(Self { filter: read(&rest)?, after, size, path, parameters: rest })
    }
}

impl<F> Pages<F> {
    /// What the store is asked for: one row more than the page shows.
    #[must_use]
    pub fn wanted(&self) -> Page {
        Page { after: self.after, limit: i64::from(self.size) + 1 }
    }

    /// The page of these rows, and the link to the next one.
    pub fn answer<M, T: Serialize>(
        &self,
        found: impl Into<Found<M>>,
        id: impl Fn(&M) -> Uuid,
        show: impl Fn(M) -> T,
    ) -> (HeaderMap, Json<Body<T>>) {
        let Found { mut rows, upto, total } = found.into();
        let has_next = rows.len() > usize::from(self.size);
        rows.truncate(usize::from(self.size));
        let last = rows.last().filter(|_| has_next).map(id);
        let next = last.or(upto).map(write_token);
        let link = next.as_deref().and_then(|token| self.link(token));
        let headers = link.map(|link| (LINK, link)).into_iter().collect();
        let items = rows.into_iter().map(show).collect();
        let total =
            total.map(|total| Total { count: total.min(COUNTED), is_exact: total <= COUNTED });
        (headers, Json(Body { items, next_page_token: next, total }))
    }

    fn link(&self, token: &str) -> Option<HeaderValue> {
        let mut parameters = self.parameters.clone();
        parameters.push(("page_size".to_owned(), self.size.to_string()));
        parameters.push(("page_token".to_owned(), token.to_owned()));
        let query = serde_urlencoded::to_string(parameters).ok()?;
        HeaderValue::from_str(&format!("<{}?{query}>; rel=\"next\"", self.path)).ok()
    }
}

fn write_token(id: Uuid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes())
}

fn read_token(token: &str) -> Result<Uuid> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    let id = bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    id.ok_or_else(|| Error::invalid("page_token", "must be the next_page_token of an answer"))
}

fn pairs(parts: &Parts) -> Result<Vec<(String, String)>> {
    let query = parts.uri.query().unwrap_or_default();
    serde_urlencoded::from_str(query).map_err(|cause| Error::invalid("query", cause.to_string()))
}

fn read<T: DeserializeOwned>(pairs: &[(String, String)]) -> Result<T> {
    let query = serde_urlencoded::to_string(pairs).map_err(Error::internal)?;
    serde_urlencoded::from_str(&query).map_err(|cause| Error::invalid("query", cause.to_string()))
}
