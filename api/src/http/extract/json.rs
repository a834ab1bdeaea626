//! Bodies in JSON.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{error::Violation, http::problem::Refusal};

/// A body of a request or of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|one| one.to_str().ok());
        if !media_type.is_some_and(is_json) {
            let text = "send application/json (a PATCH may be application/merge-patch+json)";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|cause| Refusal::new(cause.status(), "the body cannot be read"))?;
        read(&body).map(Self)
    }
}

fn is_json(media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/merge-patch+json"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(media_type))
}

/// In two steps: what is not JSON is malformed, what is JSON and does not fit is invalid.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|cause| Refusal::new(StatusCode::BAD_REQUEST, format!("not JSON: {cause}")))?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (field, reason) = (pointer(error.path()), error.into_inner().to_string());
        Refusal::invalid(vec![Violation { field, reason }])
    })
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segments = path.iter().map(|segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    });
    segments.collect()
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}
