//! `import`: users with hashed passwords through the API into the final tables, every rule
//! enforced, against `\copy` of psql of the same rows into the same tables.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Failure,
    outcome::{Gate, Outcome, median},
    pgbench,
    server::Server,
};

/// Users of one turn, unless `UMAIL_BENCH_ROWS` says another number: a million takes minutes.
const ROWS: usize = 100_000;
const HASH: &str = "{BLF-CRYPT}$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO";
/// The tables, in the order of their references, with the columns that the table does not give by itself; empty: all.
const TABLES: [(&str, &str); 5] = [
    (
        "account",
        "(id, domain_id, department_id, local_part, display_name, status, functions, quota_bytes, \
         storage_node_id, companion_node_id, moving, revision, created_at, updated_at, deleted_at, \
         plan_id, purge_at, purge_begun_at, given_name, family_name, employee_number, title, phone, \
         locale, time_zone, external_id, message_size_bytes, messages_per_hour, messages_per_day, \
         recipients_per_hour, recipients_per_day)",
    ),
    ("credential", ""),
    ("address", ""),
    ("audit_event", ""),
    ("change", "(entity, key, nodes, is_bulk, created_at)"),
];
/// Everything as it was before the users; sessions refer to users and would be truncated with them.
const EMPTY: &str = "CREATE TABLE kept AS TABLE session; \
    TRUNCATE account, credential, address, audit_event, audit_unsealed, change, node_users CASCADE; \
    INSERT INTO session SELECT * FROM kept; DROP TABLE kept; \
    UPDATE allowance SET users = 0, storage_bytes = 0, unlimited_users = 0; DELETE FROM seat; \
    CHECKPOINT";
const WAITING: &str = "SELECT (SELECT count(*) FROM change WHERE version IS NULL) \
    + (SELECT count(*) FROM audit_unsealed)";
const LIMIT: Duration = Duration::from_mins(15);

/// Measures both sides in turn, after a turn of each that does not count.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let rows = std::env::var("UMAIL_BENCH_ROWS").ok().map(|rows| rows.parse()).transpose()?;
    let rows = rows.unwrap_or(ROWS);
    let server = Server::start().await?;
    let domain = json!({ "name": "bench.example" });
    server.send(Method::POST, "/v1/domains", Some(domain)).await?;
    storage_nodes(&server)?;
    let content = content(rows)?;
    let (mut ratios, mut ours_all, mut theirs_all) = (vec![], vec![], vec![]);
    for round in 0..=rounds {
        psql(&server, EMPTY)?;
        let ours = import(&server, "bench.example", &content, rows).await?;
        settle(&server).await?;
        let copies = copies(&server)?;
        psql(&server, EMPTY)?;
        let started = Instant::now();
        psql_file(&server, &copies)?;
        let theirs = started.elapsed();
        settle(&server).await?;
        if round > 0 {
            ratios.push(theirs.as_secs_f64() / ours.as_secs_f64());
            ours_all.push(ours.as_secs_f64());
            theirs_all.push(theirs.as_secs_f64());
        }
    }
    Ok(Outcome {
        name: "import",
        ratio: median(&ratios),
        gate: Gate::AtLeast(0.30),
        goal: Gate::AtLeast(0.60),
        details: format!(
            "rows={rows} ours={:.2}s copy={:.2}s rounds={rounds}",
            median(&ours_all),
            median(&theirs_all)
        ),
    })
}

/// Ten storage nodes, so that mailboxes have places.
pub(crate) fn storage_nodes(server: &Server) -> Result<(), Failure> {
    psql(
        server,
        "INSERT INTO node (id, name, address, roles, created_at, updated_at) SELECT gen_random_uuid(), \
         'storage-' || n, '10.0.0.9', '{storage}', now(), now() FROM generate_series(1, 10) AS n",
    )
    .map(drop)
}

/// A file of so many users.
pub(crate) fn content(rows: usize) -> Result<String, Failure> {
    let mut text = "address,display_name,given_name,family_name,title,password_hash\n".to_owned();
    for number in 0..rows {
        writeln!(text, "user{number},User {number},Given {number},Family {number},Clerk,{HASH}")?;
    }
    Ok(text)
}

/// Seconds from the first byte that is sent until every user is there.
pub(crate) async fn import(
    server: &Server,
    domain: &str,
    content: &str,
    rows: usize,
) -> Result<Duration, Failure> {
    let path = format!("/v1/domains/{domain}/imports");
    let new = server.send(Method::POST, &path, Some(json!({ "mode": "skip_errors" }))).await?;
    let id = new.get("id").and_then(Value::as_str).ok_or("the import has no id")?;
    let started = Instant::now();
    let path = format!("/v1/imports/{id}/content");
    let answer = server.put(&path, "text/csv", content.to_owned()).await?;
    let operation = answer.get("operation_id").and_then(Value::as_str);
    let operation = operation.ok_or("the import has no operation")?;
    let path = format!("/v1/operations/{operation}?wait_seconds=60");
    while server.send(Method::GET, &path, None).await?.get("state") == Some(&json!("running")) {
        if started.elapsed() > LIMIT {
            return Err("the import does not end".into());
        }
    }
    let took = started.elapsed();
    let import = server.send(Method::GET, &format!("/v1/imports/{id}"), None).await?;
    if import.get("created") == Some(&json!(rows)) {
        Ok(took)
    } else {
        Err(import.to_string().into())
    }
}

/// Waits until every change has its version and every event its seal: the server does that beside
/// either side.
pub(crate) async fn settle(server: &Server) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let waiting = psql(server, WAITING)?;
        if waiting.trim() == "0" {
            return Ok(());
        }
        if started.elapsed() > LIMIT {
            return Err("changes do not get their versions, or events their seals".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Writes all tables into files, and returns the file of commands that reads them.
fn copies(server: &Server) -> Result<std::path::PathBuf, Failure> {
    let folder = server.folder();
    let (out, back) = (folder.join("copy-out.sql"), folder.join("copy-in.sql"));
    let (mut writing, mut reading) = (String::new(), String::new());
    for (table, columns) in TABLES {
        let file = folder.join(table).display().to_string();
        let all = columns.trim_matches(['(', ')']);
        let all = if all.is_empty() { "*" } else { all };
        // A query, since a table in partitions cannot be copied out as such.
        writeln!(writing, "\\copy (SELECT {all} FROM {table}) TO '{file}'")?;
        writeln!(reading, "\\copy {table} {columns} FROM '{file}'")?;
    }
    fs::write(&out, writing)?;
    fs::write(&back, reading)?;
    psql_file(server, &out)?;
    Ok(back)
}

fn psql(server: &Server, statement: &str) -> Result<String, Failure> {
    let mut command = pgbench::command(server, "psql")?;
    command.args(["-qtA", "-v", "ON_ERROR_STOP=1", "-d", "umail"]);
    for one in statement.split(';').filter(|one| !one.trim().is_empty()) {
        command.args(["-c", one]);
    }
    pgbench::run_to_end(&mut command)
}

fn psql_file(server: &Server, file: &Path) -> Result<(), Failure> {
    let mut command = pgbench::command(server, "psql")?;
    command.args(["-qtA", "-v", "ON_ERROR_STOP=1", "-d", "umail", "-f"]).arg(file);
    pgbench::run_to_end(&mut command).map(drop)
}
