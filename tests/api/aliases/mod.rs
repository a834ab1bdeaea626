//! `/v1/domains/{domain}/aliases` and `/v1/aliases`

use reqwest::{Method, StatusCode};
use serde_json::json;
use umail_tests::api::Api;

const PATH: &str = "/v1/domains/example.com/aliases";

#[tokio::test]
async fn an_alias_with_one_user_as_target_stands_for_the_user() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let anna = api.user("anna@example.com").await;
    let body = json!({"local_part": "Sales", "targets": ["Anna@example.com"]});
    let alias = api.post(PATH, body).await.is(StatusCode::CREATED);
    assert_eq!(alias.body["address"], "sales@example.com");
    assert_eq!(alias.body["targets"], json!(["anna@example.com"]));
    assert_eq!(alias.body["user_id"], anna);
    let path = format!("/v1/aliases/{}", alias.id());
    assert_eq!(api.get(&path).await.is(StatusCode::OK).body, alias.body);
    let body = json!({"targets": ["anna@example.com", "x@example.org"]});
    let after = api.patch(&path, body).await.is(StatusCode::OK);
    assert!(after.body["user_id"].is_null());
    assert_eq!(api.get(PATH).await.items("address"), ["sales@example.com"]);
    api.delete(&path).await.is(StatusCode::NO_CONTENT);
    api.get(&path).await.is_problem(StatusCode::NOT_FOUND);
    // The address is free again.
    api.user("sales@example.com").await;
}

#[tokio::test]
async fn create_alias_refuses_fields_that_break_their_rules() {
    let api = Api::start().await;
    api.domain("example.com").await;
    for (body, field) in [
        (json!({"local_part": "a b", "targets": ["x@example.org"]}), "/local_part"),
        (json!({"local_part": "a", "targets": []}), "/targets"),
        (json!({"local_part": "a", "targets": ["x"]}), "/targets/0"),
        (json!({"local_part": "a", "targets": ["a@example.com"]}), "/targets/0"),
        (json!({"local_part": "a", "targets": ["x@\u{0}.org"]}), "/targets/0"),
    ] {
        api.post(PATH, body).await.is_invalid(&[field]);
    }
    let body = json!({"local_part": "a", "targets": ["x@example.org"]});
    let path = format!("/v1/aliases/{}", api.post(PATH, body.clone()).await.id());
    api.post(PATH, body).await.is_problem(StatusCode::CONFLICT);
    api.patch(&path, json!({"targets": []})).await.is_invalid(&["/targets"]);
    api.patch(&path, json!({"targets": null})).await.is_invalid(&["/targets"]);
    let blind = api.ask(Method::DELETE, &path).send().await;
    blind.is_problem(StatusCode::PRECONDITION_REQUIRED);
}

#[tokio::test]
async fn aliases_are_for_administrators_of_the_domain() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.domain("example.org").await;
    let body = json!({"local_part": "a", "targets": ["x@example.net"]});
    let path = format!("/v1/aliases/{}", api.post(PATH, body.clone()).await.id());
    let own = api.domain_admin("admin@example.com").await;
    let foreign = api.domain_admin("admin@example.org").await;
    api.user("anna@example.com").await;
    let user = api.sign_in("anna@example.com").await;
    api.ask(Method::GET, &path).by(&own).send().await.is(StatusCode::OK);
    for token in [&foreign, &user] {
        for ask in [
            api.ask(Method::GET, PATH),
            api.ask(Method::POST, PATH).json(body.clone()),
            api.ask(Method::GET, &path),
            api.ask(Method::PATCH, &path).header("if-match", "*").json(json!({})),
            api.ask(Method::DELETE, &path).header("if-match", "*"),
        ] {
            ask.by(token).send().await.is_problem(StatusCode::NOT_FOUND);
        }
    }
}
