//! `/v1/domains/{domain}/domain_aliases` and `/v1/domain_aliases`

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_api::model::operator::OperatorRole;
use umail_tests::api::Api;

const PATH: &str = "/v1/domains/example.com/domain_aliases";

#[tokio::test]
async fn a_domain_alias_comes_and_goes() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let domain = api.get("/v1/domains/example.com").await.id();
    let alias = api.post(PATH, json!({"name": "BÜCHER.example."})).await.is(StatusCode::CREATED);
    assert_eq!(alias.body["name"], "xn--bcher-kva.example");
    assert_eq!(alias.body["domain_id"], domain);
    for name in [&alias.id(), "xn--bcher-kva.example", "b%C3%BCcher.example"] {
        let read = api.get(format!("/v1/domain_aliases/{name}")).await.is(StatusCode::OK);
        assert_eq!(read.body, alias.body);
    }
    api.post(PATH, json!({"name": "example.net"})).await.is(StatusCode::CREATED);
    assert_eq!(api.get(PATH).await.items("name"), ["xn--bcher-kva.example", "example.net"]);
    let first = api.get(format!("{PATH}?page_size=1")).await;
    assert_eq!(first.items("name"), ["xn--bcher-kva.example"]);
    let next = first.body["next_page_token"].as_str().unwrap().to_owned();
    let second = api.get(format!("{PATH}?page_size=1&page_token={next}")).await;
    assert_eq!(second.items("name"), ["example.net"]);
    // It is a name of the domain, and no domain.
    api.get("/v1/domains/example.net").await.is_problem(StatusCode::NOT_FOUND);
    let path = "/v1/domain_aliases/example.net";
    api.delete(path).await.is(StatusCode::NO_CONTENT);
    api.delete(path).await.is_problem(StatusCode::NOT_FOUND);
    api.get(path).await.is_problem(StatusCode::NOT_FOUND);
    api.domain("example.net").await;
    let told: i64 = sqlx::query_scalar("SELECT count(*) FROM change WHERE entity = 6")
        .fetch_one(api.state.pool())
        .await
        .unwrap();
    assert_eq!(told, 3);
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM audit_event WHERE resource = 'domain alias' ORDER BY id",
    )
    .fetch_all(api.state.pool())
    .await
    .unwrap();
    assert_eq!(actions, ["create", "create", "delete"]);
}

#[tokio::test]
async fn a_name_is_of_one_domain_or_of_one_alias() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("example.org").await;
    let also = json!({"name": "example.net"});
    api.post(PATH, also.clone()).await.is(StatusCode::CREATED);
    let other = "/v1/domains/example.org/domain_aliases";
    for (path, name) in [
        (PATH, "example.net"),
        (other, "EXAMPLE.net."),
        (other, "example.com"),
        (PATH, "example.com"),
        ("/v1/domains", "example.net"),
    ] {
        let taken = api.post(path, json!({"name": name})).await.is_problem(StatusCode::CONFLICT);
        assert!(taken.body["detail"].as_str().unwrap().contains("already exists"), "{path}");
    }
    api.delete("/v1/domains/example.org").await.is(StatusCode::NO_CONTENT);
    let taken = api.post(PATH, json!({"name": "example.org"})).await;
    taken.is_problem(StatusCode::CONFLICT);
}

#[tokio::test]
async fn create_domain_alias_refuses_what_is_no_domain() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let label = "a".repeat(60);
    let long = format!("{label}.{label}.{label}.example");
    for name in ["", &long, "localhost", "10.0.0.1", "a\u{0}.example", "xn--example-.org", "';--.x"]
    {
        api.post(PATH, json!({"name": name})).await.is_invalid(&["/name"]);
    }
    api.post(PATH, json!({})).await.is_invalid(&[""]);
    let more = json!({"name": "example.net", "domain_id": "x"});
    api.post(PATH, more).await.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
    let nowhere = api.post("/v1/domains/none.example/domain_aliases", json!({"name": "a.example"}));
    nowhere.await.is_problem(StatusCode::NOT_FOUND);
    for name in ["none.example", "01936d5e-0000-7000-8000-000000000000", "%00", "a%2Fb"] {
        api.get(format!("/v1/domain_aliases/{name}")).await.is_problem(StatusCode::NOT_FOUND);
    }
    assert!(api.get(PATH).await.items("name").is_empty());
}

