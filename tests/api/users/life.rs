//! `/v1/users/{user}/restore` and `/v1/users/{user}/purge`, and what comes after the grace time

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use umail_api::{
    app::{self, purges},
    context::Context,
    model::operator::OperatorRole,
    store::actions::Answer as Said,
};
use umail_proto::{
    agent::{Action, ActionFindings, ActionOutcome, action::Verb},
    clock::Clock,
    ids::NodeId,
};
use umail_tests::api::{Answer, Api, PASSWORD};

use super::PATH;
use crate::allowances::counters::{drift, seat_drift};

const ANNA: &str = "/v1/users/anna@example.com";

/// A server by a clock that a test moves, with example.com in it.
pub(crate) async fn start() -> Api {
    let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
    let api = Api::start_at(Clock::manual(now)).await;
    api.domain("example.com").await;
    api
}

/// Lets some time pass. Who is signed in is so for minutes only: returns root's new token.
pub(crate) async fn pass(api: &Api, time: Duration) -> String {
    api.state.clock().advance(time);
    api.sign_in("root").await
}

/// The task takes its steps, until there is none.
pub(crate) async fn carry_on(api: &Api) {
    let cx = Context::system(api.state.clone());
    for _ in 0..20 {
        if purges::carry_on(&cx).await.unwrap() == 0 {
            return;
        }
    }
    unreachable!("it does not come to an end");
}

/// What a node has been asked and has not answered.
pub(crate) async fn asked(api: &Api, node: &str) -> Vec<Action> {
    let node: NodeId = node.parse().unwrap();
    app::actions::list_open(&api.state, node).await.unwrap()
}

/// A node answers everything it was asked.
pub(crate) async fn answer(api: &Api, node: &str, outcome: ActionOutcome) {
    for action in asked(api, node).await {
        let detail = if outcome == ActionOutcome::Done { "" } else { "the disk is away" };
        let said = Said { outcome, detail: detail.to_owned(), findings: ActionFindings::default() };
        let (node, id) = (node.parse().unwrap(), action.action_id.parse().unwrap());
        app::actions::answer(&api.state, node, id, &said).await.unwrap();
    }
}

/// Whose mailbox a node is to remove.
pub(crate) fn of(action: &Action) -> String {
    let Some(Verb::PurgeMailbox(purge)) = &action.verb else { unreachable!("{action:?}") };
    purge.user_id.clone()
}

async fn post(api: &Api, by: &str, path: &str) -> Answer {
    api.ask(Method::POST, path).by(by).send().await
}

async fn count(api: &Api, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(api.state.pool()).await.unwrap()
}

#[tokio::test]
async fn a_deleted_user_is_listed_and_comes_back_as_it_was() {
    let api = start().await;
    let anna = api.user("anna@example.com").await;
    api.user("bert@example.com").await;
    let role = api.assign("anna@example.com", "domain_admin", None).await;
    let before = api.patch(ANNA, json!({"status": "locked"})).await.is(StatusCode::OK);
    api.delete(ANNA).await.is(StatusCode::NO_CONTENT);
    assert_eq!(api.get(PATH).await.items("address"), ["bert@example.com"]);
    assert_eq!(api.get(format!("{PATH}?deleted=false")).await.items("id").len(), 1);
    let deleted = api.get(format!("{PATH}?deleted=true")).await.is(StatusCode::OK);
    assert_eq!(deleted.items("id"), [anna.as_str()]);
    let shown = &deleted.body["items"].as_array().unwrap()[0];
    assert_eq!(shown["status"], "locked");
    let time = |field: &str| {
        let text = shown[field].as_str().unwrap();
        OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap()
    };
    assert_eq!(time("deleted_at"), api.state.clock().now());
    assert_eq!(time("purge_at"), api.state.clock().now() + Duration::days(30));
    let taken = json!({"local_part": "anna", "password": PASSWORD});
    api.post(PATH, taken).await.is_problem(StatusCode::CONFLICT);

    let root = pass(&api, Duration::days(30) - Duration::seconds(1)).await;
    let back = post(&api, &root, &format!("{ANNA}/restore")).await.is(StatusCode::OK);
    for field in ["id", "address", "status", "functions", "plan_id"] {
        assert_eq!(back.body[field], before.body[field], "{field}");
    }
    assert!(back.body["deleted_at"].is_null() && back.body["purge_at"].is_null());
    let again = post(&api, &root, &format!("/v1/users/{anna}/restore")).await.is(StatusCode::OK);
    assert_eq!((again.etag(), again.body), (back.etag(), back.body));
    let roles = api.ask(Method::GET, format!("{ANNA}/role_assignments")).by(&root).send().await;
    assert_eq!(roles.items("id"), [role]);
    let active = api.ask(Method::PATCH, ANNA).by(&root).header("if-match", "*");
    active.json(json!({"status": "active"})).send().await.is(StatusCode::OK);
    api.sign_in("anna@example.com").await;
    // Ids of one moment have no order.
    let events: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM audit_event WHERE resource = 'user' AND resource_id = $1
          ORDER BY at, action",
    )
    .bind(anna.parse::<uuid::Uuid>().unwrap())
    .fetch_all(api.state.pool())
    .await
    .unwrap();
    assert_eq!(events, ["create", "delete", "update", "update", "update"]);
    let changes: i64 = sqlx::query_scalar("SELECT count(*) FROM change WHERE key = $1")
        .bind(anna.parse::<uuid::Uuid>().unwrap())
        .fetch_one(api.state.pool())
        .await
        .unwrap();
    assert_eq!(changes, 5);
}

