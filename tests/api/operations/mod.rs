//! `/v1/operations`

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::model::operator::OperatorRole;
use umail_tests::{api::Api, nodes};

#[tokio::test]
async fn operations_are_listed_newest_first_in_pages() {
    let api = Api::start().await;
    nodes::join(&api, "smtp-1", &["smtp"]).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let answer = api.post("/v1/nodes/smtp-1/queue/flush", json!(null)).await;
        made.push(answer.is(StatusCode::ACCEPTED).id());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    made.reverse();
    let first = api.get("/v1/operations?page_size=2").await.is(StatusCode::OK);
    assert_eq!(first.items("id"), made[..2]);
    let token = first.body["next_page_token"].as_str().unwrap();
    let second = api.get(format!("/v1/operations?page_size=2&page_token={token}")).await;
    assert_eq!(second.is(StatusCode::OK).items("id"), made[2..]);
}

#[tokio::test]
async fn an_operation_is_read_waited_for_and_cancelled() {
    let api = Api::start().await;
    nodes::join(&api, "smtp-1", &["smtp"]).await;
    let id = api.post("/v1/nodes/smtp-1/queue/flush", json!(null)).await.id();
    let path = format!("/v1/operations/{id}");
    let read = api.get(&path).await.is(StatusCode::OK).body;
    assert_eq!((&read["state"], &read["kind"]), (&json!("running"), &json!("flush_queue")));
    let begun = std::time::Instant::now();
    assert_eq!(api.get(format!("{path}?wait_seconds=1")).await.body["state"], "running");
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    api.get(format!("{path}?wait_seconds=61")).await.is_invalid(&["wait_seconds"]);
    let cancelled = api.post(format!("{path}/cancel"), json!(null)).await;
    assert_eq!(cancelled.is(StatusCode::ACCEPTED).body["cancel_requested"], true);
    let missing = "/v1/operations/00000000-0000-0000-0000-000000000000";
    api.get(missing).await.is_problem(StatusCode::NOT_FOUND);
    api.post(format!("{missing}/cancel"), json!(null)).await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_is_demoted_while_waiting_is_refused_within_a_second() {
    let api = Api::start().await;
    nodes::join(&api, "smtp-1", &["smtp"]).await;
    let id = api.post("/v1/nodes/smtp-1/queue/flush", json!(null)).await.id();
    let wait = format!("/v1/operations/{id}?wait_seconds=30");
    let demotions = [json!({"role": "super_domain_admin"}), json!({"active": false})];
    let refusals = [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED];
    for (index, (demotion, refusal)) in demotions.into_iter().zip(refusals).enumerate() {
        let name = format!("staff-{index}");
        api.operator(&name, OperatorRole::SystemAdmin).await;
        let staff = api.sign_in(&name).await;
        api.ask(Method::GET, "/v1/me").by(&staff).send().await.is(StatusCode::OK);
        let operators = api.get("/v1/operators").await.body["items"].clone();
        let operators = operators.as_array().unwrap().clone();
        let operator = operators.iter().find(|one| one["name"] == name).unwrap();
        let path = format!("/v1/operators/{}", operator["id"].as_str().unwrap());
        let demoted = async {
            // The other request is waiting by then; if it came later, it would be refused at once.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            api.patch(path, demotion).await.is(StatusCode::OK);
            std::time::Instant::now()
        };
        let waited = async {
            let answer = api.ask(Method::GET, &wait).by(&staff).send().await;
            (answer, std::time::Instant::now())
        };
        let (demoted, (answer, answered)) = tokio::join!(demoted, waited);
        answer.is_problem(refusal);
        assert!(answered.saturating_duration_since(demoted) < std::time::Duration::from_secs(1));
    }
}

#[tokio::test]
async fn what_steers_nodes_is_for_system_administrators() {
    let api = Api::start().await;
    nodes::join(&api, "smtp-1", &["smtp"]).await;
    api.operator("staff", OperatorRole::SuperDomainAdmin).await;
    let staff = api.sign_in("staff").await;
    for (method, path) in [
        (Method::GET, "/v1/operations"),
        (Method::GET, "/v1/operations/00000000-0000-0000-0000-000000000000"),
        (Method::POST, "/v1/operations/00000000-0000-0000-0000-000000000000/cancel"),
        (Method::GET, "/v1/directory"),
        (Method::GET, "/v1/nodes/smtp-1/traffic"),
        (Method::GET, "/v1/nodes/smtp-1/load"),
        (Method::POST, "/v1/nodes/smtp-1/queue/flush"),
    ] {
        let asked = api.ask(method.clone(), path).by(&staff).send().await;
        asked.is_problem(StatusCode::FORBIDDEN);
        let nobody = api.ask(method, path).anonymous().send().await;
        nobody.is_problem(StatusCode::UNAUTHORIZED);
    }
}
