//! REST, for people: one file per resource, each a router with its part of the document.

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{
        HeaderValue, StatusCode,
        header::{AUTHORIZATION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS},
    },
    middleware,
    response::Response,
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveRequestHeadersLayer,
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::context::State;

mod aliases;
mod allowances;
mod api_keys;
mod app_passwords;
mod audit_events;
mod autoreply;
mod bulk_changes;
mod compromised;
mod convergence;
mod departments;
mod directory;
mod document;
mod domain_aliases;
mod domains;
mod entitlements;
mod exports;
pub mod extract;
mod forwarding;
mod groups;
mod idempotency;
mod imports;
mod join_tokens;
mod lockouts;
mod login_links;
mod me;
mod metering;
mod moves;
mod nodes;
mod operations;
mod operators;
mod plans;
pub mod probes;
pub mod problem;
mod rate_limits;
mod refusals;
mod role_assignments;
mod services;
mod sessions;
mod settings;
mod totp;
mod traffic;
mod users;

/// Bodies of requests are no larger than this.
const BODY_LIMIT_BYTES: usize = 1024 * 1024;
/// Longer than the longest wait that a caller may ask for.
const TIMEOUT: Duration = Duration::from_secs(75);

/// Every resource, a line each.
fn resources() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(document::head())
        .merge(sessions::router())
        .merge(login_links::router())
        .merge(me::router())
        .merge(totp::router())
        .merge(api_keys::router())
        .merge(operators::router())
        .merge(lockouts::router())
        .merge(nodes::router())
        .merge(services::router())
        .merge(join_tokens::router())
        .merge(audit_events::router())
        .merge(operations::router())
        .merge(moves::router())
        .merge(compromised::router())
        .merge(traffic::router())
        .merge(directory::router())
        .merge(convergence::router())
        .merge(settings::router())
        .merge(plans::router())
        .merge(domains::router())
        .merge(domain_aliases::router())
        .merge(departments::router())
        .merge(users::router())
        .merge(imports::router())
        .merge(bulk_changes::router())
        .merge(exports::router())
        .merge(entitlements::router())
        .merge(role_assignments::router())
        .merge(app_passwords::router())
        .merge(forwarding::router())
        .merge(autoreply::router())
        .merge(aliases::router())
        .merge(groups::router())
        .merge(allowances::router())
}

/// What takes as long as its body does to arrive.
fn uploads() -> OpenApiRouter<State> {
    OpenApiRouter::new().merge(imports::uploads())
}

/// The document of the API.
#[must_use]
pub fn document() -> OpenApi {
    let (_, document) = resources().merge(uploads()).split_for_parts();
    document::complete(document)
}

/// All that is answered over HTTP.
pub fn router(state: State) -> Router {
    let (resources, _) = resources().split_for_parts();
    let (uploads, _) = uploads().split_for_parts();
    let in_time = TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT);
    let idempotency = middleware::from_fn_with_state(state.clone(), idempotency::layer);
    Router::new()
        .merge(resources.layer(idempotency).layer(in_time).with_state(state.clone()))
        .merge(uploads.with_state(state))
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document()))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        // Together: each `layer` of a router boxes every request once more.
        .layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                .layer(PropagateRequestIdLayer::x_request_id())
                .layer(SetSensitiveRequestHeadersLayer::new([AUTHORIZATION]))
                .layer(TraceLayer::new_for_http())
                .layer(middleware::from_fn(metering::layer))
                .layer(middleware::map_response(keep_private))
                .layer(middleware::from_fn(rate_limits::layer))
                .layer(middleware::from_fn(problem::render))
                .layer(CatchPanicLayer::custom(problem::panicked))
                .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES)),
        )
}

/// Answers hold what is nobody else's business, and are what their media type says.
async fn keep_private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
