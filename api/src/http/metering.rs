//! Counts requests by what they asked for and what became of them.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::Response,
};

/// Counts and times a request. The path is the route's, so that there are only so many.
pub(super) async fn layer(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let method = known(request.method());
    let route = path.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let start = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    metrics::histogram!("umail_api_http_request_duration_seconds",
        "method" => method, "route" => route.clone())
    .record(start.elapsed());
    metrics::counter!("umail_api_http_requests_total",
        "method" => method, "route" => route, "status" => status)
    .increment(1);
    response
}

/// Anybody can make methods up.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
