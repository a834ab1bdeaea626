//! `/v1/directory`

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_tests::{agents::Server, api::Api, nodes};

#[tokio::test]
async fn nodes_that_were_never_seen_hold_up_nobody() {
    let api = Api::start().await;
    nodes::join(&api, "pop-1", &["pop"]).await;
    let body = api.get("/v1/directory").await.is(StatusCode::OK).body;
    assert_eq!(body["nodes"][0]["name"], "pop-1");
    assert_eq!(
        (&body["nodes"][0]["reachable"], &body["nodes"][0]["version"]),
        (&false.into(), &0.into())
    );
    api.get("/v1/directory?wait_seconds=61").await.is_invalid(&["wait_seconds"]);
}

#[tokio::test]
async fn a_resource_says_how_many_nodes_have_its_last_change() {
    let server = Server::start().await;
    let api = &server.api;
    let pop = server.agent("pop-1", &["pop"]).await;
    pop.follow().await;
    nodes::join(api, "pop-2", &["pop"]).await;
    api.domain("example.com").await;
    let user = api.user("alice@example.com").await;
    let second = json!({"name": "example.net"});
    let second = api.post("/v1/domains/example.com/domain_aliases", second).await;
    second.is(StatusCode::CREATED);
    let department = api.post("/v1/domains/example.com/departments", json!({"name": "Sales"}));
    let department = department.await.is(StatusCode::CREATED).id();
    let plan = json!({"messages_per_hour": 100});
    api.patch("/v1/plans/standard", plan).await.is(StatusCode::OK);
    let alias = json!({"local_part": "info", "targets": ["alice@example.com"]});
    let alias = api.post("/v1/domains/example.com/aliases", alias).await;
    let alias = alias.is(StatusCode::CREATED).id();
    let group = json!({"local_part": "team"});
    let group = api.post("/v1/domains/example.com/groups", group).await;
    let group = group.is(StatusCode::CREATED).id();
    let path = format!("/v1/groups/{group}/members/alice@example.com");
    api.put(path, json!(null)).await.is(StatusCode::OK);
    for path in [
        format!("/v1/users/{user}"),
        "/v1/domains/example.com".to_owned(),
        "/v1/domain_aliases/example.net".to_owned(),
        format!("/v1/departments/{department}"),
        format!("/v1/aliases/{alias}"),
        format!("/v1/groups/{group}"),
        "/v1/plans/standard".to_owned(),
    ] {
        let seen = api.get(format!("{path}/convergence?wait_seconds=10")).await;
        let seen = seen.is(StatusCode::OK).body;
        assert!(seen["version"].as_u64() > Some(0), "{path}: {seen}");
        let counts = ["nodes", "applied", "unreachable"].map(|key| seen[key].as_u64());
        assert_eq!(counts, [Some(2), Some(1), Some(1)], "{path}: {seen}");
        assert_eq!(seen["converged"], true, "{path}");
        let outsider = api.ask(Method::GET, format!("{path}/convergence")).anonymous();
        outsider.send().await.is_problem(StatusCode::UNAUTHORIZED);
    }
    api.get("/v1/users/bob@example.com/convergence").await.is_problem(StatusCode::NOT_FOUND);
    // Long ago is before everything that the log holds.
    sqlx::raw_sql(
        "DELETE FROM change; UPDATE control_plane SET trimmed_version = directory_version",
    )
    .execute(api.state.pool())
    .await
    .unwrap();
    let seen = api.get(format!("/v1/users/{user}/convergence")).await.body;
    assert_eq!(seen["version"].as_u64(), Some(pop.replica().version));
    assert_ne!(seen["applied"], Value::from(0));
    server.stop().await;
}
