//! Imports that find users by their external ids.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    DOMAIN, HASH, begin, count, counts, errors, import, import_into, no_drift, send, start,
};

fn by_id(mode: &str) -> Value {
    json!({"key": "external_id", "mode": mode})
}

/// A domain with Anna, whom another directory knows as E-1, and Ben, whom none knows.
async fn world() -> umail_tests::api::Api {
    let api = start().await;
    let file = format!("address,external_id,password_hash\nanna,E-1,{HASH}\nben,,{HASH}\n");
    assert_eq!(counts(&import(&api, json!({}), file).await), [2, 0, 0, 0]);
    api
}

#[tokio::test]
async fn whoever_has_the_external_id_is_changed_and_others_are_added() {
    let api = world().await;
    let file = format!(
        "external_id,title,address,password_hash\nE-1,Head,,{HASH}\nE-2,Clerk,carl,{HASH}\n"
    );
    let done = import(&api, by_id("all_or_nothing"), file.clone()).await;
    assert_eq!((&done["key"], counts(&done)), (&json!("external_id"), [1, 1, 0, 0]));
    for (address, id, title) in [("anna", "E-1", "Head"), ("carl", "E-2", "Clerk")] {
        let user = api.get(format!("/v1/users/{address}@example.com")).await.is(StatusCode::OK);
        assert_eq!(user.body["profile"]["external_id"], id);
        assert_eq!(user.body["profile"]["title"], title);
    }
    for mode in ["all_or_nothing", "skip_errors"] {
        let again = import(&api, by_id(mode), file.clone()).await;
        assert_eq!(counts(&again), [0, 0, 2, 0]);
    }
    // Who is known needs no address, and with it the line says the same.
    let file = "external_id,title\nE-2,Chief\n";
    assert_eq!(counts(&import(&api, by_id("skip_errors"), file).await), [0, 1, 0, 0]);
    let file = "external_id,title,address\nE-2,Chief,Carl@example.com\n";
    assert_eq!(counts(&import(&api, by_id("skip_errors"), file).await), [0, 0, 1, 0]);
    no_drift(&api).await;
}

#[tokio::test]
async fn every_line_that_is_about_nobody_or_somebody_else_is_refused() {
    let api = world().await;
    let lines = [
        (
            format!("E-1,other,{HASH}"),
            "address",
            "external_id E-1 is that of anna@example.com: imports do not rename, change the user first",
        ),
        (
            format!(",dora,{HASH}"),
            "external_id",
            "must not be empty: it says whom the line is about",
        ),
        (
            format!("E-3,anna,{HASH}"),
            "address",
            "address anna@example.com already exists, and has not this external_id",
        ),
        (
            format!("E-4,ben,{HASH}"),
            "address",
            "address ben@example.com already exists, and has not this external_id",
        ),
        (format!("E-5,,{HASH}"), "address", "must not be empty: nobody has external_id E-5"),
        (format!("E-6,x@example.org,{HASH}"), "address", "must be an address of example.com"),
        (format!("E-7,emil,{HASH}"), "", ""),
        (format!("E-7,fritz,{HASH}"), "external_id", "line 8 is about the same user"),
        (format!("E-8,emil,{HASH}"), "address", "line 8 has the same address"),
        (
            "E-9,gerd,".to_owned(),
            "password",
            "must not be empty, or a password_hash be there: the user is new",
        ),
    ];
    let content: Vec<_> = lines.iter().map(|(line, ..)| line.as_str()).collect();
    let file = format!("external_id,address,password_hash\n{}\n", content.join("\n"));
    let done = import(&api, by_id("skip_errors"), file).await;
    assert_eq!(counts(&done), [1, 0, 0, 9]);
    let expected = lines.iter().zip(2..).filter(|((_, _, reason), _)| !reason.is_empty());
    let expected: Vec<_> = expected
        .map(|((_, field, reason), line)| (line, (*field).to_owned(), (*reason).to_owned()))
        .collect();
    assert_eq!(errors(&api, &done).await, expected);
    let id = begin(&api, DOMAIN, by_id("skip_errors")).await;
    let answer = send(&api, &id, "address,title\nanna,x\n").await.is_invalid(&["line 1"]);
    assert_eq!(answer.body["errors"][0]["detail"], "column external_id is missing");
    let answer = api.post(DOMAIN, json!({"key": "employee_number"})).await;
    answer.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn by_address_two_lines_do_not_give_one_external_id() {
    let api = world().await;
    let file = format!(
        "address,external_id,password_hash\ncarl,E-2,{HASH}\ndora,E-2,{HASH}\nemil,E-1,{HASH}\n"
    );
    for new in [json!({"dry_run": true, "mode": "skip_errors"}), json!({"mode": "skip_errors"})] {
        let done = import(&api, new, file.clone()).await;
        assert_eq!(counts(&done), [1, 0, 0, 2]);
        let reasons: Vec<_> = errors(&api, &done).await.into_iter().map(|one| one.2).collect();
        let taken = "external_id E-1 already exists".to_owned();
        assert_eq!(reasons, ["line 2 has the same external_id".to_owned(), taken]);
    }
}

#[tokio::test]
async fn an_external_id_is_one_of_a_domain() {
    let api = world().await;
    api.domain("example.net").await;
    let file = format!(
        "external_id,address,password_hash\nE-1,eva@example.net,{HASH}\nE-1,anna@example.com,{HASH}\n\
         E-2,,{HASH}\n"
    );
    let done = import_into(&api, "/v1/imports", by_id("skip_errors"), file).await;
    assert_eq!(counts(&done), [1, 0, 1, 1]);
    let reason = "must be an address: name@domain".to_owned();
    assert_eq!(errors(&api, &done).await, [(4, "address".to_owned(), reason)]);
}

#[tokio::test]
async fn an_external_id_out_of_the_own_scope_is_taken_as_well() {
    let api = world().await;
    let path = "/v1/domains/example.com/departments";
    let own = api.post(path, json!({"name": "Own"})).await.is(StatusCode::CREATED).id();
    let head = api.department_admin("head@example.com", &own).await;
    for (key, mode) in [("external_id", "skip_errors"), ("address", "all_or_nothing")] {
        let new = json!({"key": key, "mode": mode});
        let id = api.ask(reqwest::Method::POST, DOMAIN).by(&head).json(new).send().await.id();
        let file = format!(
            "external_id,address,department,password_hash\nE-1,carl,Own,{HASH}\nE-2,dora,Own,{HASH}\n"
        );
        let put = api.ask(reqwest::Method::PUT, format!("/v1/imports/{id}/content")).by(&head);
        put.content("text/csv", file).send().await.is(StatusCode::ACCEPTED);
        let done = super::work(&api, &id).await;
        let reason = "external_id E-1 already exists".to_owned();
        assert_eq!(errors(&api, &done).await, [(2, "external_id".to_owned(), reason)]);
    }
    assert_eq!(count(&api, "SELECT count(*) FROM account WHERE local_part = 'dora'").await, 1);
    no_drift(&api).await;
}
