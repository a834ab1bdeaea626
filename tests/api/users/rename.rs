//! Another address for a user.

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_tests::api::{Api, PASSWORD};

const ANNA: &str = "/v1/users/anna@example.com";
const ALIASES: &str = "/v1/domains/example.com/aliases";

async fn start() -> (Api, String) {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.storage_node("storage-1").await;
    let id = api.user("anna@example.com").await;
    (api, id)
}

#[tokio::test]
async fn a_new_address_keeps_the_user_and_leaves_an_alias() {
    let (api, id) = start().await;
    let token = api.sign_in("anna@example.com").await;
    let list = json!({"local_part": "all", "targets": ["anna@example.com", "x@example.org"]});
    let list = api.post(ALIASES, list).await.is(StatusCode::CREATED).id();
    let own = json!({"local_part": "sales", "targets": ["anna@example.com"]});
    let own = api.post(ALIASES, own).await.is(StatusCode::CREATED).id();
    let forwarding = json!({"targets": ["anna@example.org"], "keep_copy": true});
    api.put(format!("{ANNA}/forwarding"), forwarding.clone()).await.is(StatusCode::OK);
    let catch_all = json!({"catch_all": "anna@example.com"});
    api.patch("/v1/domains/example.com", catch_all).await.is(StatusCode::OK);
    let before = api.get(ANNA).await.body;
    let after = api.patch(ANNA, json!({"local_part": "Anna.Berger"})).await.is(StatusCode::OK);
    assert_eq!(after.body["address"], "anna.berger@example.com");
    for field in ["id", "storage_node_id", "created_at"] {
        assert_eq!(after.body[field], before[field], "{field}");
    }
    assert_eq!(after.headers["etag"], "\"2\"");
    // The old address is an alias now, of which the user is the owner.
    api.get(ANNA).await.is_problem(StatusCode::NOT_FOUND);
    let aliases = api.get(ALIASES).await.is(StatusCode::OK);
    assert_eq!(
        aliases.items("address"),
        ["all@example.com", "sales@example.com", "anna@example.com"]
    );
    let left = &aliases.body["items"][2];
    assert_eq!(left["targets"], json!(["anna.berger@example.com"]));
    assert_eq!(left["user_id"], id);
    // Whoever named the old address names the new one.
    let targets = |id: &str| api.get(format!("/v1/aliases/{id}"));
    let wanted = json!(["anna.berger@example.com", "x@example.org"]);
    assert_eq!(targets(&list).await.body["targets"], wanted);
    assert_eq!(targets(&own).await.body["targets"], json!(["anna.berger@example.com"]));
    let domain = api.get("/v1/domains/example.com").await.body;
    assert_eq!(domain["catch_all"], "anna.berger@example.com");
    let path = "/v1/users/anna.berger@example.com/forwarding";
    assert_eq!(api.get(path).await.is(StatusCode::OK).body, forwarding);
    // Sessions go on; the next sign-in is by the new name.
    api.ask(Method::GET, "/v1/me").by(&token).send().await.is(StatusCode::OK);
    api.sign_in("anna.berger@example.com").await;
    let old = json!({"name": "anna@example.com", "password": PASSWORD});
    let old = api.ask(Method::POST, "/v1/sessions").anonymous().json(old).send().await;
    old.is_problem(StatusCode::UNAUTHORIZED);
    // Nodes learn of all of it, and the alias counts.
    let kinds: Vec<i16> = sqlx::query_scalar(
        "SELECT DISTINCT entity FROM change
          WHERE id > (SELECT max(id) FROM change WHERE key = $1) - 7 ORDER BY entity",
    )
    .bind(id.parse::<uuid::Uuid>().unwrap())
    .fetch_all(api.state.pool())
    .await
    .unwrap();
    assert!([1, 2, 3].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    let allowance = api.get("/v1/domains/example.com/allowance").await.body;
    assert_eq!(allowance["allocated"]["aliases"], 3, "{allowance:#}");
}

#[tokio::test]
async fn the_old_address_may_be_given_free() {
    let (api, _) = start().await;
    let path = format!("{ANNA}?leave_alias=false");
    api.patch(&path, json!({"local_part": "berta"})).await.is(StatusCode::OK);
    assert!(api.get(ALIASES).await.items("id").is_empty());
    api.user("anna@example.com").await;
    // Not where mail for the postmaster would get lost.
    let settings = json!({"postmaster_address": "anna@example.com"});
    api.patch("/v1/settings", settings).await.is(StatusCode::OK);
    let lost = api.patch(&path, json!({"local_part": "carla"})).await;
    lost.is_problem(StatusCode::CONFLICT);
    api.get(ANNA).await.is(StatusCode::OK);
    api.patch(ANNA, json!({"local_part": "carla"})).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_new_address_is_refused_that_is_taken_or_is_none() {
    let (api, _) = start().await;
    api.user("bert@example.com").await;
    let taken = api.patch(ANNA, json!({"local_part": "bert"})).await;
    let taken = taken.is_problem(StatusCode::CONFLICT);
    assert_eq!(taken.body["detail"], "address bert@example.com already exists");
    for bad in [json!("a+b"), json!(""), json!(null), json!("a@example.org"), json!("a\u{0}")] {
        api.patch(ANNA, json!({"local_part": bad})).await.is_invalid(&["/local_part"]);
    }
    api.patch(format!("{ANNA}?leave_alias=x"), json!({})).await.is_invalid(&["query"]);
    // The same address again is no change.
    let same = api.patch(ANNA, json!({"local_part": "ANNA"})).await.is(StatusCode::OK);
    assert_eq!(same.headers["etag"], "\"1\"");
    let limit = json!({"aliases": 0});
    api.patch("/v1/domains/example.com/allowance", limit).await.is(StatusCode::OK);
    let full = api.patch(ANNA, json!({"local_part": "berta"})).await;
    assert_eq!(full.is_problem(StatusCode::CONFLICT).body["exceeded"]["kind"], "aliases");
    api.get(ANNA).await.is(StatusCode::OK);
    sqlx::raw_sql("UPDATE account SET moving = true").execute(api.state.pool()).await.unwrap();
    let moving = api.patch(ANNA, json!({"local_part": "berta"})).await;
    moving.is_problem(StatusCode::CONFLICT);
}

#[tokio::test]
async fn users_do_not_rename_themselves() {
    let (api, _) = start().await;
    api.user("bert@example.com").await;
    let anna = api.sign_in("anna@example.com").await;
    let bert = api.sign_in("bert@example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    let rename = |token: &str| {
        let ask = api.ask(Method::PATCH, ANNA).by(token).header("if-match", "*");
        ask.json(json!({"local_part": "berta"})).send()
    };
    rename(&anna).await.is_problem(StatusCode::FORBIDDEN);
    rename(&bert).await.is_problem(StatusCode::NOT_FOUND);
    rename(&admin).await.is(StatusCode::OK);
}

#[tokio::test]
async fn department_admins_rename_and_whoever_names_the_old_address_names_the_new_one() {
    let (api, _) = start().await;
    let departments = "/v1/domains/example.com/departments";
    let own = api.post(departments, json!({"name": "A"})).await.is(StatusCode::CREATED).id();
    let admin = api.department_admin("admin@example.com", &own).await;
    api.patch(ANNA, json!({"department_id": own})).await.is(StatusCode::OK);
    api.user("bert@example.com").await;
    // Nothing of this is within the department.
    let all = json!({"local_part": "all", "targets": ["anna@example.com", "bert@example.com"]});
    let all = api.post(ALIASES, all).await.is(StatusCode::CREATED).id();
    let forwarding = json!({"targets": ["anna@example.com"], "keep_copy": true});
    let berts = "/v1/users/bert@example.com/forwarding";
    api.put(berts, forwarding).await.is(StatusCode::OK);
    let catch_all = json!({"catch_all": "anna@example.com"});
    api.patch("/v1/domains/example.com", catch_all).await.is(StatusCode::OK);
    let last = "SELECT max(id) FROM change";
    let last: i64 = sqlx::query_scalar(last).fetch_one(api.state.pool()).await.unwrap();
    let ask = api.ask(Method::PATCH, format!("{ANNA}?leave_alias=false")).by(&admin);
    let ask = ask.header("if-match", "*").json(json!({"local_part": "berta"}));
    ask.send().await.is(StatusCode::OK);
    let targets = api.get(format!("/v1/aliases/{all}")).await.is(StatusCode::OK);
    assert_eq!(targets.body["targets"], json!(["berta@example.com", "bert@example.com"]));
    assert_eq!(api.get(berts).await.body["targets"], json!(["berta@example.com"]));
    let domain = api.get("/v1/domains/example.com").await.body;
    assert_eq!(domain["catch_all"], "berta@example.com");
    // Nodes learn of each: the domain, the user, the alias and the forwarding.
    let logged = "SELECT entity FROM change WHERE id > $1 ORDER BY entity";
    let logged: Vec<i16> =
        sqlx::query_scalar(logged).bind(last).fetch_all(api.state.pool()).await.unwrap();
    assert_eq!(logged, [1, 2, 3, 3]);
    // What the caller sees is narrow again.
    let ask = api.ask(Method::GET, "/v1/users/bert@example.com").by(&admin);
    ask.send().await.is_problem(StatusCode::NOT_FOUND);
}
