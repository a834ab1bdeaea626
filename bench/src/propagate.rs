//! `propagate`: a PATCH until the node's lookups answer the new value, against an etcd put until
//! its watchers see the event.

use std::{net::Ipv4Addr, process::Command, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};
use umail_agent::layout::Layout;

use crate::{
    Failure,
    etcd::{Etcd, WATCHERS},
    node::{Node, Ports, wait_until_ready},
    outcome::{Gate, Outcome, median, percentile},
    server::Server,
};

/// Changes of one turn.
const CHANGES: usize = 40;
const LIMIT: Duration = Duration::from_secs(20);

/// Measures both sides in turn, after a turn of each that does not count.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let server = Server::start().await?;
    let alias = alias(&server).await?;
    let node = Node::join(&server, "smtp", Ipv4Addr::LOCALHOST.into(), Ports::free()?).await?;
    wait_until_ready(&server, 1).await?;
    let mut etcd = Etcd::start(server.folder()).await?;
    let (mut ratios, mut ours_all, mut theirs_all) = (vec![], vec![], vec![]);
    for round in 0..=rounds {
        let ours = patches(&server, node.layout(), &alias, round).await?;
        let theirs = etcd.puts(CHANGES).await?;
        if round > 0 {
            ratios.push(median(&ours) / median(&theirs));
            ours_all.extend(ours);
            theirs_all.extend(theirs);
        }
    }
    Ok(Outcome {
        name: "propagate",
        ratio: median(&ratios),
        gate: Gate::AtMost(10.0),
        goal: Gate::AtMost(3.0),
        details: format!(
            "ours_p50={:.1}ms p99={:.1}ms etcd_p50={:.1}ms p99={:.1}ms watchers={WATCHERS} \
             rounds={rounds}",
            median(&ours_all) * 1e3,
            percentile(&ours_all, 0.99) * 1e3,
            median(&theirs_all) * 1e3,
            percentile(&theirs_all, 0.99) * 1e3
        ),
    })
}

/// A domain with one alias; its id.
pub(crate) async fn alias(server: &Server) -> Result<String, Failure> {
    let domain = json!({ "name": "bench.example" });
    server.send(Method::POST, "/v1/domains", Some(domain)).await?;
    let body = json!({ "local_part": "news", "targets": ["nobody@elsewhere.example"] });
    let path = "/v1/domains/bench.example/aliases";
    let alias = server.send(Method::POST, path, Some(body)).await?;
    Ok(alias.get("id").and_then(Value::as_str).ok_or("the alias has no id")?.to_owned())
}

/// Seconds from each request until the node answers its value; at the end `postmap` has to agree.
async fn patches(
    server: &Server,
    node: &Layout,
    alias: &str,
    round: usize,
) -> Result<Vec<f64>, Failure> {
    let mut reader = reader(node).await?;
    let mut seconds = Vec::with_capacity(CHANGES);
    let mut target = String::new();
    for change in 0..CHANGES {
        target = format!("v{round}x{change}@elsewhere.example");
        seconds.push(patch(server, &mut reader, alias, &target).await?);
    }
    let answered = postmap(node)?;
    if answered == target { Ok(seconds) } else { Err(format!("postmap: {answered}").into()) }
}

/// Seconds from a request until the node answers its value. The replica is asked what Postfix asks
/// it, over a connection like Postfix's, since starting `postmap` takes as long as all the rest.
pub(crate) async fn patch(
    server: &Server,
    reader: &mut SqliteConnection,
    alias: &str,
    target: &str,
) -> Result<f64, Failure> {
    let body = json!({ "targets": [target] });
    let started = server.patch(&format!("/v1/aliases/{alias}"), body).await?;
    while answer(reader).await? != target {
        if started.elapsed() > LIMIT {
            return Err(format!("{target} does not arrive on the node").into());
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// A connection that reads as Postfix does.
pub(crate) async fn reader(node: &Layout) -> Result<SqliteConnection, Failure> {
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    Ok(options.filename(node.directory_db()).read_only(true).connect().await?)
}

#[expect(clippy::disallowed_methods, reason = "the macro checks against the server's database")]
async fn answer(reader: &mut SqliteConnection) -> Result<String, Failure> {
    let query = "SELECT target FROM route WHERE local_part = 'news' AND domain = 'bench.example'";
    let row = sqlx::query(query).fetch_optional(reader).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

/// What Postfix itself answers, by the map that the agent rendered.
fn postmap(node: &Layout) -> Result<String, Failure> {
    let etc = node.etc("postfix");
    let output = Command::new("/usr/sbin/postmap")
        .args(["-c".as_ref(), etc.as_os_str(), "-q".as_ref(), "news@bench.example".as_ref()])
        .arg(format!("sqlite:{}", etc.join("aliases.cf").display()))
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
