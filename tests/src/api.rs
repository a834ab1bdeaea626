//! An API server of one test: a database of its own, cloned from the migrated one that
//! `DATABASE_URL` names, a router on a free port, and an operator `root` who is signed in.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "a harness fails by panicking, where the test can see it"
)]

use std::net::SocketAddr;

use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_api::{
    app,
    context::{Context, State, Terms},
    http,
    model::operator::OperatorRole,
    sealer::Sealer,
};
use umail_api_types::operators::NewOperator;
use umail_proto::{clock::Clock, ids::NodeId};
use uuid::Uuid;

use crate::database;

/// The password of everybody whom the harness makes.
pub const PASSWORD: &str = "correct horse battery";

/// A running server; gone, with its database, when it is dropped.
pub struct Api {
    /// Where it listens, without a slash at the end.
    pub url: String,
    /// What all its requests share.
    pub state: State,
    root: String,
    client: reqwest::Client,
    database: Database,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// An answer, read to the end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null when there is none.
    pub body: Value,
}

/// A request that is being put together.
#[must_use]
pub struct Ask<'a> {
    api: &'a Api,
    method: Method,
    path: String,
    token: Option<String>,
    headers: HeaderMap,
    body: Option<Value>,
    content: Option<reqwest::Body>,
}

impl Api {
    /// Starts a server by the machine's clock.
    pub async fn start() -> Self {
        Self::start_at(Clock::system()).await
    }

    /// Starts a server by this clock.
    pub async fn start_at(clock: Clock) -> Self {
        Self::start_under(clock, Terms::LAX).await
    }

    /// Starts a server on these terms.
    pub async fn start_under(clock: Clock, terms: Terms) -> Self {
        let pool = database::create().await;
        let database = Database(pool.connect_options().clone());
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let state = State::under(pool, clock, sealer, terms).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let router = http::router(state.clone());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server =
            axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
        tasks.spawn(async move { server.await.unwrap() });
        let client = reqwest::Client::builder().build().unwrap();
        let mut api = Self { url, state, root: String::new(), client, database, stop, tasks };
        api.operator("root", OperatorRole::SystemAdmin).await;
        api.root = api.sign_in("root").await;
        api
    }

    /// Adds an operator, whose password is [`PASSWORD`].
    pub async fn operator(&self, name: &str, role: OperatorRole) {
        let new = NewOperator { name: name.to_owned(), role, password: PASSWORD.to_owned() };
        app::operators::create(&Context::system(self.state.clone()), new).await.unwrap();
    }

    /// Signs in somebody whose password is [`PASSWORD`], and returns the access token.
    pub async fn sign_in(&self, name: &str) -> String {
        let body = json!({"name": name, "password": PASSWORD});
        let answer = self.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A request by root.
    pub fn ask(&self, method: Method, path: impl Into<String>) -> Ask<'_> {
        Ask {
            api: self,
            method,
            path: path.into(),
            token: Some(self.root.clone()),
            headers: HeaderMap::new(),
            body: None,
            content: None,
        }
    }

    /// A `GET` by root.
    pub async fn get(&self, path: impl Into<String>) -> Answer {
        self.ask(Method::GET, path).send().await
    }

    /// A `POST` by root.
    pub async fn post(&self, path: impl Into<String>, body: Value) -> Answer {
        self.ask(Method::POST, path).json(body).send().await
    }

    /// A `PUT` by root, whatever the revision.
    pub async fn put(&self, path: impl Into<String>, body: Value) -> Answer {
        self.ask(Method::PUT, path).header("if-match", "*").json(body).send().await
    }

    /// A `PATCH` by root, whatever the revision.
    pub async fn patch(&self, path: impl Into<String>, body: Value) -> Answer {
        self.ask(Method::PATCH, path).header("if-match", "*").json(body).send().await
    }

    /// A `DELETE` by root, whatever the revision.
    pub async fn delete(&self, path: impl Into<String>) -> Answer {
        self.ask(Method::DELETE, path).header("if-match", "*").send().await
    }

    /// A connection that owns the database: it may do what the server may not.
    pub async fn owner(&self) -> PgConnection {
        let mut owner = PgConnection::connect_with(&self.database.0).await.unwrap();
        sqlx::raw_sql("SET ROLE NONE").execute(&mut owner).await.unwrap();
        owner
    }

    /// Adds a domain.
    pub async fn domain(&self, name: &str) {
        self.post("/v1/domains", json!({"name": name})).await.is(StatusCode::CREATED);
    }

