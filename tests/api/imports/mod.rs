//! Imports: what a file says is so afterwards, and what is wrong with it is told line by line.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bad;
mod hostile;
mod keys;
mod limits;
mod resume;
mod scope;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::{app, context::Context};
use umail_tests::api::{Answer, Api, PASSWORD};
pub(crate) use umail_tests::scale::scale;

use crate::allowances::counters::{drift, seat_drift};

/// Of [`PASSWORD`], as Dovecot makes them.
pub(crate) const HASHES: [&str; 4] = [
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$z3uhiNCJ1r9ggjZp8hXVAA$EpJMR5CZvYJAYa+f7T2HeIAT4S5UP4EbGDVxE8y1Bt8",
    "{BLF-CRYPT}$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO",
    "{SHA512-CRYPT}$6$Gaywqj1TcuX59aA8$8g9lPadl14NJSS4bmGizCH18uTLHjZF3V5xSqZE5JlgOrlEdBWD9KiH9VIVNEjJGDiZ5w6GRN4wkote69WuBJ.",
    "{PBKDF2}$1$Z7tbTjOAYukDjdG2$5000$090d46cc16a0dd73569ee692acc6eb2031e816ac",
];
pub(crate) const HASH: &str = HASHES[3];
const DOMAIN: &str = "/v1/domains/example.com/imports";

/// An API server with the domain example.com and a storage node.
pub(crate) async fn start() -> Api {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.storage_node("storage-1").await;
    api
}

/// Begins an import.
pub(crate) async fn begin(api: &Api, path: &str, new: Value) -> String {
    api.post(path, new).await.is(StatusCode::CREATED).id()
}

/// Sends all of its content.
pub(crate) async fn send(api: &Api, id: &str, content: impl Into<String>) -> Answer {
    let path = format!("/v1/imports/{id}/content");
    api.ask(Method::PUT, path).content("text/csv", content.into()).send().await
}

/// Works on an import until it has ended.
pub(crate) async fn work(api: &Api, id: &str) -> Value {
    let cx = Context::system(api.state.clone());
    app::imports::carry_on(&cx, id.parse().unwrap()).await.unwrap();
    api.get(format!("/v1/imports/{id}")).await.is(StatusCode::OK).body
}

/// Imports a file into a domain, to its end.
pub(crate) async fn import(api: &Api, new: Value, content: impl Into<String>) -> Value {
    import_into(api, DOMAIN, new, content).await
}

/// The same into a domain, or many, by the path.
pub(crate) async fn import_into(
    api: &Api,
    path: &str,
    new: Value,
    content: impl Into<String>,
) -> Value {
    let id = begin(api, path, new).await;
    send(api, &id, content).await.is(StatusCode::ACCEPTED);
    work(api, &id).await
}

/// What was refused: line, field and reason.
pub(crate) async fn errors(api: &Api, import: &Value) -> Vec<(i64, String, String)> {
    let path = format!("/v1/imports/{}/errors?format=ndjson", import["id"].as_str().unwrap());
    let line = |one: Value| {
        let text = |field: &str| one[field].as_str().unwrap().to_owned();
        (one["line"].as_i64().unwrap(), text("field"), text("reason"))
    };
    lines(api, path).await.into_iter().map(line).collect()
}

