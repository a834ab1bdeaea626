//! Revisions as entity tags: `ETag` on the way out, `If-Match` on the way in.

use axum::{
    extract::FromRequestParts,
    http::{
        HeaderValue,
        header::{ETAG, IF_MATCH},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use crate::{
    error::{Error, Result},
    http::extract::Json,
    model::revision::Precondition,
};

/// What the caller requires of the revision. The header must be there.
#[derive(Clone, Debug)]
pub struct IfMatch(pub Precondition);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let header = parts.headers.get(IF_MATCH).ok_or(Error::RevisionRequired)?;
        let header = header.to_str().unwrap_or_default().trim();
        if header == "*" {
            return Ok(Self(Precondition::Any));
        }
        // A weak or foreign tag matches nothing.
        let revisions = header
            .split(',')
            .filter_map(|tag| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse::<i64>().ok());
        Ok(Self(Precondition::OneOf(revisions.collect())))
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = ObjectBuilder::new().schema_type(Type::String).examples(["*"]);
        let header = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some("The `ETag` that you read, or `*`; refused with 428 when absent"))
            .schema(Some(text))
            .build();
        vec![header]
    }
}

/// A body with the entity tag of its revision.
#[derive(Clone, Copy, Debug)]
pub struct Tagged<T>(pub i64, pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.1).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.0)) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}
