//! An import while everything dies: the server and its database, again and again, with SIGKILL, from
//! the first byte that is sent to the last user that is written; and the agent of the node once.
//!
//! `UMAIL_TEST_SCALE` multiplies the users: 50 makes a million.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use umail_api::database::embedded;
use umail_tests::{
    harness::{fleet::SINGLE_NODE, process, until},
    scale::scale,
};

use crate::stage::{DOMAIN, Stage};

/// Lines of the file, unless there is a scale.
const LINES: usize = 20_000;
/// Every one of so many lines is bad.
const BAD: usize = 199;
/// How often server and database die while users are written.
const DEATHS: usize = 4;
const LIMIT: Duration = Duration::from_mins(30);
const HASH: &str = "{BLF-CRYPT}$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO";

/// A file with seeded faults.
struct File {
    content: String,
    /// Line and field of each fault.
    faults: BTreeSet<(u64, &'static str)>,
    good: usize,
}

impl File {
    fn new(lines: usize) -> Self {
        let given = ["Ada", "José", "Zoë", "Li", "Søren", "Анна", "O'Neill", "\"\"Bo\"\""];
        let family = ["Byron", "da Silva, jr.", "Müller", "=cmd()", "Núñez", "Øst", "王", "Doe"];
        let mut content = "address,display_name,title,external_id,password_hash\n".to_owned();
        let mut faults = BTreeSet::new();
        for (number, line) in (0..lines).zip(2..) {
            let name = format!("{} {}", given[number % 8], family[number / 8 % 8]);
            let (mut address, mut id, mut hash) =
                (format!("user{number}"), format!("e-{number}"), HASH);
            if number % BAD == BAD - 1 {
                let field = match number / BAD % 6 {
                    0 => {
                        address = format!("user{number}@elsewhere.test");
                        "address"
                    }
                    1 => {
                        "two words".clone_into(&mut address);
                        "address"
                    }
                    // The address of a line before, and the number of one.
                    2 => {
                        address = format!("user{}", number - 7);
                        "address"
                    }
                    3 => {
                        id = format!("e-{}", number - 7);
                        "external_id"
                    }
                    4 => {
                        hash = "{MD5-CRYPT}$1$abcdefgh$0123456789012345678901";
                        "password_hash"
                    }
                    _ => {
                        hash = "";
                        "password"
                    }
                };
                faults.insert((line, field));
            }
            writeln!(content, "{address},\"{name}\",Clerk,{id},\"{hash}\"").unwrap();
        }
        let good = lines - faults.len();
        Self { content, faults, good }
    }
}

/// Kills the server with its database, and starts both again.
async fn die(stage: &mut Stage) {
    stage.fleet.server.kill().await.unwrap();
    stage.fleet.server.start().await.unwrap();
    stage.rest.sign_in_again().await.unwrap();
}

/// Waits until the import says so.
async fn reached(stage: &Stage, path: &str, reached: impl Fn(&Value) -> bool) -> Value {
    until(LIMIT, async || {
        let import = stage.rest.get(path).await?;
        Ok(if reached(&import) { Ok(import) } else { Err(import.to_string()) })
    })
    .await
    .unwrap()
}

/// Sends what is missing of the content; what is given up in the middle has no answer.
async fn send(stage: &Stage, path: &str, content: &str) -> Option<Value> {
    let received = stage.rest.get(path).await.unwrap()["received_bytes"].as_u64().unwrap();
    let rest = content[usize::try_from(received).unwrap()..].to_owned();
    let path = format!("{path}/content?offset={received}");
    let answer = stage.rest.send(Method::PUT, &path, "text/csv", Body::from(rest)).await.ok()?;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
    Some(answer.body)
}

/// Sends the first half of what is missing and then nothing more, until the server is dead.
async fn send_half(stage: &mut Stage, path: &str, content: &str) {
    let received = stage.rest.get(path).await.unwrap()["received_bytes"].as_u64().unwrap();
    let rest = &content[usize::try_from(received).unwrap()..];
    let half = rest[..rest.floor_char_boundary(rest.len() / 2)].to_owned();
    let address = format!("{path}/content?offset={received}");
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(1);
    sender.send(Ok(half)).await.unwrap();
    let body = Body::wrap_stream(futures_util::stream::unfold(receiver, async |mut from| {
        from.recv().await.map(|part| (part, from))
    }));
    let sending = stage.rest.send(Method::PUT, &address, "text/csv", body);
    let killing = reached(stage, path, |one| one["received_bytes"].as_u64() > Some(received));
    tokio::select! {
        answer = sending => unreachable!("answered before the end: {answer:?}"),
        _ = killing => {}
    }
    die(stage).await;
    drop(sender);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_outlives_server_and_database() {
    let file = File::new(scale(LINES));
    let mut stage = Stage::start(SINGLE_NODE).await;
    let known = stage.user("known", "mail-1").await.unwrap();
    let new = json!({ "mode": "skip_errors" });
    let path = format!("/v1/domains/{DOMAIN}/imports");
    let id = stage.rest.post(&path, &new).await.unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/imports/{id}");

    send_half(&mut stage, &path, &file.content).await;
    send_half(&mut stage, &path, &file.content).await;
    let operation = send(&stage, &path, &file.content).await.unwrap();
    let all = u64::try_from(file.good + file.faults.len()).unwrap();
    for death in 0..DEATHS {
        let wanted = all * u64::try_from(death).unwrap() / u64::try_from(DEATHS).unwrap();
        let now = reached(&stage, &path, |one| one["done_lines"].as_u64() > Some(wanted)).await;
        assert_eq!(now["state"], "running", "died too late to prove anything: {now}");
        die(&mut stage).await;
        // Mail flows all the while.
        assert_eq!(stage.accepts(&known).await.unwrap().code, 250);
    }
    stage.fleet.nodes[0].kill().await.unwrap();
    stage.fleet.nodes[0].start().unwrap();
    let operation = operation["operation_id"].as_str().unwrap();
    let ended = stage.rest.finished(&json!({ "id": operation }), LIMIT).await.unwrap();
    let done = stage.rest.get(&path).await.unwrap();
    assert_eq!(done["created"], file.good, "{ended} {done}");
    assert_eq!(done["refused"], file.faults.len(), "{done}");

    refused_as_seeded(&stage, &path, &file).await;
    history_is_whole(&stage, file.good).await;
    // The node has followed.
    until(LIMIT, async || stage.rest.converged().await.map(Ok)).await.unwrap();
    let last = format!("user{}@{DOMAIN}", file.good + file.faults.len() - 2);
    for (address, code) in [(&*last, 250), (&format!("user{}@{DOMAIN}", BAD - 1), 550)] {
        assert_eq!(stage.accepts(address).await.unwrap().code, code, "{address}");
    }
}

async fn refused_as_seeded(stage: &Stage, path: &str, file: &File) {
    let errors = stage.rest.get(&format!("{path}/errors?format=ndjson")).await.unwrap();
    let errors = errors.as_str().unwrap().lines().map(|line| {
        let error: Value = serde_json::from_str(line).unwrap();
        (error["line"].as_u64().unwrap(), error["field"].as_str().unwrap().to_owned())
    });
    let seeded = file.faults.iter().map(|(line, field)| (*line, (*field).to_owned()));
    assert_eq!(errors.collect::<Vec<_>>(), seeded.collect::<Vec<_>>());
}

/// Each user is there once, with one password, one address, one audit event and one change, all counted,
/// all numbered and sealed.
async fn history_is_whole(stage: &Stage, created: usize) {
    let options = embedded::options(&stage.fleet.server.folder().join("data"));
    let mut db = PgConnection::connect_with(&options).await.unwrap();
    let made = i64::try_from(created).unwrap();
    for (what, wanted) in [
        ("FROM account WHERE local_part LIKE 'user%'", made),
        (
            "FROM account JOIN credential ON account_id = account.id WHERE local_part LIKE 'user%'",
            made,
        ),
        (
            "FROM address JOIN account ON account.id = owner_id WHERE account.local_part LIKE 'user%'",
            made,
        ),
        // With the one user that was there before.
        ("FROM audit_event WHERE action = 'create' AND resource = 'user'", made + 1),
        (
            "FROM allowance JOIN allowance_recount AS again USING (id)
           WHERE (allowance.users, allowance.storage_bytes, allowance.unlimited_users)
                 IS DISTINCT FROM (again.users, again.storage_bytes, again.unlimited_users)",
            0,
        ),
        (
            "FROM account WHERE local_part LIKE 'user%' AND NOT EXISTS
           (SELECT FROM audit_event WHERE resource_id = account.id AND action = 'create')",
            0,
        ),
    ] {
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) {what}")))
            .fetch_one(&mut db)
            .await
            .unwrap();
        assert_eq!(found, wanted, "{what}");
    }
    until(LIMIT, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM change WHERE version IS NULL)
                    + (SELECT count(*) FROM audit_unsealed)",
        )
        .fetch_one(&mut db)
        .await?;
        Ok(if waiting == 0 { Ok(()) } else { Err(format!("{waiting} changes or events wait")) })
    })
    .await
    .unwrap();
    let (versions, span): (i64, i64) = sqlx::query_as(
        "SELECT count(DISTINCT version), coalesce(max(version) - min(version) + 1, 0) FROM change",
    )
    .fetch_one(&mut db)
    .await
    .unwrap();
    assert_eq!(versions, span, "the versions of changes have a gap, or one is there twice");
    let verify = stage.fleet.server.command(&["audit", "verify"]).unwrap();
    process::finish(verify).await.unwrap();
}
