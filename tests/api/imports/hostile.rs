//! Imports by administrators who want more than is theirs: passwords of others, and the time of
//! everybody.

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_tests::api::{Api, PASSWORD};

use super::{counts, skip, start, work};

/// Departments Own and Other, and who administers Own.
async fn head(api: &Api) -> String {
    let path = "/v1/domains/example.com/departments";
    let own = api.post(path, json!({"name": "Own"})).await.is(StatusCode::CREATED).id();
    for (user, department) in [
        ("within", own.clone()),
        ("beside", api.post(path, json!({"name": "Other"})).await.is(StatusCode::CREATED).id()),
    ] {
        api.user(&format!("{user}@example.com")).await;
        let body = json!({"department_id": department});
        api.patch(format!("/v1/users/{user}@example.com"), body).await.is(StatusCode::OK);
    }
    api.department_admin("head@example.com", &own).await
}

#[tokio::test]
async fn passwords_of_lines_that_are_refused_are_not_even_looked_at() {
    let api = start().await;
    api.domain("other.example").await;
    api.user("root@other.example").await;
    let head = head(&api).await;
    // So that it can be seen afterwards what was hashed.
    let rule = "CREATE RULE kept AS ON DELETE TO import_hash DO INSTEAD NOTHING";
    sqlx::query(rule).execute(&mut api.owner().await).await.unwrap();
    let lines = [
        ("root@other.example", "", PASSWORD),
        ("root@other.example", "", "another horse battery"),
        ("beside@example.com", "", PASSWORD),
        ("head@example.com", "", PASSWORD),
        ("within@example.com", "", PASSWORD),
        ("within@example.com", "", "another horse battery"),
        ("new@example.com", "Own", PASSWORD),
        ("new2@example.com", "", PASSWORD),
        ("new3@example.com", "Own", "short"),
        ("new4@nowhere.example", "Own", PASSWORD),
    ];
    let content: Vec<_> = lines
        .iter()
        .map(|(address, department, password)| {
            // An empty department would move who is in one.
            json!({"address": address, "password": password, "department": department})
        })
        .map(|mut line| {
            line.as_object_mut().unwrap().retain(|_, value| value != "");
            line.to_string()
        })
        .collect();
    let content = content.join("\n");
    let all = "/v1/imports";
    let id = api.ask(Method::POST, all).by(&head).json(skip()).send().await.id();
    let ask = api.ask(Method::PUT, format!("{all}/{id}/content")).by(&head);
    let put = ask.content("application/x-ndjson", content).send().await;
    put.is(StatusCode::ACCEPTED);
    let done = work(&api, &id).await;
    assert_eq!(counts(&done), [1, 0, 1, 8]);
    let hashed: Vec<i64> = sqlx::query_scalar("SELECT line FROM import_hash ORDER BY line")
        .fetch_all(api.state.pool())
        .await
        .unwrap();
    assert_eq!(hashed, [5, 7]);
    api.sign_in("new@example.com").await;
}
