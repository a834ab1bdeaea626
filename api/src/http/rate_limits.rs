//! Tells callers what is left of their rate, in the headers of the IETF's draft for HTTP.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::Request,
    http::{Extensions, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};

use crate::{
    authn::rates::Left,
    context::Context,
    error::{Error, Result},
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// What the caller has left, once it is known who calls.
#[derive(Clone, Debug, Default)]
struct Slot(Arc<OnceLock<Left>>);

/// Writes the headers of a request whose caller was counted.
pub(super) async fn layer(mut request: Request, next: Next) -> Response {
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let mut response = next.run(request).await;
    if let Some(left) = slot.0.get() {
        let policy = format!("\"caller\";q={};w=60", left.limit);
        let state = format!("\"caller\";r={};t={}", left.remaining, left.wait_seconds);
        for (name, value) in [(POLICY, policy), (STATE, state)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

/// Counts a request, and refuses it when the caller has none left.
pub(super) fn count(cx: &Context, extensions: &Extensions) -> Result<()> {
    let Some(left) = cx.caller().id().and_then(|id| cx.state().rates().take(id)) else {
        return Ok(());
    };
    if let Some(slot) = extensions.get::<Slot>() {
        slot.0.get_or_init(|| left);
    }
    match left.wait_seconds {
        0 => Ok(()),
        seconds => Err(Error::TooManyRequests(seconds)),
    }
}