    /// Adds a user with [`PASSWORD`] to a domain that is there; returns the id.
    pub async fn user(&self, address: &str) -> String {
        let (local_part, domain) = address.split_once('@').unwrap();
        let body = json!({"local_part": local_part, "password": PASSWORD});
        let answer = self.post(format!("/v1/domains/{domain}/users"), body).await;
        answer.is(StatusCode::CREATED).id()
    }

    /// Adds a user who administers the domain of the address, and signs in.
    pub async fn domain_admin(&self, address: &str) -> String {
        self.user(address).await;
        self.assign(address, "domain_admin", None).await;
        self.sign_in(address).await
    }

    /// Adds a user who administers a department of the domain of the address, and signs in.
    pub async fn department_admin(&self, address: &str, department: &str) -> String {
        let user = self.user(address).await;
        let body = json!({"department_id": department});
        let _ = self.patch(format!("/v1/users/{user}"), body).await.is(StatusCode::OK);
        self.assign(address, "department_admin", Some(department)).await;
        self.sign_in(address).await
    }

    /// Appoints a user in the domain of the address; returns the id of the role assignment.
    pub async fn assign(&self, address: &str, role: &str, department: Option<&str>) -> String {
        let body = json!({"role": role, "department_id": department});
        let path = format!("/v1/users/{address}/role_assignments");
        self.post(path, body).await.is(StatusCode::CREATED).id()
    }

    /// Adds a storage node that nobody enrolled; returns the id.
    pub async fn storage_node(&self, name: &str) -> String {
        let id: Uuid = sqlx::query_scalar(
            "INSERT INTO node (id, name, address, roles, created_at, updated_at)
             VALUES ($1, $2, '10.0.0.9', '{storage}', now(), now()) RETURNING id",
        )
        .bind(NodeId::generate(self.state.clock().now()).uuid())
        .bind(name)
        .fetch_one(self.state.pool())
        .await
        .unwrap();
        id.to_string()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.tasks.close();
        self.stop.cancel();
    }
}

impl Answer {
    /// Asserts the status.
    #[track_caller]
    pub fn is(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{:#}", self.body);
        self
    }

    /// Asserts a refusal: its status, and problem details that say so.
    #[track_caller]
    pub fn is_problem(self, status: StatusCode) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.body["status"], status.as_u16());
        assert!(!answer.body["trace_id"].as_str().unwrap().is_empty());
        answer
    }

    /// Asserts that exactly these fields break their rules.
    #[track_caller]
    pub fn is_invalid(self, pointers: &[&str]) -> Self {
        let answer = self.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
        let errors = answer.body["errors"].as_array().unwrap();
        let found: Vec<_> = errors.iter().map(|one| one["pointer"].as_str().unwrap()).collect();
        assert_eq!(found, pointers, "{:#}", answer.body);
        answer
    }

    /// The field `id`.
    #[track_caller]
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }

    /// The entity tag.
    #[track_caller]
    pub fn etag(&self) -> HeaderValue {
        self.headers["etag"].clone()
    }

    /// The named field of each item of a page.
    #[track_caller]
    pub fn items(&self, field: &str) -> Vec<String> {
        let items = self.body["items"].as_array().unwrap();
        items.iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
    }
}

impl Ask<'_> {
    /// By somebody else, with this access token.
    pub fn by(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// By nobody.
    pub fn anonymous(mut self) -> Self {
        self.token = None;
        self
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.insert(name, HeaderValue::from_bytes(value.as_ref()).unwrap());
        self
    }

    /// With a body.
    pub fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With a body that is not JSON.
    pub fn content(mut self, media: &str, body: impl Into<reqwest::Body>) -> Self {
        self.content = Some(body.into());
        self.header("content-type", media)
    }

    /// Sends it.
    pub async fn send(self) -> Answer {
        let url = format!("{}{}", self.api.url, self.path);
        let mut request = self.api.client.request(self.method, url);
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = self.body {
            request = request.json(&body);
        }
        if let Some(content) = self.content {
            request = request.body(content);
        }
        let response = request.headers(self.headers).send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Answer { status, headers, body }
    }
}

/// The database of a test, dropped with it: a run makes hundreds.
struct Database(PgConnectOptions);

impl Drop for Database {
    fn drop(&mut self) {
        let options = self.0.clone();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(remove(&options));
        });
        // Panicking while a test panics would hide why.
        let _ = dropping.join();
    }
}

async fn remove(options: &PgConnectOptions) {
    let name = options.get_database().unwrap_or_default();
    let admin = options.clone().database("postgres");
    let mut connection = PgConnection::connect_with(&admin).await.unwrap();
    // As the owner, not as the role that the server plays.
    sqlx::raw_sql("SET ROLE NONE").execute(&mut connection).await.unwrap();
    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
}
