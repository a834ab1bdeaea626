//! `rest-read`: GET of one user over HTTP, against `pgbench -S` on the same database server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Failure,
    outcome::{Gate, Outcome, median},
    pgbench,
    server::Server,
    wrk,
};

/// Connections of either side.
const CONNECTIONS: &str = "8";
/// Seconds of one turn.
const SECONDS: &str = "5";

/// Measures both sides in turn, after a turn of each that does not count.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let server = Server::start().await?;
    let domain = json!({ "name": "bench.example" });
    server.send(Method::POST, "/v1/domains", Some(domain)).await?;
    let user = json!({ "local_part": "alice", "password": "a long enough passphrase" });
    let path = "/v1/domains/bench.example/users";
    let user = server.send(Method::POST, path, Some(user)).await?;
    let id = user.get("id").and_then(Value::as_str).ok_or("the user has no id")?;
    let script = format!("wrk.path = '/v1/users/{id}'\n");
    pgbench::prepare(&server)?;
    let (mut ratios, mut ours_all, mut theirs_all) = (vec![], vec![], vec![]);
    for round in 0..=rounds {
        let ours = wrk::run(&server, &script, "1", CONNECTIONS, SECONDS)?;
        let theirs = pgbench::run(&server, pgbench::OWN, &["-S"], CONNECTIONS, SECONDS)?;
        if round > 0 {
            ratios.push(ours / theirs);
            ours_all.push(ours);
            theirs_all.push(theirs);
        }
    }
    Ok(Outcome {
        name: "rest-read",
        ratio: median(&ratios),
        gate: Gate::AtLeast(0.4),
        goal: Gate::AtLeast(0.9),
        details: format!(
            "ours={:.0}/s pgbench_S={:.0}/s connections={CONNECTIONS} rounds={rounds}",
            median(&ours_all),
            median(&theirs_all)
        ),
    })
}
