//! `rest-write`: PATCH of a user's quota, against pgbench running the statements of that one
//! transaction (read, lock, read again, update, change-log entry, audit event) on the same rows.

use std::{
    fs,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    Failure,
    outcome::{Gate, Outcome, median},
    rest_read::pgbench,
    server::Server,
};

/// Connections of either side, each with a user of its own.
const CONNECTIONS: usize = 8;
/// Seconds of one turn.
const SECONDS: u64 = 5;

/// The statements, as the server sends them.
const SCRIPT: &str = include_str!("rest_write.sql");

/// Measures both sides in turn.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let server = Server::start().await?;
    let users = users(&server).await?;
    let script = server.folder().join("rest_write.sql");
    fs::write(&script, SCRIPT.replace("{users}", &format!("{{{}}}", users.join(","))))?;
    let script = script.to_string_lossy().into_owned();
    let (connections, seconds) = (CONNECTIONS.to_string(), SECONDS.to_string());
    let (mut ratios, mut ours_all, mut theirs_all) = (vec![], vec![], vec![]);
    for _round in 0..rounds {
        let ours = patches(&server, &users).await?;
        let theirs = pgbench::run_on(&server, "umail", &["-f", &script], &connections, &seconds)?;
        ratios.push(ours / theirs);
        ours_all.push(ours);
        theirs_all.push(theirs);
    }
    Ok(Outcome {
        name: "rest-write",
        ratio: median(&ratios),
        gate: Gate::AtLeast(0.75),
        goal: Gate::AtLeast(0.95),
        details: format!(
            "ours={:.0}/s pgbench={:.0}/s connections={CONNECTIONS} rounds={rounds}",
            median(&ours_all),
            median(&theirs_all)
        ),
    })
}

/// Ids of as many users as there are connections.
async fn users(server: &Server) -> Result<Vec<String>, Failure> {
    let domain = json!({ "name": "bench.example" });
    server.send(Method::POST, "/v1/domains", Some(domain)).await?;
    let mut ids = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let local_part = format!("user{number}");
        let body = json!({ "local_part": local_part, "password": "a long enough passphrase" });
        let path = "/v1/domains/bench.example/users";
        let user = server.send(Method::POST, path, Some(body)).await?;
        ids.push(user.get("id").and_then(Value::as_str).ok_or("the user has no id")?.to_owned());
    }
    Ok(ids)
}

/// Changes a second; every one has to succeed.
async fn patches(server: &Server, users: &[String]) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for id in users {
        let (url, token) = (format!("{}/v1/users/{id}", server.url), server.token.clone());
        clients.spawn(async move {
            patch_until(&url, &token, started).await.map_err(|error| error.to_string())
        });
    }
    let mut count = 0;
    while let Some(ended) = clients.join_next().await {
        count += ended??;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

async fn patch_until(url: &str, token: &str, started: Instant) -> Result<u32, Failure> {
    let client = reqwest::Client::new();
    let read = client.get(url).bearer_auth(token).send().await?.error_for_status()?;
    let mut etag = read.headers().get("etag").cloned().ok_or("no ETag")?;
    let mut count = 0;
    while started.elapsed() < Duration::from_secs(SECONDS) {
        let quota = format!(r#"{{"quota_bytes":{}}}"#, 1_000_000_000 + etag.len() + count as usize);
        let request = client.patch(url).bearer_auth(token).header("if-match", etag).body(quota);
        let request = request.header("content-type", "application/merge-patch+json");
        let answer = request.send().await?.error_for_status()?;
        etag = answer.headers().get("etag").cloned().ok_or("no ETag")?;
        answer.bytes().await?;
        count += 1;
    }
    Ok(count)
}
