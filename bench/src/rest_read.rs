//! `rest-read`: GET of one user over HTTP, against `pgbench -S` on the same database server.

use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Failure,
    outcome::{Gate, Outcome, median},
    server::Server,
};

/// Connections of either side.
const CONNECTIONS: &str = "8";
/// Seconds of one turn.
const SECONDS: &str = "5";

/// Measures both sides in turn.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let server = Server::start().await?;
    let domain = json!({ "name": "bench.example" });
    server.send(Method::POST, "/v1/domains", Some(domain)).await?;
    let user = json!({ "local_part": "alice", "password": "a long enough passphrase" });
    let path = "/v1/domains/bench.example/users";
    let user = server.send(Method::POST, path, Some(user)).await?;
    let id = user.get("id").and_then(Value::as_str).ok_or("the user has no id")?;
    let url = format!("{}/v1/users/{id}", server.url);
    pgbench::prepare(&server)?;
    let (mut ratios, mut ours_all, mut theirs_all) = (vec![], vec![], vec![]);
    for _round in 0..rounds {
        let ours = wrk(&url, &server.token)?;
        let theirs = pgbench::run(&server, &["-S"], CONNECTIONS, SECONDS)?;
        ratios.push(ours / theirs);
        ours_all.push(ours);
        theirs_all.push(theirs);
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

/// Requests a second; every answer has to be a success.
fn wrk(url: &str, token: &str) -> Result<f64, Failure> {
    let output = Command::new("wrk")
        .args(["-t", "1", "-c", CONNECTIONS, "-d", &format!("{SECONDS}s")])
        .args(["-H", &format!("Authorization: Bearer {token}"), url])
        .output()?;
    let text = succeeded(&output)?;
    if text.contains("Non-2xx") {
        return Err(format!("wrk: {text}").into());
    }
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(line.ok_or("wrk tells no rate")?.trim().parse()?)
}

fn succeeded(output: &Output) -> Result<String, Failure> {
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

/// PostgreSQL's own measuring program, on the server's private cluster.
pub(crate) mod pgbench {
    use std::{path::PathBuf, process::Command};

    use super::succeeded;
    use crate::{Failure, server::Server};

    const DATABASE: &str = "pgbench";

    /// Makes a database with pgbench's tables.
    pub(crate) fn prepare(server: &Server) -> Result<(), Failure> {
        succeeded(&command(server, "createdb")?.arg(DATABASE).output()?)?;
        succeeded(&command(server, "pgbench")?.args(["-i", "-q", "-s", "1", DATABASE]).output()?)?;
        Ok(())
    }

    /// Transactions a second on pgbench's own tables.
    pub(crate) fn run(
        server: &Server,
        what: &[&str],
        connections: &str,
        seconds: &str,
    ) -> Result<f64, Failure> {
        run_on(server, DATABASE, what, connections, seconds)
    }

    /// Transactions a second in this database.
    pub(crate) fn run_on(
        server: &Server,
        database: &str,
        what: &[&str],
        connections: &str,
        seconds: &str,
    ) -> Result<f64, Failure> {
        let output = command(server, "pgbench")?
            .args(["-n", "-M", "prepared", "-j", "1", "-c", connections, "-T", seconds])
            .args(what)
            .arg(database)
            .output()?;
        let text = succeeded(&output)?;
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.and_then(|rate| rate.split_whitespace().next());
        Ok(rate.ok_or("pgbench tells no rate")?.parse()?)
    }

    fn command(server: &Server, name: &str) -> Result<Command, Failure> {
        let mut bins: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")?
            .flatten()
            .map(|version| version.path().join("bin").join(name))
            .filter(|path| path.exists())
            .collect();
        bins.sort();
        let mut command = Command::new(bins.pop().ok_or("PostgreSQL is not installed")?);
        command.arg("-h").arg(server.socket()?).args(["-U", "umail"]);
        Ok(command)
    }
}
