//! `/v1/plans`, and what they mean for users: `/v1/users/{user}/entitlements`

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_proto::agent::{RowKind, SendingLimits, directory_row::Row};
use umail_tests::{agents::Server, api::Api, scale::scale};

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

const SENDING: [&str; 5] = [
    "message_size_bytes",
    "messages_per_hour",
    "messages_per_day",
    "recipients_per_hour",
    "recipients_per_day",
];

#[tokio::test]
async fn a_plan_limits_what_is_sent() {
    let api = Api::start().await;
    let body = json!({"name": "small", "quota_bytes": 1, "messages_per_hour": 100});
    let made = api.post("/v1/plans", body).await.is(StatusCode::CREATED).body;
    for name in SENDING {
        let expected = if name == "messages_per_hour" { json!(100) } else { json!("unlimited") };
        assert_eq!(made[name], expected, "{name}");
        let path = "/v1/plans/small";
        for bad in [json!(0), json!(-1), json!(null), json!("100"), json!(1.5)] {
            api.patch(path, json!({name: bad})).await.is_invalid(&[&format!("/{name}")]);
            let new = json!({"name": "other", "quota_bytes": 1, name: bad});
            api.post("/v1/plans", new).await.is_invalid(&[&format!("/{name}")]);
        }
        let preview = api.patch(&format!("{path}?dry_run=true"), json!({name: 7})).await;
        assert_eq!(preview.is(StatusCode::OK).body["plan"][name], 7);
        assert_eq!(api.get(path).await.body[name], expected);
        for value in [json!(7), json!("unlimited"), json!(9)] {
            let changed = api.patch(path, json!({name: value})).await.is(StatusCode::OK);
            assert_eq!(changed.body["plan"][name], value);
        }
    }
    let all = api.get("/v1/plans/small").await.body;
    assert_eq!(SENDING.map(|name| all[name].clone()), [9, 9, 9, 9, 9].map(|nine| json!(nine)));
}

#[tokio::test]
async fn limits_of_a_users_own_narrow_those_of_the_plan() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let limits = json!({"messages_per_hour": 10, "message_size_bytes": 1_000_000_000});
    api.patch("/v1/plans/standard", limits).await.is(StatusCode::OK);
    let new = json!({"local_part": "anna", "password": "correct horse battery",
        "messages_per_hour": 5, "recipients_per_day": 50});
    let users = "/v1/domains/example.com/users";
    let anna = api.post(users, new).await.is(StatusCode::CREATED).body;
    assert_eq!((&anna["messages_per_hour"], &anna["messages_per_day"]), (&json!(5), &json!(null)));
    let path = "/v1/users/anna@example.com";
    for (name, bad) in [
        ("messages_per_hour", json!(11)),
        ("messages_per_hour", json!(0)),
        ("messages_per_day", json!("unlimited")),
        ("recipients_per_hour", json!(-1)),
        ("message_size_bytes", json!(1_000_000_001)),
    ] {
        api.patch(path, json!({name: bad})).await.is_invalid(&[&format!("/{name}")]);
        let new = json!({"local_part": "x", "password": "correct horse battery", name: bad});
        api.post(users, new).await.is_invalid(&[&format!("/{name}")]);
    }
    let both = json!({"messages_per_hour": 11, "message_size_bytes": 0});
    api.patch(path, both).await.is_invalid(&["/message_size_bytes", "/messages_per_hour"]);
    let patch = json!({"messages_per_hour": null, "messages_per_day": 20});
    let after = api.patch(path, patch).await.is(StatusCode::OK);
    assert_eq!(after.body["messages_per_hour"], json!(null));
    assert_eq!(
        (&after.body["messages_per_day"], &after.body["recipients_per_day"]),
        (&json!(20), &json!(50))
    );
    let again = api.patch(path, json!({"messages_per_day": 20})).await.is(StatusCode::OK);
    assert_eq!(again.etag(), after.etag(), "nothing was changed");

    // Nobody widens or narrows what he may send himself.
    let token = api.sign_in("anna@example.com").await;
    for name in SENDING {
        let own = api.ask(Method::PATCH, path).by(&token).header("if-match", "*");
        own.json(json!({name: 1})).send().await.is_problem(StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn entitlements_name_the_level_that_limits_what_is_sent() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let limits = json!({"messages_per_hour": 10, "message_size_bytes": 1_000_000_000});
    api.patch("/v1/plans/standard", limits).await.is(StatusCode::OK);
    let path = format!("/v1/users/{}", api.user("anna@example.com").await);
    let own = json!({"messages_per_day": 20, "recipients_per_day": 50});
    api.patch(&path, own).await.is(StatusCode::OK);
    let entitled = async || {
        let body = api.get(&format!("{path}/entitlements")).await.is(StatusCode::OK).body;
        body["sending"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let set_by = (text(&one["set_by"]["level"]), text(&one["set_by"]["name"]));
                (text(&one["limit"]), one["at_most"].clone(), set_by)
            })
            .collect::<Vec<_>>()
    };
    let of = |level: &str, name: &str| (level.to_owned(), name.to_owned());
    let (plan, user) = (of("plan", "standard"), of("user", "anna@example.com"));
    assert_eq!(
        entitled().await,
        [
            (SENDING[0].to_owned(), json!(52_428_800), of("system", "system")),
            (SENDING[1].to_owned(), json!(10), plan.clone()),
            (SENDING[2].to_owned(), json!(20), user.clone()),
            (SENDING[3].to_owned(), json!("unlimited"), plan.clone()),
            (SENDING[4].to_owned(), json!(50), user.clone()),
        ]
    );
    // A plan that is narrower than what the user has of its own holds.
    let limits = json!({"recipients_per_day": 40, "message_size_bytes": 1_000});
    api.patch("/v1/plans/standard", limits).await.is(StatusCode::OK);
    let after = entitled().await;
    assert_eq!(after[0].1, 1_000);
    assert_eq!(
        (after[0].2.clone(), after[4].clone()),
        (plan.clone(), (SENDING[4].to_owned(), json!(40), plan))
    );
}

