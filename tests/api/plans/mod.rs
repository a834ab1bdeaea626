//! `/v1/plans`, and what they mean for users: `/v1/users/{user}/entitlements`

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_proto::agent::{RowKind, directory_row::Row};
use umail_tests::{agents::Server, api::Api};

const STANDARD: &str = "00000000-0000-7000-8000-000000000001";

async fn plan(api: &Api, name: &str, quota: Value) -> String {
    let body = json!({"name": name, "quota_bytes": quota});
    api.post("/v1/plans", body).await.is(StatusCode::CREATED).id()
}

#[tokio::test]
async fn a_plan_is_made_read_changed_and_removed() {
    let api = Api::start().await;
    let id = plan(&api, "small", json!(100)).await;
    assert_eq!(api.get("/v1/plans/small").await.is(StatusCode::OK).body["id"], id);
    assert_eq!(api.get("/v1/plans").await.body["items"].as_array().unwrap().len(), 2);
    let again = api.post("/v1/plans", json!({"name": "small", "quota_bytes": 1})).await;
    again.is_problem(StatusCode::CONFLICT);
    let changed = api.patch("/v1/plans/small", json!({"functions": ["pop3"]})).await;
    assert_eq!(changed.is(StatusCode::OK).body["plan"]["functions"], json!(["pop3"]));
    for (field, value) in
        [("name", json!("A")), ("quota_bytes", json!(0)), ("functions", json!(["fly"]))]
    {
        let answer = api.patch("/v1/plans/small", json!({field: value})).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
    }
    let delete =
        |name| api.ask(Method::DELETE, format!("/v1/plans/{name}")).header("if-match", "*").send();
    delete("standard").await.is_problem(StatusCode::CONFLICT);
    delete("small").await.is(StatusCode::NO_CONTENT);
    delete("small").await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn entitlements_name_the_level_that_sets_a_value() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let small = plan(&api, "small", json!(100)).await;
    api.patch("/v1/plans/small", json!({"functions": ["pop3", "imap", "submission"]})).await;
    let sales = json!({"name": "Sales", "plan_id": small});
    let sales = api.post("/v1/domains/example.com/departments", sales).await;
    let sales = sales.is(StatusCode::CREATED).id();
    let path = format!("/v1/departments/{sales}");
    api.patch(&path, json!({"functions": ["pop3", "imap", "external_send"]})).await;
    let user = json!({"local_part": "anna", "password": "correct horse battery",
        "department_id": sales});
    let user = api.post("/v1/domains/example.com/users", user).await.is(StatusCode::CREATED);
    assert_eq!((&user.body["plan_id"], &user.body["quota_bytes"]), (&json!(small), &json!(null)));
    api.patch("/v1/users/anna@example.com", json!({"functions": ["imap"], "status": "locked"}))
        .await;

    let path = "/v1/users/anna@example.com/entitlements";
    let seen = api.get(path).await.is(StatusCode::OK).body;
    assert_eq!(
        (&seen["status"], &seen["status_set_by"]["level"]),
        (&json!("locked"), &json!("user"))
    );
    assert_eq!(
        (&seen["quota_bytes"], &seen["quota_set_by"]["name"]),
        (&json!(100), &json!("small"))
    );
    let denied = |name: &str| {
        let functions = seen["functions"].as_array().unwrap();
        let one = functions.iter().find(|one| one["function"] == name).unwrap();
        assert_eq!(one["allowed"], one["denied_by"].is_null());
        one["denied_by"]["level"].clone()
    };
    assert_eq!(denied("imap"), json!(null));
    assert_eq!(denied("pop3"), "user");
    assert_eq!(denied("external_send"), "plan");
    assert_eq!(denied("submission"), "department");

    api.patch("/v1/users/anna@example.com", json!({"quota_bytes": 40})).await.is(StatusCode::OK);
    let seen = api.get(path).await.body;
    assert_eq!(
        (&seen["quota_bytes"], &seen["quota_set_by"]["level"]),
        (&json!(40), &json!("user"))
    );
    api.patch("/v1/users/anna@example.com", json!({"quota_bytes": 101}))
        .await
        .is_invalid(&["/quota_bytes"]);
    api.patch("/v1/users/anna@example.com", json!({"quota_bytes": null})).await.is(StatusCode::OK);
    assert_eq!(api.get(path).await.body["quota_bytes"], 100);
}