#[tokio::test]
async fn who_may_delete_restores_and_who_may_operate_purges() {
    let api = start().await;
    api.domain("example.org").await;
    let top = api.post("/v1/domains/example.com/departments", json!({"name": "A"})).await.id();
    let user = |name: &str| {
        let body = json!({"local_part": name, "password": PASSWORD, "department_id": top});
        api.post(PATH, body)
    };
    user("anna").await.is(StatusCode::CREATED);
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let everywhere = api.sign_in("super").await;
    let domain = api.domain_admin("admin@example.com").await;
    let head = api.department_admin("head@example.com", &top).await;
    let foreign = api.domain_admin("admin@example.org").await;
    user("peer").await.is(StatusCode::CREATED);
    let peer = api.sign_in("peer@example.com").await;
    let (ok, hidden, refused) = (StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::FORBIDDEN);
    for (by, status) in
        [(&everywhere, ok), (&domain, ok), (&head, ok), (&foreign, hidden), (&peer, hidden)]
    {
        api.delete(ANNA).await.is(StatusCode::NO_CONTENT);
        let list = api.ask(Method::GET, format!("{PATH}?deleted=true")).by(by).send().await;
        assert_eq!(list.status, status);
        if status == ok {
            assert_eq!(list.items("address"), ["anna@example.com"]);
        }
        let restored = post(&api, by, &format!("{ANNA}/restore")).await;
        assert_eq!(restored.status, status, "{:#}", restored.body);
        api.post(format!("{ANNA}/restore"), json!(null)).await.is(ok);
    }
    api.delete(ANNA).await.is(StatusCode::NO_CONTENT);
    for (by, status) in
        [(&everywhere, refused), (&domain, refused), (&head, refused), (&foreign, hidden)]
    {
        let purge = post(&api, by, &format!("{ANNA}/purge")).await;
        purge.is_problem(status);
    }
    // Nobody restores a superior, who could not have been deleted either.
    api.delete("/v1/users/admin@example.com").await.is(StatusCode::NO_CONTENT);
    post(&api, &head, "/v1/users/admin@example.com/restore").await.is_problem(hidden);
}