#[tokio::test]
async fn limits_of_what_is_sent_reach_the_nodes() {
    let server = Server::start().await;
    let api = &server.api;
    let smtp = server.agent("smtp-1", &["smtp"]).await;
    api.domain("example.com").await;
    let anna = api.user("anna@example.com").await;
    let own = json!({"messages_per_day": 5});
    api.patch(format!("/v1/users/{anna}"), own).await.is(StatusCode::OK);
    api.patch("/v1/plans/standard", json!({"recipients_per_hour": 8})).await.is(StatusCode::OK);
    let user = SendingLimits { messages_per_day: Some(5), ..SendingLimits::default() };
    let plan = SendingLimits { recipients_per_hour: Some(8), ..SendingLimits::default() };
    let limits = |replica: &umail_tests::agents::Replica, kind, id: &str| match replica
        .rows
        .get(&(kind, id.to_owned()))
        .and_then(|row| row.row.clone())
    {
        Some(Row::User(user)) => user.sending,
        Some(Row::Plan(plan)) => plan.sending,
        _ => None,
    };
    smtp.follow().await;
    smtp.until(|replica| {
        limits(replica, RowKind::User, &anna) == Some(user)
            && limits(replica, RowKind::Plan, STANDARD) == Some(plan)
    })
    .await;
    // What the node enforces is what its version holds.
    let plan = "/v1/plans/standard/convergence?wait_seconds=10";
    let plan = api.get(plan).await.is(StatusCode::OK).body;
    assert_eq!(plan["converged"], true, "{plan}");
    let node = api.get("/v1/nodes/smtp-1").await.is(StatusCode::OK).body;
    assert!(node["directory_version"].as_i64() >= plan["version"].as_i64(), "{node}");
    let unlimited = json!({"recipients_per_hour": "unlimited"});
    api.patch("/v1/plans/standard", unlimited).await.is(StatusCode::OK);
    let none = Some(SendingLimits::default());
    smtp.until(|replica| limits(replica, RowKind::Plan, STANDARD) == none).await;
    server.stop().await;
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
    let users = scale(1_000);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "INSERT INTO account (id, domain_id, local_part, functions, plan_id, created_at, updated_at)
         SELECT gen_random_uuid(), domain.id, 'u' || n, 63, '{STANDARD}', now(), now()
           FROM domain, generate_series(1, {users}) AS n"
    )))
    .execute(api.state.pool())
    .await
    .unwrap();
    pop.follow().await;
    let long = std::time::Duration::from_secs(10 + u64::try_from(users).unwrap() / 10_000);
    pop.until_within(long, |replica| replica.rows.len() > users).await;
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
