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
async fn an_alias_or_a_forwarding_does_not_lead_back_to_itself() {
    let api = Api::start().await;
    for domain in ["example.com", "example.org"] {
        api.domain(domain).await;
    }
    let other = json!({"name": "example.net"});
    api.post("/v1/domains/example.com/domain_aliases", other).await.is(StatusCode::CREATED);
    for name in ["anna", "bert"] {
        api.user(&format!("{name}@example.com")).await;
    }
    let path = "/v1/domains/example.com/aliases";
    let body = |name: &str, targets: &[&str]| json!({"local_part": name, "targets": targets});
    let made = async |name, targets: &[&str]| {
        api.post(path, body(name, targets)).await.is(StatusCode::CREATED).id()
    };
    let first = made("one", &["two@example.com", "x@example.org"]).await;
    made("two", &["three@example.com"]).await;
    for target in ["one@example.com", "two@example.com", "TWO@example.net"] {
        let back = api.post(path, body("three", &["bert@example.com", target])).await;
        back.is_invalid(&["/targets"]);
    }
    // By way of a mailbox that keeps nothing, and not of one that keeps a copy: there it ends.
    let forwarding = |name: &str, target: &str, keep_copy| {
        let body = json!({"targets": [target], "keep_copy": keep_copy});
        api.put(format!("/v1/users/{name}@example.com/forwarding"), body)
    };
    forwarding("anna", "one@example.com", false).await.is(StatusCode::OK);
    api.post(path, body("three", &["anna@example.com"])).await.is_invalid(&["/targets"]);
    forwarding("anna", "one@example.com", true).await.is(StatusCode::OK);
    made("three", &["anna@example.com"]).await;
    forwarding("anna", "one@example.com", false).await.is_invalid(&["/targets"]);
    // Users see little of the domain, and are told all the same.
    forwarding("bert", "anna@example.com", false).await.is(StatusCode::OK);
    let anna = api.sign_in("anna@example.com").await;
    let body = json!({"targets": ["bert@example.net"], "keep_copy": false});
    let own = api.ask(Method::PUT, "/v1/users/anna@example.com/forwarding").by(&anna);
    own.header("if-match", "*").json(body).send().await.is_invalid(&["/targets"]);
    // Changes are held to it as well.
    let targets = json!({"targets": ["bert@example.com"]});
    api.patch(format!("/v1/aliases/{first}"), targets).await.is(StatusCode::OK);
    forwarding("anna", "two@example.com", false).await.is_invalid(&["/targets"]);
    forwarding("anna", "x@example.org", false).await.is(StatusCode::OK);
    let targets = json!({"targets": ["two@example.com"]});
    api.patch(format!("/v1/aliases/{first}"), targets).await.is(StatusCode::OK);
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
