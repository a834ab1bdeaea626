//! `Idempotency-Key`: a repeated POST gets the answer of the first, stored in its transaction.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequestParts, Request, State as Shared},
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        header::{CONTENT_TYPE, ETAG, LOCATION},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use crate::{
    context::{Context, State},
    error::{Error, Result},
    http::{BODY_LIMIT_BYTES, problem::Refusal},
    store::{self, idempotency_keys::Stored},
    transaction::Enclosing,
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_LEN: usize = 255;
/// Where keys are of no effect: the answers are secrets of those who sign in.
const UNKEPT: [&str; 2] = ["/v1/sessions", "/v1/me/totp"];
/// The same, as the path ends: a link that was answered before may be used up, or over.
const UNKEPT_OF_USERS: &str = "/login_links";
/// Headers that belong to an answer.
const HEADERS: [HeaderName; 3] = [CONTENT_TYPE, ETAG, LOCATION];

/// Handles requests that carry a key; all others pass.
pub(super) async fn layer(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let carries_key = parts.method == Method::POST && parts.headers.contains_key(KEY);
    if !carries_key || !is_kept(parts.uri.path()) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    match Context::from_request_parts(&mut parts, &state).await {
        Ok(cx) => answer(&cx, parts, body, next).await.unwrap_or_else(IntoResponse::into_response),
        Err(error) => error.into_response(),
    }
}

/// Whether a key is of effect for this path.
pub(super) fn is_kept(path: &str) -> bool {
    !UNKEPT.iter().any(|start| path.starts_with(start)) && !path.ends_with(UNKEPT_OF_USERS)
}

async fn answer(cx: &Context, parts: Parts, body: Body, next: Next) -> Result<Response> {
    let key = read_key(&parts)?;
    let Ok(body) = to_bytes(body, BODY_LIMIT_BYTES).await else {
        let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        return Ok(refusal.into_response());
    };
    let (caller, request_hash) = (cx.caller().id(), hash(cx, &parts, &body));
    let caller = caller.ok_or(Error::Unauthenticated("sign in first"))?;
    let mut tx = cx.pool().begin().await?;
    if !store::idempotency_keys::try_lock(&mut tx, caller, &key).await? {
        let text = "a request with this Idempotency-Key is being worked on";
        return Err(Error::Conflict(text.to_owned()));
    }
    if let Some(stored) = store::idempotency_keys::find(&mut *tx, caller, &key).await? {
        return replay(cx, &key, &request_hash, &stored);
    }
    let enclosing = Enclosing::new(tx);
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(cx.clone().enclosed(enclosing.clone()));
    let response = next.run(request).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    let tx = enclosing.finish().await;
    let mut tx =
        tx.ok_or_else(|| Error::internal("answered well, and yet gave up a transaction"))?;
    let (response, stored) = store_answer(cx, &key, request_hash, response).await?;
    store::idempotency_keys::insert(&mut *tx, caller, &key, &stored, cx.now()).await?;
    tx.commit().await?;
    // The app woke it before the commit: wake it again.
    cx.state().changes().notify_one();
    Ok(response)
}

fn read_key(parts: &Parts) -> Result<String> {
    let key = parts.headers.get(KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
    let is_good =
        (1..=MAX_LEN).contains(&key.len()) && key.bytes().all(|one| one.is_ascii_graphic());
    if !is_good {
        let text = format!("must have 1 to {MAX_LEN} printable ASCII characters");
        return Err(Error::invalid("Idempotency-Key", text));
    }
    Ok(key.to_owned())
}

/// What a request is, and by which API key: one that may do less gets no answer of another.
fn hash(cx: &Context, parts: &Parts, body: &Bytes) -> Vec<u8> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let key = cx.key().map(|found| found.key.id.uuid().into_bytes());
    let hash = Sha256::new().chain_update(key.unwrap_or_default()).chain_update(target);
    hash.chain_update([0]).chain_update(body).finalize().to_vec()
}

fn seal_name(key: &str) -> String {
    format!("answer {key}")
}

fn replay(cx: &Context, key: &str, request_hash: &[u8], stored: &Stored) -> Result<Response> {
    if stored.request_hash != request_hash {
        let text = "was used for another request; choose a new one";
        return Err(Error::invalid("Idempotency-Key", text));
    }
    let body = cx.state().sealer().open(&seal_name(key), &stored.body)?;
    let mut response = Response::new(Body::from(body));
    let status = u16::try_from(stored.status).unwrap_or_default();
    *response.status_mut() = StatusCode::from_u16(status).map_err(Error::internal)?;
    for name in HEADERS {
        let value = stored.headers.get(name.as_str()).and_then(|value| value.as_str());
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

async fn store_answer(
    cx: &Context,
    key: &str,
    request_hash: Vec<u8>,
    response: Response,
) -> Result<(Response, Stored)> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(Error::internal)?;
    let mut headers = serde_json::Map::new();
    for name in HEADERS {
        if let Some(value) = parts.headers.get(&name).and_then(|value| value.to_str().ok()) {
            headers.insert(name.to_string(), value.into());
        }
    }
    let status = i16::try_from(parts.status.as_u16()).map_err(Error::internal)?;
    let sealed = cx.state().sealer().seal(&seal_name(key), &body)?;
    let stored = Stored { request_hash, status, headers: headers.into(), body: sealed };
    Ok((Response::from_parts(parts, Body::from(body)), stored))
}
