//! Turns every refusal into problem details (RFC 9457). Only this file knows HTTP's codes.

use std::{any::Any, sync::Arc};

use axum::{
    Json,
    extract::Request,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use tower_http::request_id::RequestId;
use umail_api_types::problem::{ExceededLimit, FieldProblem, Problem};

use crate::{
    error::{self, Error, Violation},
    http::refusals,
    model::{allowance::Exceeded, session::Confinement},
};

impl From<Exceeded> for ExceededLimit {
    fn from(limit: Exceeded) -> Self {
        Self {
            level: limit.level,
            name: limit.name,
            kind: limit.kind.into_owned(),
            limit: limit.limit,
            allocated: limit.allocated,
            asked: limit.asked,
        }
    }
}

/// The kind of what the role of a caller does not allow.
const FORBIDDEN: &str = "forbidden";

/// A refusal on its way out: `render` gives it the id of the request and its body.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    errors: Box<[FieldProblem]>,
    exceeded: Option<Box<ExceededLimit>>,
    retry_after_seconds: Option<u64>,
    /// What the caller must not see.
    cause: Option<Arc<str>>,
}

impl Refusal {
    /// A refusal of this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let (kind, title) = describe(status);
        Self {
            status,
            kind,
            title,
            detail: detail.into(),
            errors: Box::default(),
            exceeded: None,
            retry_after_seconds: None,
            cause: None,
        }
    }

    /// Fields break their rules.
    #[must_use]
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let mut refusal = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "fields break their rules");
        refusal.errors = violations
            .into_iter()
            .map(|one| FieldProblem { pointer: one.field, detail: one.reason })
            .collect();
        refusal
    }

    fn exceeded(detail: String, limit: Exceeded) -> Self {
        let mut refusal = Self::new(StatusCode::CONFLICT, detail);
        (refusal.kind, refusal.title) = ("limit-exceeded", "a limit does not allow it");
        refusal.exceeded = Some(Box::new(limit.into()));
        refusal
    }

    fn internal(cause: &dyn ToString) -> Self {
        let mut refusal = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server failed; its log has more under the trace id",
        );
        refusal.cause = Some(cause.to_string().into());
        refusal
    }

    fn unavailable(detail: impl Into<String>, cause: Option<String>) -> Self {
        let mut refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        refusal.retry_after_seconds = Some(1);
        refusal.cause = cause.map(Arc::from);
        refusal
    }
}

fn describe(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST => ("malformed", "the request cannot be read"),
        StatusCode::UNAUTHORIZED => ("unauthenticated", "nobody is signed in"),
        StatusCode::FORBIDDEN => (FORBIDDEN, "not allowed"),
        StatusCode::NOT_FOUND => ("not-found", "there is no such thing"),
        StatusCode::METHOD_NOT_ALLOWED => ("no-such-method", "this cannot be done to it"),
        StatusCode::CONFLICT => ("conflict", "the state of things does not allow it"),
        StatusCode::PRECONDITION_FAILED => ("stale", "it has changed since you read it"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "the request is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported-media-type", "the body is not JSON"),
        StatusCode::UNPROCESSABLE_ENTITY => ("invalid", "fields break their rules"),
        StatusCode::PRECONDITION_REQUIRED => ("if-match-required", "an If-Match header is needed"),
        StatusCode::TOO_MANY_REQUESTS => ("too-many-requests", "too many attempts"),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "not available for now"),
        _ if status.is_client_error() => ("refused", "the request was refused"),
        _ => ("internal", "the server failed"),
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Unauthenticated(_) => Self::new(StatusCode::UNAUTHORIZED, text),
            Error::TotpRequired => Self {
                kind: "totp-required",
                title: "a code is needed as well",
                ..Self::new(StatusCode::UNAUTHORIZED, text)
            },
            Error::Confined(Confinement::PasswordChange) => Self {
                kind: "password-change-required",
                title: "the password must be changed first",
                ..Self::new(StatusCode::FORBIDDEN, text)
            },
            Error::Confined(Confinement::TotpEnrolment) => Self {
                kind: "totp-enrolment-required",
                title: "a second factor must be enrolled first",
                ..Self::new(StatusCode::FORBIDDEN, text)
            },
            Error::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, text),
            Error::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, text),
            Error::AlreadyExists { .. } | Error::Conflict(_) => {
                Self::new(StatusCode::CONFLICT, text)
            }
            Error::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, text),
            Error::LimitExceeded(exceeded) => Self::exceeded(text, *exceeded),
            Error::StaleRevision(_) => Self::new(StatusCode::PRECONDITION_FAILED, text),
            Error::RevisionRequired => Self::new(StatusCode::PRECONDITION_REQUIRED, text),
            Error::Invalid(violations) => Self::invalid(violations),
            Error::TooManyRequests(seconds) => {
                let mut refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, text);
                refusal.retry_after_seconds = Some(seconds);
                refusal
            }
            Error::Unavailable(_) => Self::unavailable(text, None),
            Error::Database(cause) if error::is_away(&cause) => {
                Self::unavailable("the database is away", Some(text))
            }
            Error::Corrupt { .. } | Error::Database(_) | Error::Internal(_) => {
                Self::internal(&text)
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}

/// Writes the bodies of refusals, and logs the causes of those that are the server's fault.
pub(super) async fn render(mut request: Request, next: Next) -> Response {
    let id = request_id(request.extensions());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let caller = refusals::Slot::default();
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    let status = response.status();
    let refusal = match response.extensions_mut().remove::<Refusal>() {
        Some(refusal) => refusal,
        // A layer refused, such as the one for time.
        None if status.is_client_error() || status.is_server_error() => {
            Refusal::new(status, describe(status).1)
        }
        None => return response,
    };
    if refusal.kind == FORBIDDEN {
        caller.record(&method, &uri, &refusal.detail).await;
    } else if refusal.status == StatusCode::NOT_FOUND {
        caller.miss(&method, &uri);
    }
    if let Some(cause) = &refusal.cause {
        tracing::error!(trace_id = &*id, status = status.as_u16(), cause = &**cause, "failed");
    }
    let mut headers = HeaderMap::new();
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        headers.insert(ALLOW, allow);
    }
    if let Some(seconds) = refusal.retry_after_seconds {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if refusal.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let problem = Problem {
        kind: format!("urn:umail:problem:{}", refusal.kind),
        title: refusal.title.to_owned(),
        status: refusal.status.as_u16(),
        detail: refusal.detail,
        errors: refusal.errors.into_vec(),
        exceeded: refusal.exceeded.map(|exceeded| *exceeded),
        trace_id: id.as_ref().to_owned(),
    };
    let mut response = (refusal.status, headers, Json(problem)).into_response();
    let media_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// The id of a request, as short as a log wants it: a caller may have chosen it.
pub(super) fn request_id(extensions: &axum::http::Extensions) -> Arc<str> {
    let id = extensions.get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    id.unwrap_or_default().chars().take(64).collect::<String>().into()
}

/// No route has this path.
pub(super) async fn no_such_path() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path")
}

/// The path is there, the method is not.
pub(super) async fn no_such_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know the method")
}

/// A defect.
#[expect(clippy::needless_pass_by_value, reason = "the layer gives it away")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    Refusal::internal(&format!("panicked: {}", text.unwrap_or("?"))).into_response()
}
