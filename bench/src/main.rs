//! Side-by-side measurements: what we do against what the engine below can do, in one run.

mod etcd;
mod import;
mod logins;
mod lookups;
mod node;
mod outcome;
mod pgbench;
mod propagate;
mod propagate_import;
mod replica_live;
mod replica_load;
mod rest_list;
mod rest_read;
mod rest_write;
mod rows;
mod server;
mod wrk;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::outcome::Outcome;

/// Why a measurement could not be taken.
type Failure = Box<dyn std::error::Error>;

/// Measures, prints one line per measurement, and fails when a gate is missed.
#[derive(Parser)]
struct Arguments {
    /// What to measure; nothing means everything.
    names: Vec<Name>,
    /// Rounds, each one A-B; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// GET of one user over HTTP, against `pgbench -S`.
    RestRead,
    /// Pages, searches and counts of a million users, against the same of a thousand.
    RestList,
    /// PATCH of a user, against pgbench running the same statements.
    RestWrite,
    /// Users through the API, against psql's `\\copy` of the same rows.
    Import,
    /// PATCH until a node answers the new value, against etcd's put until watchers see it.
    Propagate,
    /// The longest that a PATCH takes to a node while users are imported, against the whole import.
    PropagateImport,
    /// The agent applies a snapshot of 1,000,000 rows, against a bare bulk insert of the same.
    ReplicaLoad,
    /// Lookups of Postfix and Dovecot while changes are applied, against the same without a writer.
    ReplicaLive,
    /// Logins through a pop node with app passwords, against account passwords (argon2id).
    Logins,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let names =
        if arguments.names.is_empty() { Name::value_variants().to_vec() } else { arguments.names };
    let mut held = true;
    for name in names {
        match measure(name, arguments.rounds).await {
            Ok(outcome) => {
                held &= outcome.holds();
                say(&outcome.to_string());
            }
            Err(error) => {
                held = false;
                let name = name
                    .to_possible_value()
                    .map_or_else(String::new, |one| one.get_name().to_owned());
                say(&format!("bench {name} failed: {error}"));
            }
        }
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure(name: Name, rounds: usize) -> Result<Outcome, Failure> {
    match name {
        Name::RestRead => rest_read::measure(rounds).await,
        Name::RestList => rest_list::measure(rounds).await,
        Name::RestWrite => rest_write::measure(rounds).await,
        Name::Import => import::measure(rounds).await,
        Name::Propagate => propagate::measure(rounds).await,
        Name::PropagateImport => propagate_import::measure(rounds).await,
        Name::ReplicaLoad => replica_load::measure(rounds).await,
        Name::ReplicaLive => replica_live::measure(rounds).await,
        Name::Logins => logins::measure(rounds).await,
    }
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn say(line: &str) {
    println!("{line}");
}