/// The objects of a file of JSON lines.
pub(crate) async fn lines(api: &Api, path: String) -> Vec<Value> {
    let answer = api.get(path).await.is(StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let text = match answer.body {
        Value::String(text) => text,
        Value::Null => String::new(),
        one => one.to_string(),
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Works until it has ended, for at most so long: whoever was given up leaves it in the background.
pub(crate) async fn work_to_the_end(limit: Duration, work: impl AsyncFn() -> Value) -> Value {
    let is_ended = async {
        loop {
            let done = work().await;
            if done["state"] != "running" {
                return done;
            }
        }
    };
    tokio::time::timeout(limit, is_ended).await.unwrap()
}

/// Begins an import and sends its content, as somebody.
pub(crate) async fn send_by(
    api: &Api,
    token: &str,
    path: &str,
    (new, content): (Value, String),
) -> String {
    let id = api.ask(Method::POST, path).by(token).json(new).send().await;
    let id = id.is(StatusCode::CREATED).id();
    let ask = api.ask(Method::PUT, format!("/v1/imports/{id}/content")).by(token);
    ask.content("text/csv", content).send().await.is(StatusCode::ACCEPTED);
    id
}

/// What became of the lines: created, changed, unchanged, refused.
pub(crate) fn counts(import: &Value) -> [i64; 4] {
    ["created", "changed", "unchanged", "refused"].map(|name| import[name].as_i64().unwrap())
}

pub(crate) fn skip() -> Value {
    json!({"mode": "skip_errors"})
}

/// Users with hashed passwords.
pub(crate) fn users(count: usize) -> String {
    let line = |number| format!("user{number},User {number},{HASH}\n");
    let lines: String = (0..count).map(line).collect();
    format!("address,display_name,password_hash\n{lines}")
}

pub(crate) async fn no_drift(api: &Api) {
    assert_eq!(drift(api).await, Vec::<String>::new());
    assert_eq!(seat_drift(api).await, Vec::<String>::new());
    let differ: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT node_id, sum(users) AS users FROM node_users GROUP BY 1) AS one
           FULL JOIN (SELECT storage_node_id AS node_id, count(*) AS users FROM account
                       WHERE storage_node_id IS NOT NULL GROUP BY 1) AS two USING (node_id)
          WHERE coalesce(one.users, 0) <> coalesce(two.users, 0)",
    )
    .fetch_one(api.state.pool())
    .await
    .unwrap();
    assert_eq!(differ, 0);
}

pub(crate) async fn count(api: &Api, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(api.state.pool()).await.unwrap()
}

#[tokio::test]
async fn users_of_a_file_sign_in_with_the_passwords_whose_hashes_it_has() {
    let api = start().await;
    let lines: Vec<_> = HASHES
        .iter()
        .enumerate()
        .map(|(number, hash)| format!("user{number},\"{hash}\""))
        .collect();
    let lines = lines.join("\n");
    let done = import(&api, skip(), format!("address,password_hash\n{lines}")).await;
    assert_eq!((done["state"].as_str(), counts(&done)), (Some("succeeded"), [4, 0, 0, 0]));
    for number in 0..HASHES.len() {
        api.sign_in(&format!("user{number}@example.com")).await;
        // Since the first time by a hash of ours.
        api.sign_in(&format!("user{number}@example.com")).await;
    }
    let foreign = count(&api, "SELECT count(*) FROM credential WHERE hash NOT LIKE '{ARGON2ID}%'");
    assert_eq!(foreign.await, 0);
    let body = json!({"name": "user1@example.com", "password": "wrong horse battery"});
    let answer = api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send().await;
    let _ = answer.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn passwords_in_clear_are_hashed_and_kept_nowhere() {
    let api = start().await;
    let content = format!("address,password\nanna,{PASSWORD}\nberta,short\n");
    let id = begin(&api, DOMAIN, skip()).await;
    send(&api, &id, content.clone()).await.is(StatusCode::ACCEPTED);
    let kept = count(
        &api,
        "SELECT count(*) FROM import_block WHERE position('correct horse' IN encode(sealed, 'escape')) > 0",
    );
    assert_eq!(kept.await, 0);
    let done = work(&api, &id).await;
    assert_eq!(counts(&done), [1, 0, 0, 1]);
    let reason = "must have at least 10 characters";
    assert_eq!(errors(&api, &done).await, [(3, "password".to_owned(), reason.to_owned())]);
    api.sign_in("anna@example.com").await;
    assert_eq!(
        count(
            &api,
            "SELECT (SELECT count(*) FROM import_block) + (SELECT count(*) FROM import_hash)"
        )
        .await,
        0
    );
    // The same again: the password is right already.
    let again = import(&api, skip(), content).await;
    assert_eq!(counts(&again), [0, 0, 1, 1]);
}

#[tokio::test]
async fn every_field_is_what_the_file_says() {
    let api = start().await;
    let plan = json!({"name": "business", "quota_bytes": 1_000_000});
    let plan = api.post("/v1/plans", plan).await.is(StatusCode::CREATED).id();
    let sales = json!({"name": "Sales"});
    let path = "/v1/domains/example.com/departments";
    let sales = api.post(path, sales).await.is(StatusCode::CREATED).id();
    let emea = json!({"name": "EMEA", "parent_id": sales});
    let emea = api.post(path, emea).await.is(StatusCode::CREATED).id();
    let content = format!(
        "address,display_name,given_name,family_name,employee_number,title,phone,locale,time_zone,\
         external_id,department,plan,quota_bytes,messages_per_hour,status,functions,password_hash,\
         must_change_password\n\
         Anna@Example.COM,\"Berger, \"\"Anna\"\"\",Anna,Berger,7,Head,'+43 1 234,DE-at,europe/vienna,\
         S-1,Sales/EMEA,business,1000,5,locked,imap pop3,{HASH},true\n\
         berta,,,,,,,,,,{sales},,,,,none,{HASH},\n"
    );
    let done = import(&api, json!({}), content).await;
    assert_eq!((done["state"].as_str(), counts(&done)), (Some("succeeded"), [2, 0, 0, 0]));
    let anna = api.get("/v1/users/anna@example.com").await.is(StatusCode::OK).body;
    for (field, value) in [
        ("display_name", json!("Berger, \"Anna\"")),
        ("department_id", json!(emea)),
        ("plan_id", json!(plan)),
        ("quota_bytes", json!(1000)),
        ("messages_per_hour", json!(5)),
        ("status", json!("locked")),
        ("functions", json!(["pop3", "imap"])),
        ("storage_node", json!("storage-1")),
    ] {
        assert_eq!(anna[field], value, "{field}");
    }
    let profile = json!({
        "given_name": "Anna", "family_name": "Berger", "employee_number": "7", "title": "Head",
        "phone": "+43 1 234", "locale": "de-AT", "time_zone": "Europe/Vienna", "external_id": "S-1",
    });
    assert_eq!(anna["profile"], profile);
    let berta = api.get("/v1/users/berta@example.com").await.body;
    assert_eq!((&berta["functions"], &berta["status"]), (&json!([]), &json!("active")));
    assert_eq!(berta["department_id"], sales);
    no_drift(&api).await;
}

#[tokio::test]
async fn the_same_file_again_changes_nothing() {
    let api = start().await;
    let file = users(scale(300));
    let count_of = i64::try_from(scale(300)).unwrap();
    assert_eq!(counts(&import(&api, skip(), file.clone()).await), [count_of, 0, 0, 0]);
    let rows = "SELECT (SELECT count(*) FROM change) + (SELECT sum(revision) FROM account)::bigint
                     + (SELECT count(*) FROM audit_event WHERE resource LIKE 'user%')";
    let before = count(&api, rows).await;
    for new in [skip(), json!({}), json!({"dry_run": true})] {
        assert_eq!(counts(&import(&api, new, file.clone()).await), [0, 0, count_of, 0]);
    }
    assert_eq!(count(&api, rows).await, before);
    no_drift(&api).await;
}

#[tokio::test]
async fn a_file_changes_exactly_the_columns_that_it_has() {
    let api = start().await;
    import(&api, skip(), users(3)).await;
    let body = json!({"quota_bytes": 5, "profile": {"title": "Head"}});
    api.patch("/v1/users/user1@example.com", body).await.is(StatusCode::OK);
    let content = "title,address\nChief,user1\n,user2@example.com\n";
    let done = import(&api, skip(), content).await;
    assert_eq!(counts(&done), [0, 1, 1, 0]);
    let user = api.get("/v1/users/user1@example.com").await;
    assert_eq!(user.etag(), "\"3\"");
    assert_eq!(user.body["profile"]["title"], "Chief");
    assert_eq!(
        (&user.body["quota_bytes"], &user.body["display_name"]),
        (&json!(5), &json!("User 1"))
    );
    // An empty cell: what the plan says.
    let done = import(&api, skip(), "address,quota_bytes\nuser1,\n").await;
    assert_eq!(counts(&done), [0, 1, 0, 0]);
    assert_eq!(api.get("/v1/users/user1@example.com").await.body["quota_bytes"], Value::Null);
    no_drift(&api).await;
}

#[tokio::test]
async fn each_line_is_an_audit_event_and_a_change_of_the_directory() {
    let api = start().await;
    import(&api, skip(), users(2)).await;
    import(&api, skip(), "address,title\nuser0,Chief\n").await;
    let events =
        "SELECT count(*) FROM audit_event WHERE resource = 'user' AND actor_kind = 'operator'
                     AND (action = 'create' AND before IS NULL
                          OR action = 'update' AND before -> 'profile' ->> 'title' = '')";
    assert_eq!(count(&api, events).await, 3);
    assert_eq!(count(&api, "SELECT count(*) FROM audit_event WHERE resource = 'import'").await, 4);
    assert_eq!(count(&api, "SELECT count(*) FROM change WHERE is_bulk AND nodes <> '{}'").await, 5);
    let secrets = "SELECT count(*) FROM audit_event WHERE after::text LIKE '%PBKDF2%'";
    assert_eq!(count(&api, secrets).await, 0);
}

#[tokio::test]
async fn ndjson_says_the_same() {
    let api = start().await;
    let id = begin(&api, DOMAIN, skip()).await;
    let content = format!(
        "{{\"address\": \"anna\", \"password_hash\": \"{HASH}\", \"quota_bytes\": 5, \
         \"functions\": [\"imap\"], \"title\": null}}\n\n{{\"address\": 7}}\nnull\n\
         {{\"address\": \"b\", \"role\": \"domain_admin\"}}\n"
    );
    let path = format!("/v1/imports/{id}/content");
    let ask = api.ask(Method::PUT, path).content("application/x-ndjson", content);
    ask.send().await.is(StatusCode::ACCEPTED);
    let done = work(&api, &id).await;
    assert_eq!(counts(&done), [1, 0, 0, 3]);
    let anna = api.get("/v1/users/anna@example.com").await.body;
    assert_eq!((&anna["quota_bytes"], &anna["functions"]), (&json!(5), &json!(["imap"])));
    let lines: Vec<_> = errors(&api, &done).await.into_iter().map(|(line, ..)| line).collect();
    assert_eq!(lines, [3, 4, 5]);
}

#[tokio::test]
async fn an_operation_tells_of_the_work_and_can_end_it() {
    let api = start().await;
    let id = begin(&api, DOMAIN, skip()).await;
    let answer = send(&api, &id, users(1)).await.is(StatusCode::ACCEPTED);
    let path = answer.headers["location"].to_str().unwrap().to_owned();
    let operation = api.get(&path).await.is(StatusCode::OK).body;
    assert_eq!((&operation["kind"], &operation["import_id"]), (&json!("import_users"), &json!(id)));
    api.delete(format!("/v1/imports/{id}")).await.is_problem(StatusCode::CONFLICT);
    api.post(format!("{path}/cancel"), json!(null)).await.is(StatusCode::ACCEPTED);
    let done = work(&api, &id).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("cancelled"), [0; 4]));
    assert_eq!(api.get(&path).await.body["state"], "cancelled");
    api.delete(format!("/v1/imports/{id}")).await.is(StatusCode::NO_CONTENT);
    api.get(format!("/v1/imports/{id}")).await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be() {
    let api = start().await;
    import(&api, skip(), users(1)).await;
    let content = format!("{}bad name,x,{HASH}\n", users(3));
    let done = import(&api, json!({"dry_run": true, "mode": "skip_errors"}), content.clone()).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("succeeded"), [2, 0, 1, 1]));
    let done = import(&api, json!({"dry_run": true}), content).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("failed"), [2, 0, 1, 1]));
    assert_eq!(count(&api, "SELECT count(*) FROM account").await, 1);
    no_drift(&api).await;
}

#[tokio::test]
async fn new_mailboxes_are_spread_over_the_nodes() {
    let api = start().await;
    import(&api, skip(), users(10)).await;
    api.storage_node("storage-2").await;
    import(&api, skip(), users(30)).await;
    let on = "SELECT count(*) FROM account JOIN node ON node.id = storage_node_id WHERE name = 'storage-2'";
    assert_eq!(count(&api, on).await, 15);
    no_drift(&api).await;
}