#[tokio::test]
async fn an_edit_says_whom_it_touches_and_keeps_to_the_allowances() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("a@example.com").await;
    api.user("b@example.com").await;
    let allowance = "/v1/domains/example.com/allowance";
    let limits = json!({"storage_bytes": 2_147_483_648_i64, "seats": {"standard": 2}});
    api.patch(allowance, limits).await.is(StatusCode::OK);

    let tag = api.get(allowance).await.headers["etag"].clone();
    let again = api.patch(allowance, json!({"seats": {"standard": 2}})).await;
    assert_eq!(again.is(StatusCode::OK).headers["etag"], tag, "nothing was changed");

    let path = "/v1/plans/standard";
    let more = json!({"quota_bytes": 1_073_741_825});
    let preview = api.patch(&format!("{path}?dry_run=true"), more.clone()).await;
    let preview = preview.is(StatusCode::OK).body;
    assert_eq!((&preview["users"], &preview["dry_run"]), (&json!(2), &json!(true)));
    assert_eq!(preview["domains"][0]["name"], "example.com");
    assert_eq!(preview["exceeded"][0]["kind"], "storage_bytes");
    assert_eq!(api.get(path).await.body["quota_bytes"], 1_073_741_824);
    api.patch(path, more.clone()).await.is_problem(StatusCode::CONFLICT);
    api.patch(&format!("{path}?force=true"), more).await.is(StatusCode::OK);
    let allocated = api.get(allowance).await.body["allocated"]["storage_bytes"].clone();
    assert_eq!(allocated, 2_147_483_650_i64);

    // Seats are limited as well, whatever the number of users.
    let third = json!({"local_part": "c", "password": "correct horse battery", "quota_bytes": 1});
    let refused = api.post("/v1/domains/example.com/users", third).await;
    let refused = refused.is_problem(StatusCode::CONFLICT).body;
    let lower = api.patch(allowance, json!({"seats": {"standard": 1}})).await;
    lower.is_problem(StatusCode::CONFLICT);
    api.patch(allowance, json!({"seats": {"none": 1}})).await.is_invalid(&["/seats/none"]);
    assert!(refused["exceeded"]["kind"].is_string(), "{refused:#}");
}

#[tokio::test]
async fn a_plan_with_many_users_is_one_row_for_a_node() {
    let server = Server::start().await;
    let api = &server.api;
    let pop = server.agent("pop-1", &["pop"]).await;
    api.domain("example.com").await;
    let scale = std::env::var("UMAIL_TEST_SCALE").ok().and_then(|text| text.parse::<u32>().ok());
    let users = 1_000 * scale.unwrap_or(1);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "INSERT INTO account (id, domain_id, local_part, functions, plan_id, created_at, updated_at)
         SELECT gen_random_uuid(), domain.id, 'u' || n, 63, '{STANDARD}', now(), now()
           FROM domain, generate_series(1, {users}) AS n"
    )))
    .execute(api.state.pool())
    .await
    .unwrap();
    pop.follow().await;
    let long = std::time::Duration::from_secs(10 + u64::from(users) / 10_000);
    pop.until_within(long, |replica| replica.rows.len() > usize::try_from(users).unwrap()).await;
    let before = pop.replica();
    let body = json!({"quota_bytes": 5_000_000_000_i64, "functions": ["imap"]});
    api.patch("/v1/plans/standard", body).await.is(StatusCode::OK);
    let quota = |replica: &umail_tests::agents::Replica| match replica
        .rows
        .get(&(RowKind::Plan, STANDARD.to_owned()))
        .and_then(|row| row.row.clone())
    {
        Some(Row::Plan(plan)) => plan.quota_bytes,
        _ => 0,
    };
    pop.until(|replica| quota(replica) == 5_000_000_000).await;
    let after = pop.replica();
    assert_eq!(after.version - before.version, 1, "more than the plan was replicated");
    let others = |rows: &std::collections::BTreeMap<(RowKind, String), _>| {
        rows.keys().filter(|key| key.0 != RowKind::Plan).count()
    };
    assert_eq!(others(&after.rows), others(&before.rows));
    server.stop().await;
}

#[tokio::test]
async fn plans_are_the_systems_and_administrators_see_them() {
    let api = Api::start().await;
    api.operator("super", umail_api::model::operator::OperatorRole::SuperDomainAdmin).await;
    let admin = api.sign_in("super").await;
    api.ask(Method::GET, "/v1/plans").by(&admin).send().await.is(StatusCode::OK);
    let new = json!({"name": "x", "quota_bytes": 1});
    let refused = api.ask(Method::POST, "/v1/plans").by(&admin).json(new).send().await;
    refused.is_problem(StatusCode::FORBIDDEN);
}
