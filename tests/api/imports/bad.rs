//! Bad input: refused exactly, and nothing else with it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{DOMAIN, HASH, begin, count, counts, errors, import, send, skip, start, users, work};

#[tokio::test]
async fn a_byte_order_mark_and_crlf_are_accepted() {
    let api = start().await;
    let content = format!("\u{feff}address,title,password_hash\r\nanna,Head,{HASH}\r\n\r\n");
    assert_eq!(counts(&import(&api, json!({}), content).await), [1, 0, 0, 0]);
    assert_eq!(api.get("/v1/users/anna@example.com").await.body["profile"]["title"], "Head");
}

#[tokio::test]
async fn columns_are_known_and_there_once() {
    let api = start().await;
    for (header, reason) in [
        ("address,role", "there is no column role"),
        ("address,address", "column address is there twice"),
        ("display_name,password_hash", "column address is missing"),
        ("\"address", "a quoted cell must end in its line"),
        ("", "there is no column "),
    ] {
        let id = begin(&api, DOMAIN, skip()).await;
        let answer = send(&api, &id, format!("{header}\nx,y\n")).await.is_invalid(&["line 1"]);
        assert_eq!(answer.body["errors"][0]["detail"], reason);
        api.delete(format!("/v1/imports/{id}")).await.is(StatusCode::NO_CONTENT);
    }
    let id = begin(&api, DOMAIN, skip()).await;
    send(&api, &id, "").await.is_invalid(&["content"]);
    let ask = api.ask(Method::PUT, format!("/v1/imports/{id}/content"));
    ask.json(json!({})).send().await.is_problem(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    send(&api, &id, "address\n").await.is(StatusCode::ACCEPTED);
    assert_eq!(counts(&work(&api, &id).await), [0; 4]);
}

#[tokio::test]
async fn every_bad_line_is_named_with_its_field_and_the_reason() {
    let api = start().await;
    api.user("known@example.com").await;
    let body = json!({"local_part": "info", "targets": ["known@example.com"]});
    api.post("/v1/domains/example.com/aliases", body).await.is(StatusCode::CREATED);
    let header = "address,display_name,department,plan,quota_bytes,status,functions,phone,external_id,\
                  password,password_hash";
    let long = "x".repeat(70_000);
    let lines = [
        (format!("a b,,,,,,,,,,{HASH}"), vec!["address"]),
        ("anna,,,,,,,,,,".to_owned(), vec!["password"]),
        ("anna2,,,,,,,,,,{PLAIN}secret".to_owned(), vec!["password_hash"]),
        (format!("anna3,,,,,,,,,x,{HASH}"), vec!["password"]),
        (format!("anna4@example.org,,,,,,,,,,{HASH}"), vec!["address"]),
        (format!("anna5,,Sales,,,,,,,,{HASH}"), vec!["department"]),
        (format!("anna6,,,gold,,,,,,,{HASH}"), vec!["plan"]),
        (format!("anna7,,,,-5,,,,,,{HASH}"), vec!["quota_bytes"]),
        (
            format!("anna8,,,,x,paused,fly,call me,,,{HASH}"),
            vec!["functions", "quota_bytes", "status"],
        ),
        (format!("anna9,,,,,,,call me,,,{HASH}"), vec!["phone"]),
        (format!("info,,,,,,,,,,{HASH}"), vec!["address"]),
        (format!("good,,,,,,,,one,,{HASH}"), vec![]),
        (format!("good,,,,,,,,two,,{HASH}"), vec!["address"]),
        (format!("other,,,,,,,,one,,{HASH}"), vec!["external_id"]),
        ("one,two".to_owned(), vec![""]),
        ("\"open,,,,,,,,,,".to_owned(), vec![""]),
        (format!("x\"y,,,,,,,,,,{HASH}"), vec![""]),
        (long, vec![""]),
        (format!("nul\0,,,,,,,,,,{HASH}"), vec!["address"]),
        (format!("b,\u{202e}x,,,,,,,,,{HASH}"), vec!["display_name"]),
    ];
    let content: Vec<_> = lines.iter().map(|(line, _)| line.as_str()).collect();
    let content = format!("{header}\n{}\n", content.join("\n"));
    let done = import(&api, skip(), content.clone()).await;
    let bad = lines.iter().filter(|(_, fields)| !fields.is_empty()).count();
    assert_eq!(counts(&done), [1, 0, 0, i64::try_from(bad).unwrap()]);
    let found: Vec<_> =
        errors(&api, &done).await.into_iter().map(|(line, field, _)| (line, field)).collect();
    let lines = lines.iter().zip(2..);
    let expected: Vec<_> = lines
        .flat_map(|((_, fields), line)| fields.iter().map(move |field| (line, (*field).to_owned())))
        .collect();
    assert_eq!(found, expected);
    // All or nothing: the same refusals, and nothing else.
    api.delete("/v1/users/good@example.com").await;
    let before = count(&api, "SELECT count(*) FROM account").await;
    let done = import(&api, json!({}), content).await;
    assert_eq!(done["state"], "failed");
    assert_eq!(counts(&done)[0], 0);
    assert_eq!(count(&api, "SELECT count(*) FROM account").await, before);
}

#[tokio::test]
async fn what_is_not_utf8_and_what_has_no_end_is_refused_by_its_line() {
    let api = start().await;
    let id = begin(&api, DOMAIN, skip()).await;
    let mut content = format!("address,password_hash\nanna,{HASH}\n").into_bytes();
    content.extend_from_slice(b"b\xff\xfe,x\n");
    content.extend(std::iter::repeat_n(b'x', 3_000_000));
    content.extend_from_slice(format!("\nberta,{HASH}").as_bytes());
    let path = format!("/v1/imports/{id}/content");
    let ask = api.ask(Method::PUT, path).content("text/csv", content);
    ask.send().await.is(StatusCode::ACCEPTED);
    let done = work(&api, &id).await;
    assert_eq!(counts(&done), [2, 0, 0, 2]);
    let reasons: Vec<_> = errors(&api, &done).await.into_iter().map(|one| (one.0, one.2)).collect();
    let too_long = "is longer than 65536 bytes".to_owned();
    assert_eq!(reasons, [(3, "must be UTF-8".to_owned()), (4, too_long)]);
}

#[tokio::test]
async fn formulas_stay_text_here_and_in_what_spreadsheets_read() {
    let api = start().await;
    let content = format!(
        "address,display_name,title,password_hash\nanna,=1+1,'=2+2,{HASH}\n=cmd|calc,x,x,x\n"
    );
    let done = import(&api, skip(), content).await;
    assert_eq!(counts(&done), [1, 0, 0, 1]);
    let anna = api.get("/v1/users/anna@example.com").await.body;
    assert_eq!(anna["display_name"], "=1+1");
    assert_eq!(anna["profile"]["title"], "=2+2");
    let file = api.get("/v1/domains/example.com/users/export").await.body;
    assert!(file.as_str().unwrap().contains("anna@example.com,'=1+1,"), "{file}");
    let path = format!("/v1/imports/{}/errors", done["id"].as_str().unwrap());
    let file = api.get(path).await.body;
    for line in file.as_str().unwrap().lines() {
        assert!(line.split(',').all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{line}");
    }
}

#[tokio::test]
async fn no_more_is_taken_than_the_configuration_says() {
    let clock = umail_proto::clock::Clock::system();
    let terms =
        umail_api::context::Terms { import_bytes: 10_000, ..umail_api::context::Terms::LAX };
    let api = umail_tests::api::Api::start_under(clock, terms).await;
    api.domain("example.com").await;
    let id = begin(&api, DOMAIN, skip()).await;
    let answer = send(&api, &id, users(1_000)).await.is_problem(StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.body["detail"], "an import has at most 10000 bytes");
    // So many imports of one caller that have not ended, and no more.
    for _ in 0..9 {
        begin(&api, DOMAIN, skip()).await;
    }
    api.post(DOMAIN, skip()).await.is_problem(StatusCode::CONFLICT);
}
