//! A small client of the REST API that knows no types of the server.

use std::{sync::Mutex, time::Duration};

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{Because, Result};
use crate::ensure;

/// How long one call may take, waiting calls included.
const LIMIT: Duration = Duration::from_secs(70);

/// How long a file may take that is sent.
const UPLOAD: Duration = Duration::from_mins(10);

/// A signed-in session.
#[derive(Debug)]
pub struct Rest {
    http: reqwest::Client,
    base: String,
    name: String,
    password: String,
    token: Mutex<String>,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Entity tag, if there was one.
    pub etag: Option<String>,
    /// Body; null if it was empty.
    pub body: Value,
}

impl Rest {
    /// Signs in by name and password.
    pub async fn sign_in(base: &str, name: &str, password: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(LIMIT).build()?;
        let (base, name, password) = (base.to_owned(), name.to_owned(), password.to_owned());
        let rest = Self { http, base, name, password, token: Mutex::default() };
        rest.sign_in_again().await?;
        Ok(rest)
    }

    /// Fetches a new access token: they live for minutes only.
    pub async fn sign_in_again(&self) -> Result {
        let body = json!({ "name": self.name, "password": self.password });
        let answer = self.call(Method::POST, "/v1/sessions", Some(&body), None).await?;
        let token = answer.body["access_token"].as_str().ok_or("no access token")?.to_owned();
        *self.token.lock().map_err(|_poisoned| "poisoned")? = token;
        Ok(())
    }

    /// One call, whatever the answer; signs in again when the token has expired.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.call_signed_in(method, path, body, None).await
    }

    /// The body of a GET.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.expect(Method::GET, path, None, None).await
    }

    /// All items of a list, page by page.
    pub async fn items(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut page = self.get(path).await?;
        loop {
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            let Some(next) = page["next_page_token"].as_str() else { return Ok(items) };
            let sign = if path.contains('?') { '&' } else { '?' };
            page = self.get(&format!("{path}{sign}page_token={next}")).await?;
        }
    }

    /// The answer to a POST.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.expect(Method::POST, path, Some(body), None).await
    }

    /// Reads the resource and patches exactly that revision of it.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        let etag = self.etag(path).await?;
        self.expect(Method::PATCH, path, Some(body), etag).await
    }

    /// Reads the resource and replaces exactly that revision of it.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        let etag = self.etag(path).await?;
        self.expect(Method::PUT, path, Some(body), etag).await
    }

    /// Reads the resource and deletes exactly that revision of it.
    pub async fn delete(&self, path: &str) -> Result<Value> {
        let etag = self.etag(path).await?;
        self.expect(Method::DELETE, path, None, etag).await
    }

    /// Sends a body that is not JSON, whatever the answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        media: &str,
        body: reqwest::Body,
    ) -> Result<Answer> {
        let token = self.token.lock().map_err(|_poisoned| "poisoned")?.clone();
        let request = self.http.request(method.clone(), format!("{}{path}", self.base));
        let request = request.bearer_auth(token).header(header::CONTENT_TYPE, media).body(body);
        read(request.timeout(UPLOAD).send().await.because(format!("{method} {path}"))?).await
    }

    /// Waits until every reachable node has applied all changes made so far.
    pub async fn converged(&self) -> Result<Value> {
        let directory = self.get("/v1/directory?wait_seconds=30").await?;
        ensure!(directory["converged"] == true, "the nodes lag behind: {directory}");
        Ok(directory)
    }

    /// Waits for the end of an operation, which must be a success.
    pub async fn finished(&self, operation: &Value, limit: Duration) -> Result<Value> {
        let id = operation["id"].as_str().ok_or("the answer is not an operation")?;
        super::until(limit, async || {
            let now = self.get(&format!("/v1/operations/{id}?wait_seconds=5")).await?;
            Ok(if now["state"] == "running" { Err(now.to_string()) } else { Ok(now) })
        })
        .await
        .and_then(|end| {
            ensure!(end["state"] == "succeeded", "the operation did not succeed: {end}");
            Ok(end)
        })
    }

    async fn etag(&self, path: &str) -> Result<Option<String>> {
        let answer = self.ask(Method::GET, path, None).await?;
        Ok(answer.etag)
    }

    async fn expect(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<String>,
    ) -> Result<Value> {
        let answer = self.call_signed_in(method.clone(), path, body, etag).await?;
        let (status, body) = (answer.status, answer.body);
        ensure!(status.is_success(), "{method} {path}: {status}: {body}");
        Ok(body)
    }

    async fn call_signed_in(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<String>,
    ) -> Result<Answer> {
        let answer = self.call(method.clone(), path, body, etag.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.sign_in_again().await?;
        self.call(method, path, body, etag).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<String>,
    ) -> Result<Answer> {
        let token = self.token.lock().map_err(|_poisoned| "poisoned")?.clone();
        let address = format!("{}{path}", self.base);
        let mut request = self.http.request(method.clone(), address);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        read(request.send().await.because(format!("{method} {path}"))?).await
    }
}

async fn read(answer: reqwest::Response) -> Result<Answer> {
    let status = answer.status();
    let etag = answer.headers().get(header::ETAG);
    let etag = etag.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = answer.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, etag, body })
}