#[tokio::test]
async fn restore_and_purge_refuse_what_is_not_theirs() {
    let api = start().await;
    api.user("anna@example.com").await;
    let purge = format!("{ANNA}/purge");
    let early = api.post(&purge, json!(null)).await.is_problem(StatusCode::CONFLICT);
    assert_eq!(early.body["detail"], "only who was deleted can be purged");
    for verb in ["restore", "purge"] {
        let nobody = api.post(format!("/v1/users/none@example.com/{verb}"), json!(null)).await;
        nobody.is_problem(StatusCode::NOT_FOUND);
    }
    let one_day = json!({"deleted_grace_days": 1});
    api.patch("/v1/settings", one_day).await.is(StatusCode::OK);
    api.delete(ANNA).await.is(StatusCode::NO_CONTENT);
    let root = pass(&api, Duration::days(1)).await;
    let late = post(&api, &root, &format!("{ANNA}/restore")).await;
    let late = late.is_problem(StatusCode::CONFLICT);
    assert_eq!(late.body["detail"], "the grace time of user anna@example.com has ended");
    post(&api, &root, &purge).await.is(StatusCode::ACCEPTED);
    carry_on(&api).await;
    for verb in ["restore", "purge"] {
        let gone = post(&api, &root, &format!("{ANNA}/{verb}")).await;
        gone.is_problem(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_purge_removes_the_mailbox_first_and_waits_for_its_node() {
    let api = start().await;
    let node = api.storage_node("storage-1").await;
    let anna = api.user("anna@example.com").await;
    api.user("bert@example.com").await;
    let app = api.post(format!("{ANNA}/app_passwords"), json!({"label": "x"})).await.id();
    api.delete(ANNA).await.is(StatusCode::NO_CONTENT);
    carry_on(&api).await;
    assert!(asked(&api, &node).await.is_empty());
    let purge = || api.post(format!("{ANNA}/purge"), json!(null));
    let first = purge().await.is(StatusCode::ACCEPTED);
    assert_eq!(purge().await.is(StatusCode::ACCEPTED).etag(), first.etag());

    // Asked once, however often it is looked at; until the answer is there, nothing goes.
    carry_on(&api).await;
    carry_on(&api).await;
    let open = asked(&api, &node).await;
    assert_eq!(open.iter().map(of).collect::<Vec<_>>(), [anna.as_str()]);
    answer(&api, &node, ActionOutcome::Failed).await;
    carry_on(&api).await;
    assert!(asked(&api, &node).await.is_empty(), "a node that refused is left alone for a while");
    api.state.clock().advance(Duration::seconds(15));
    carry_on(&api).await;
    let again = asked(&api, &node).await;
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].action_id, open[0].action_id);
    let restore = api.post(format!("{ANNA}/restore"), json!(null)).await;
    restore.is_problem(StatusCode::CONFLICT);
    let taken = json!({"local_part": "anna", "password": PASSWORD});
    api.post(PATH, taken.clone()).await.is_problem(StatusCode::CONFLICT);
    assert_eq!(count(&api, "account").await, 2);

    // A node that is away is reported.
    let root = pass(&api, Duration::minutes(11)).await;
    let shown = api.ask(Method::GET, "/v1/nodes/storage-1").by(&root).send().await.body;
    let alarm = &shown["alarms"].as_array().unwrap()[0];
    assert_eq!(alarm["kind"], "purge_delayed", "{shown:#}");
    let detail = alarm["detail"].as_str().unwrap();
    assert!(detail.starts_with("1 mailboxes") && detail.contains("the disk is away"), "{detail}");

    answer(&api, &node, ActionOutcome::Done).await;
    carry_on(&api).await;
    assert_eq!(count(&api, "account").await, 1);
    assert_eq!(count(&api, "mailbox_removal").await, 0);
    assert_eq!(count(&api, "credential").await, 1);
    for key in [&anna, &app] {
        let nodes: Vec<uuid::Uuid> = sqlx::query_scalar(
            "SELECT unnest(nodes) FROM change WHERE key = $1 ORDER BY id DESC LIMIT 1",
        )
        .bind(key.parse::<uuid::Uuid>().unwrap())
        .fetch_all(api.state.pool())
        .await
        .unwrap();
        assert_eq!(nodes, [node.parse::<uuid::Uuid>().unwrap()]);
    }
    let events: i64 =
        count(&api, "audit_event WHERE resource = 'user purge' AND actor_kind = 'system'").await;
    assert_eq!(events, 1);
    let new = api.ask(Method::POST, PATH).by(&root).json(taken).send().await;
    assert_ne!(new.is(StatusCode::CREATED).id(), anna);
    assert_eq!(drift(&api).await, Vec::<String>::new());
    assert_eq!(seat_drift(&api).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_node_that_refuses_is_asked_again_after_longer_and_longer() {
    let api = start().await;
    let node = api.storage_node("storage-1").await;
    api.user("anna@example.com").await;
    api.delete(ANNA).await.is(StatusCode::NO_CONTENT);
    api.post(format!("{ANNA}/purge"), json!(null)).await.is(StatusCode::ACCEPTED);
    carry_on(&api).await;
    // As long as it has been tried already.
    for pause in [15, 15, 30, 60, 120] {
        assert_eq!(asked(&api, &node).await.len(), 1);
        answer(&api, &node, ActionOutcome::Refused).await;
        api.state.clock().advance(Duration::seconds(pause - 1));
        carry_on(&api).await;
        assert!(asked(&api, &node).await.is_empty(), "before {pause} seconds");
        api.state.clock().advance(Duration::seconds(1));
        carry_on(&api).await;
    }
    assert_eq!(asked(&api, &node).await.len(), 1);
}

#[tokio::test]
async fn nothing_leads_to_the_address_of_who_is_purged() {
    let api = start().await;
    api.user("anna@example.com").await;
    api.user("bert@example.com").await;
    let alias = |name: &str, targets: Value| {
        let body = json!({"local_part": name, "targets": targets});
        api.post("/v1/domains/example.com/aliases", body)
    };
    let anna = "anna@example.com";
    alias("sole", json!([anna])).await.is(StatusCode::CREATED);
    let team = alias("team", json!([anna, "bert@example.com"])).await.is(StatusCode::CREATED).id();
    alias("other", json!(["bert@example.com"])).await.is(StatusCode::CREATED);
    let forward = async |user: &str, targets: Value| {
        let body = json!({"targets": targets, "keep_copy": false});
        api.put(format!("/v1/users/{user}@example.com/forwarding"), body).await.is(StatusCode::OK);
    };
    forward("anna", json!(["x@elsewhere.example"])).await;
    forward("bert", json!([anna])).await;
    let catch_all = json!({"catch_all": anna});
    api.patch("/v1/domains/example.com", catch_all).await.is(StatusCode::OK);
    api.patch("/v1/domains/example.com/allowance", json!({"aliases": 9, "users": 9})).await;

    api.delete(ANNA).await.is(StatusCode::NO_CONTENT);
    let root = pass(&api, Duration::days(30)).await;
    carry_on(&api).await;
    let get = async |path: String| api.ask(Method::GET, path).by(&root).send().await;
    let aliases = get("/v1/domains/example.com/aliases".to_owned()).await;
    let mut addresses = aliases.items("address");
    addresses.sort();
    assert_eq!(addresses, ["other@example.com", "team@example.com"]);
    let team = get(format!("/v1/aliases/{team}")).await.body;
    assert_eq!(team["targets"], json!(["bert@example.com"]));
    let forwarding = get("/v1/users/bert@example.com/forwarding".to_owned()).await;
    assert_eq!(forwarding.body["targets"], json!([]));
    assert!(get("/v1/domains/example.com".to_owned()).await.body["catch_all"].is_null());
    let allowance = get("/v1/domains/example.com/allowance".to_owned()).await.body;
    assert_eq!(allowance["allocated"]["users"], 1, "{allowance:#}");
    assert_eq!(allowance["allocated"]["aliases"], 2, "{allowance:#}");
    assert_eq!(count(&api, "alias").await, 2);
    assert_eq!(count(&api, "address").await, 3);
    assert_eq!(drift(&api).await, Vec::<String>::new());
    assert_eq!(seat_drift(&api).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_mailbox_that_is_being_moved_is_not_purged() {
    let api = start().await;
    let node = api.storage_node("storage-1").await;
    api.user("anna@example.com").await;
    api.storage_node("storage-2").await;
    let to = json!({"storage_node": "storage-2"});
    let moving = api.post(format!("{ANNA}/moves"), to).await.is(StatusCode::ACCEPTED).id();
    api.delete(ANNA).await.is(StatusCode::NO_CONTENT);
    api.post(format!("{ANNA}/purge"), json!(null)).await.is(StatusCode::ACCEPTED);
    carry_on(&api).await;
    assert!(asked(&api, &node).await.is_empty());
    let end = "UPDATE operation SET state = 'failed' WHERE id = $1 RETURNING state";
    let _state: String = sqlx::query_scalar(end)
        .bind(moving.parse::<uuid::Uuid>().unwrap())
        .fetch_one(api.state.pool())
        .await
        .unwrap();
    carry_on(&api).await;
    assert_eq!(asked(&api, &node).await.len(), 1);
}
