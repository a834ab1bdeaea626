//! `rest-read`: GET of one of many users over HTTP, against `pgbench -S`, which reads one of many
//! rows, on the same database server.

use reqwest::Method;
use serde_json::json;

use crate::{
    Failure,
    outcome::{Gate, Outcome, median},
    pgbench,
    server::Server,
    wrk,
};

/// Connections of either side: of a server that has something to do. Reads that come together are one
/// statement, so few connections cost more for each read; what that comes to is printed as well.
const CONNECTIONS: &str = "32";
const FEW: &str = "8";
/// Seconds of one turn.
const SECONDS: &str = "5";

/// Users, copies of the first one.
const COPY: &str = "INSERT INTO account (id, domain_id, local_part, functions, created_at, updated_at, plan_id)
    SELECT gen_random_uuid(), domain_id, 'user' || number, functions, created_at, updated_at, plan_id
    FROM account, generate_series(2, 10000) AS number";
const IDS: &str = "SELECT string_agg(format('''%s''', id), ', ') FROM account";
/// The requests.
const REQUESTS: &str = include_str!("rest_read.lua");

/// Measures both sides in turn, after a turn of each that does not count.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let server = Server::start().await?;
    let script = REQUESTS.replace("{users}", &users(&server).await?);
    pgbench::prepare(&server)?;
    let many = turns(&server, &script, CONNECTIONS, rounds)?;
    let few = turns(&server, &script, FEW, rounds)?;
    Ok(Outcome {
        name: "rest-read",
        ratio: many.ratio,
        gate: Gate::AtLeast(0.4),
        goal: Gate::AtLeast(0.9),
        details: format!(
            "ours={:.0}/s pgbench_S={:.0}/s connections={CONNECTIONS} rounds={rounds}; \
             connections={FEW}: ratio={:.3} ours={:.0}/s pgbench_S={:.0}/s",
            many.ours, many.theirs, few.ratio, few.ours, few.theirs
        ),
    })
}

/// What both sides reach, and the ratio of both.
struct Medians {
    ratio: f64,
    ours: f64,
    theirs: f64,
}

/// Both sides in turn with so many connections.
fn turns(
    server: &Server,
    script: &str,
    connections: &str,
    rounds: usize,
) -> Result<Medians, Failure> {
    let (mut ratios, mut ours_all, mut theirs_all) = (vec![], vec![], vec![]);
    for round in 0..=rounds {
        let ours = wrk::run(server, script, "1", connections, SECONDS)?;
        let theirs = pgbench::run(server, pgbench::OWN, &["-S"], connections, SECONDS)?;
        if round > 0 {
            ratios.push(ours / theirs);
            ours_all.push(ours);
            theirs_all.push(theirs);
        }
    }
    Ok(Medians { ratio: median(&ratios), ours: median(&ours_all), theirs: median(&theirs_all) })
}

/// Ids of the users.
async fn users(server: &Server) -> Result<String, Failure> {
    let domain = json!({ "name": "bench.example" });
    server.send(Method::POST, "/v1/domains", Some(domain)).await?;
    let user = json!({ "local_part": "user1", "password": "a long enough passphrase" });
    server.send(Method::POST, "/v1/domains/bench.example/users", Some(user)).await?;
    pgbench::sql(server, &[COPY, "VACUUM ANALYZE", IDS])
}
