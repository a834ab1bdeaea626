//! `rest-write`: PATCH of a user's quota, against pgbench running the statements of that one
//! transaction (read, plan, update, change-log entry, audit event, counters of the allowance) on the
//! same rows.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Failure,
    outcome::{Gate, Outcome, median},
    pgbench,
    server::Server,
    wrk,
};

/// Connections of either side, each with a user of its own.
const CONNECTIONS: usize = 8;
/// Seconds of one turn.
const SECONDS: &str = "5";

/// The statements, as the server sends them.
const STATEMENTS: &str = include_str!("rest_write.sql");
/// The requests.
const REQUESTS: &str = include_str!("rest_write.lua");

/// Measures both sides in turn, after a turn of each that does not count.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let server = Server::start().await?;
    let users = users(&server).await?;
    let statements = server.folder().join("rest_write.sql");
    fs::write(&statements, STATEMENTS.replace("{users}", &format!("{{{}}}", users.join(","))))?;
    let statements = statements.to_string_lossy().into_owned();
    let requests = REQUESTS.replace("{users}", &format!("'{}'", users.join("', '")));
    let connections = CONNECTIONS.to_string();
    let (mut ratios, mut ours_all, mut theirs_all) = (vec![], vec![], vec![]);
    for round in 0..=rounds {
        let ours = wrk::run(&server, &requests, &connections, &connections, SECONDS)?;
        let what = ["-f", &statements];
        let theirs = pgbench::run(&server, "umail", &what, &connections, SECONDS)?;
        if round > 0 {
            ratios.push(ours / theirs);
            ours_all.push(ours);
            theirs_all.push(theirs);
        }
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
    // A quota of a user's own is narrower than that of the plan.
    let plan = json!({ "name": "bench", "quota_bytes": "unlimited" });
    let plan = server.send(Method::POST, "/v1/plans", Some(plan)).await?;
    let plan = plan.get("id").ok_or("the plan has no id")?;
    let mut ids = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let local_part = format!("user{number}");
        let body = json!({ "local_part": local_part, "plan_id": plan,
            "quota_bytes": 1_000_000_000, "password": "a long enough passphrase" });
        let path = "/v1/domains/bench.example/users";
        let user = server.send(Method::POST, path, Some(body)).await?;
        ids.push(user.get("id").and_then(Value::as_str).ok_or("the user has no id")?.to_owned());
    }
    Ok(ids)
}