/// Else mail would go round in circles, and who is meant would not be known.
#[tokio::test]
async fn targets_under_another_name_are_those_of_the_domain() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let anna = api.user("anna@example.com").await;
    api.post(PATH, json!({"name": "example.net"})).await.is(StatusCode::CREATED);
    let body = json!({"local_part": "sales", "targets": ["Anna@example.net"]});
    let sales = api.post("/v1/domains/example.com/aliases", body).await.is(StatusCode::CREATED);
    assert_eq!(sales.body["targets"], json!(["anna@example.com"]));
    assert_eq!(sales.body["user_id"], anna);
    let path = format!("/v1/aliases/{}", sales.id());
    let itself = json!({"targets": ["anna@example.com", "sales@example.net"]});
    api.patch(&path, itself).await.is_invalid(&["/targets/1"]);
    let forwarding = "/v1/users/anna@example.com/forwarding";
    let itself = json!({"targets": ["anna@example.net"], "keep_copy": false});
    let token = api.sign_in("anna@example.com").await;
    let own = api.ask(Method::PUT, forwarding).by(&token).header("if-match", "*");
    own.json(itself).send().await.is_invalid(&["/targets/0"]);
    let away = json!({"targets": ["sales@example.net", "x@example.org"], "keep_copy": true});
    let away = api.put(forwarding, away).await.is(StatusCode::OK);
    assert_eq!(away.body["targets"], json!(["sales@example.com", "x@example.org"]));
}

/// Half of them want the name for a domain, half for an alias, and one gets it.
#[tokio::test]
async fn of_all_who_want_a_name_at_the_same_time_one_gets_it() {
    let api = Api::start().await;
    api.domain("example.com").await;
    for round in 0..5 {
        let body = json!({"name": format!("new-{round}.example")});
        let answers = join_all((0..10).map(|place| {
            let path = if place % 2 == 0 { PATH } else { "/v1/domains" };
            api.post(path, body.clone())
        }));
        let mut won = 0;
        for answer in answers.await {
            match answer.status {
                StatusCode::CREATED => won += 1,
                _ => drop(answer.is_problem(StatusCode::CONFLICT)),
            }
        }
        assert_eq!(won, 1);
    }
    let names = api.get(PATH).await.items("name").len();
    assert_eq!(names + api.get("/v1/domains").await.items("name").len(), 1 + 5);
}

#[tokio::test]
async fn names_are_given_by_system_administrators_and_seen_in_the_domain() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("example.org").await;
    let own = api.domain_admin("admin@example.com").await;
    let foreign = api.domain_admin("admin@example.org").await;
    api.user("anna@example.com").await;
    let user = api.sign_in("anna@example.com").await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let everywhere = api.sign_in("super").await;
    let path =
        format!("/v1/domain_aliases/{}", api.post(PATH, json!({"name": "a.example"})).await.id());
    for (token, looks, changes) in [
        (&everywhere, StatusCode::OK, StatusCode::FORBIDDEN),
        (&own, StatusCode::OK, StatusCode::FORBIDDEN),
        (&foreign, StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
        (&user, StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
    ] {
        for (ask, expected) in [
            (api.ask(Method::GET, PATH), looks),
            (api.ask(Method::GET, &path), looks),
            (api.ask(Method::GET, "/v1/domain_aliases/a.example"), looks),
            (api.ask(Method::POST, PATH).json(json!({"name": "b.example"})), changes),
            (api.ask(Method::DELETE, &path), changes),
        ] {
            assert_eq!(ask.by(token).send().await.status, expected);
        }
    }
    let hidden = api.ask(Method::GET, "/v1/domain_aliases/a.example").by(&foreign).send().await;
    let missing = api.ask(Method::GET, "/v1/domain_aliases/b.example").by(&foreign).send().await;
    assert_eq!(
        hidden.body["detail"].as_str().unwrap().replace("a.example", "b.example"),
        missing.body["detail"].as_str().unwrap()
    );
}
