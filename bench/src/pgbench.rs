//! pgbench, PostgreSQL's own measuring program, and psql, on the private cluster of a server.

use std::{path::PathBuf, process::Command};

use crate::{Failure, server::Server};

/// The database with pgbench's own tables.
pub(crate) const OWN: &str = "pgbench";

/// Makes a database with pgbench's own tables.
pub(crate) fn prepare(server: &Server) -> Result<(), Failure> {
    run_to_end(command(server, "createdb")?.arg(OWN))?;
    run_to_end(command(server, "pgbench")?.args(["-i", "-q", "-s", "1", OWN]))?;
    Ok(())
}

/// What these statements print, of the server's own database, unaligned.
pub(crate) fn sql(server: &Server, statements: &[&str]) -> Result<String, Failure> {
    let statements = statements.iter().flat_map(|one| ["-c", one]);
    run_to_end(
        command(server, "psql")?.args(["-X", "-q", "-A", "-t"]).args(statements).arg("umail"),
    )
}

/// Transactions a second in this database.
pub(crate) fn run(
    server: &Server,
    database: &str,
    what: &[&str],
    connections: &str,
    seconds: &str,
) -> Result<f64, Failure> {
    let text = run_to_end(
        command(server, "pgbench")?
            .args(["-n", "-M", "prepared", "-j", "1", "-c", connections, "-T", seconds])
            .args(what)
            .arg(database),
    )?;
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rate| rate.split_whitespace().next());
    Ok(rate.ok_or("pgbench tells no rate")?.parse()?)
}

/// A program of PostgreSQL, connected to the private cluster.
pub(crate) fn command(server: &Server, name: &str) -> Result<Command, Failure> {
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

/// Runs a program, and returns what it prints.
pub(crate) fn run_to_end(command: &mut Command) -> Result<String, Failure> {
    let output = command.output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}
