//! `/v1/users/{user}/autoreply`

use reqwest::{Method, StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use umail_proto::agent::{Autoreply, RowKind, directory_row::Row};
use umail_tests::{
    agents::{Replica, Server},
    api::Api,
};

const PATH: &str = "/v1/users/anna@example.com/autoreply";

async fn anna() -> Api {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    api
}

#[tokio::test]
async fn update_autoreply_replaces_it() {
    let api = anna().await;
    let anna = api.sign_in("anna@example.com").await;
    let none = api.ask(Method::GET, PATH).by(&anna).send().await.is(StatusCode::OK);
    let nothing =
        json!({"enabled": false, "subject": "", "text": "", "starts_at": null, "ends_at": null});
    assert_eq!(none.body, nothing);
    let put = |etag: HeaderValue, body: &Value| {
        api.ask(Method::PUT, PATH).by(&anna).header("if-match", etag).json(body.clone()).send()
    };
    let body = json!({
        "enabled": true, "subject": " Away ", "text": "Until March.\r\nAnna\n",
        "starts_at": "2026-02-01T08:00:00+01:00", "ends_at": "2099-03-01T00:00:00Z",
    });
    let first = put(none.etag(), &body).await.is(StatusCode::OK);
    let stored = json!({
        "enabled": true, "subject": "Away", "text": "Until March.\nAnna",
        "starts_at": "2026-02-01T08:00:00+01:00", "ends_at": "2099-03-01T00:00:00Z",
    });
    assert_eq!(first.body, stored);
    put(none.etag(), &body).await.is_problem(StatusCode::PRECONDITION_FAILED);
    // The same again changes nothing, and adds no event.
    let again = put(first.etag(), &body).await.is(StatusCode::OK);
    assert_eq!(again.etag(), first.etag());
    let events = api.get("/v1/audit_events?resource=autoreply").await;
    assert_eq!(events.items("id").len(), 1, "{:?}", events.body);
    let read = api.get(PATH).await.is(StatusCode::OK);
    assert_eq!(read.etag(), first.etag());
    assert_eq!(read.body["starts_at"], "2026-02-01T07:00:00Z");
    // Switched off, it keeps what was written.
    let off = put(first.etag(), &json!({"enabled": false, "text": "Until March."})).await;
    assert_eq!(off.is(StatusCode::OK).body["text"], "Until March.");
}

#[tokio::test]
async fn update_autoreply_refuses_fields_that_break_their_rules() {
    let api = anna().await;
    for (body, fields) in [
        (json!({"enabled": true}), &["/text"][..]),
        (json!({"enabled": true, "text": " \r\n"}), &["/text"]),
        (json!({"enabled": true, "text": "a\u{0}b"}), &["/text"]),
        (json!({"enabled": false, "text": "\u{1f600}".repeat(626)}), &["/text"]),
        (json!({"enabled": true, "text": "x", "subject": "a\nBcc: x@example.org"}), &["/subject"]),
        (json!({"enabled": true, "text": "x", "subject": "x".repeat(251)}), &["/subject"]),
        (
            json!({"enabled": true, "text": "", "subject": "\u{202e}",
                   "starts_at": "2099-01-02T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z"}),
            &["/subject", "/text", "/ends_at"],
        ),
        (json!({"enabled": true, "text": "x", "ends_at": "2020-01-01T00:00:00Z"}), &["/ends_at"]),
        (json!({"enabled": true, "text": "x", "ends_at": "tomorrow"}), &["/ends_at"]),
        (json!({"enabled": "yes", "text": "x"}), &["/enabled"]),
        (json!({"text": "x"}), &[""]),
        (json!({"enabled": true, "text": "x", "revision": 7}), &["/revision"]),
    ] {
        api.put(PATH, body).await.is_invalid(fields);
    }
    let blind = api.ask(Method::PUT, PATH).json(json!({"enabled": false}));
    blind.send().await.is_problem(StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(api.get(PATH).await.body["enabled"], false);
}

#[tokio::test]
async fn autoreply_is_out_of_reach_of_others() {
    let api = anna().await;
    api.user("bert@example.com").await;
    let bert = api.sign_in("bert@example.com").await;
    let read = api.ask(Method::GET, PATH).by(&bert).send().await;
    read.is_problem(StatusCode::NOT_FOUND);
    let put = api.ask(Method::PUT, PATH).by(&bert).header("if-match", "*");
    let put = put.json(json!({"enabled": true, "text": "x"})).send().await;
    put.is_problem(StatusCode::NOT_FOUND);
}

/// What the node answers for this user.
fn answered(replica: &Replica, user: &str) -> Option<Autoreply> {
    match replica.rows.get(&(RowKind::Autoreply, user.to_owned()))?.row.clone()? {
        Row::Autoreply(reply) => Some(reply),
        _ => None,
    }
}

#[tokio::test]
async fn the_node_of_the_mailbox_has_it_while_it_is_enabled_and_no_other_one() {
    let server = Server::start().await;
    let api = &server.api;
    let smtp = server.agent("smtp-1", &["smtp"]).await;
    let first = server.agent("storage-1", &["storage"]).await;
    api.domain("example.com").await;
    let id = api.user("anna@example.com").await;
    api.put(PATH, json!({"enabled": true, "text": "Away."})).await.is(StatusCode::OK);
    let second = server.agent("storage-2", &["storage"]).await;
    for agent in [&smtp, &first, &second] {
        agent.follow().await;
    }
    let has = |text: &'static str, others: &'static [&'static str]| {
        let id = id.clone();
        move |replica: &Replica| {
            answered(replica, &id)
                .is_some_and(|reply| reply.text == text && reply.other_local_parts == others)
        }
    };
    first.until(has("Away.", &[])).await;
    let alias = json!({"local_part": "info", "targets": ["anna@example.com"]});
    let alias = api.post("/v1/domains/example.com/aliases", alias).await.is(StatusCode::CREATED);
    first.until(has("Away.", &["info"])).await;
    let rename = json!({"local_part": "anne"});
    api.patch(format!("/v1/users/{id}"), rename).await.is(StatusCode::OK);
    first.until(has("Away.", &["info", "anna"])).await;
    api.delete(format!("/v1/aliases/{}", alias.id())).await.is(StatusCode::NO_CONTENT);
    first.until(has("Away.", &["anna"])).await;
    api.put(PATH.replace("anna", "anne"), json!({"enabled": false})).await.is(StatusCode::OK);
    let gone = id.clone();
    first.until(move |replica| answered(replica, &gone).is_none()).await;
    for agent in [&smtp, &second] {
        assert_eq!(answered(&agent.replica(), &id), None);
    }
}
