//! Suspension, `/v1/domains/{domain}/restore` and `/v1/domains/{domain}/purge`

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use umail_api::model::operator::OperatorRole;
use umail_proto::agent::ActionOutcome;
use umail_tests::api::{Api, PASSWORD};

use crate::{
    allowances::counters::{drift, seat_drift},
    users::life::{answer, asked, carry_on, pass, start},
};

const PATH: &str = "/v1/domains/example.com";

fn time(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

#[tokio::test]
async fn mail_of_a_suspended_domain_is_deferred_for_the_days_of_the_settings() {
    let api = start().await;
    let set = async |status: &str| {
        api.patch(PATH, json!({"status": status})).await.is(StatusCode::OK).body
    };
    assert!(api.get(PATH).await.body["deferred_until"].is_null());
    let now = || api.state.clock().now();
    assert_eq!(time(&set("suspended").await["deferred_until"]), now() + Duration::days(5));
    // Another change, and the same one again, begin nothing anew.
    let until = api.get(PATH).await.body["deferred_until"].clone();
    api.state.clock().advance(Duration::minutes(1));
    assert_eq!(set("suspended").await["deferred_until"], until);
    let after = api.patch(PATH, json!({"catch_all": "a@example.com"})).await;
    assert_eq!(after.body["deferred_until"], until);
    assert!(set("closed").await["deferred_until"].is_null());
    let days = json!({"suspended_defer_days": 0});
    let settings = api.patch("/v1/settings", days).await.is(StatusCode::OK).body;
    assert_eq!(
        (&settings["suspended_defer_days"], &settings["deleted_grace_days"]),
        (&0.into(), &30.into())
    );
    assert_eq!(time(&set("suspended").await["deferred_until"]), now());
    assert!(set("active").await["deferred_until"].is_null());
}

/// Who may sign in and what that is good for, while the domain has a status.
#[tokio::test]
async fn administrators_of_a_suspended_domain_look_and_change_nothing() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let top = api.post(format!("{PATH}/departments"), json!({"name": "A"})).await.id();
    let body = json!({"local_part": "anna", "password": PASSWORD, "department_id": top});
    api.post(format!("{PATH}/users"), body).await.is(StatusCode::CREATED);
    api.domain_admin("admin@example.com").await;
    api.department_admin("head@example.com", &top).await;
    let anna = api.sign_in("anna@example.com").await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let everywhere = api.sign_in("super").await;
    let patch = |by: &str, path: &str, body: Value| {
        api.ask(Method::PATCH, path).by(by).header("if-match", "*").json(body).send()
    };
    for (status, changes) in [
        ("locked", true),
        ("maintenance", true),
        ("suspended", false),
        ("closed", false),
        ("active", true),
    ] {
        api.patch(PATH, json!({"status": status})).await.is(StatusCode::OK);
        for name in ["admin@example.com", "head@example.com"] {
            let token = api.sign_in(name).await;
            let look = async |path: &str| {
                let answer = api.ask(Method::GET, path).by(&token).send().await;
                answer.is(StatusCode::OK)
            };
            look("/v1/me").await;
            assert_eq!(look(PATH).await.body["status"], status);
            look(&format!("{PATH}/departments")).await;
            assert!(look(&format!("{PATH}/users")).await.items("address").len() > 1);
            look("/v1/users/anna@example.com").await;
            let body = json!({"display_name": status});
            let answer = patch(&token, "/v1/users/anna@example.com", body).await;
            if changes {
                answer.is(StatusCode::OK);
            } else {
                let answer = answer.is_problem(StatusCode::FORBIDDEN);
                let detail = format!("not allowed: the domain is {status}");
                assert_eq!(answer.body["detail"], detail);
            }
            // Nothing of one's own either.
            let own = json!({"current_password": PASSWORD, "new_password": PASSWORD});
            let own = api.ask(Method::PUT, "/v1/me/password").by(&token).json(own).send().await;
            let expected = if changes { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
            assert_eq!(own.status, expected, "{:#}", own.body);
        }
        let own = api.ask(Method::GET, "/v1/me").by(&anna).send().await;
        assert_eq!(own.status == StatusCode::OK, status == "active", "{status}");
        let sign_in = json!({"name": "anna@example.com", "password": PASSWORD});
        let sign_in = api.ask(Method::POST, "/v1/sessions").anonymous().json(sign_in).send().await;
        assert_eq!(sign_in.status == StatusCode::CREATED, status == "active", "{status}");
        let by_operator = patch(&everywhere, PATH, json!({"catch_all": null})).await;
        by_operator.is(StatusCode::OK);
    }
}

#[tokio::test]
async fn every_change_in_a_suspended_domain_is_refused_to_its_administrator() {
    let api = Api::start().await;
    api.domain("example.com").await;
    api.user("anna@example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    let department = api.post(format!("{PATH}/departments"), json!({"name": "A"})).await.id();
    let alias = json!({"local_part": "info", "targets": ["anna@example.com"]});
    let alias = api.post(format!("{PATH}/aliases"), alias).await.id();
    let role = api.assign("anna@example.com", "department_admin", Some(&department)).await;
    api.patch(PATH, json!({"status": "suspended"})).await.is(StatusCode::OK);
    let user = json!({"local_part": "new", "password": PASSWORD});
    let new_alias = json!({"local_part": "new", "targets": ["anna@example.com"]});
    let anna = "/v1/users/anna@example.com";
    for (method, path, body) in [
        (Method::PATCH, PATH.to_owned(), json!({"catch_all": null})),
        (Method::POST, format!("{PATH}/users"), user),
        (Method::POST, format!("{PATH}/departments"), json!({"name": "B"})),
        (Method::POST, format!("{PATH}/aliases"), new_alias),
        (Method::DELETE, format!("/v1/departments/{department}"), json!({})),
        (Method::PATCH, format!("/v1/departments/{department}/allowance"), json!({"users": 1})),
        (Method::DELETE, format!("/v1/aliases/{alias}"), json!({})),
        (Method::DELETE, anna.to_owned(), json!({})),
        (Method::POST, format!("{anna}/restore"), json!({})),
        (Method::PUT, format!("{anna}/password"), json!({"new_password": PASSWORD})),
        (Method::PUT, format!("{anna}/forwarding"), json!({"targets": [], "keep_copy": true})),
        (Method::POST, format!("{anna}/app_passwords"), json!({"label": "x"})),
        (Method::DELETE, format!("/v1/role_assignments/{role}"), json!({})),
        (
            Method::PUT,
            "/v1/users/admin@example.com/forwarding".to_owned(),
            json!({"targets": ["x@elsewhere.example"], "keep_copy": true}),
        ),
    ] {
        let ask = api.ask(method.clone(), &path).by(&admin).header("if-match", "*").json(body);
        let answer = ask.send().await.is_problem(StatusCode::FORBIDDEN);
        let detail = "not allowed: the domain is suspended";
        assert_eq!(answer.body["detail"], detail, "{method} {path}");
    }
    // What is foreign stays hidden.
    api.domain("example.org").await;
    api.user("bert@example.org").await;
    let hidden = api.ask(Method::DELETE, "/v1/users/bert@example.org").by(&admin);
    hidden.header("if-match", "*").send().await.is_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_deleted_domain_is_listed_and_comes_back_with_all_in_it() {
    let api = start().await;
    api.domain("example.org").await;
    let admin = api.domain_admin("admin@example.com").await;
    api.user("anna@example.com").await;
    api.delete("/v1/users/anna@example.com").await.is(StatusCode::NO_CONTENT);
    let also = json!({"name": "example.net"});
    let also = api.post(format!("{PATH}/domain_aliases"), also).await.is(StatusCode::CREATED);
    let before = api.patch(PATH, json!({"status": "locked"})).await.is(StatusCode::OK).body;
    api.delete(PATH).await.is(StatusCode::NO_CONTENT);
    assert_eq!(api.get("/v1/domains").await.items("name"), ["example.org"]);
    let deleted = api.get("/v1/domains?deleted=true").await.is(StatusCode::OK);
    assert_eq!(deleted.items("name"), ["example.com"]);
    let shown = &deleted.body["items"].as_array().unwrap()[0];
    assert_eq!(time(&shown["deleted_at"]), api.state.clock().now());
    assert_eq!(time(&shown["purge_at"]), api.state.clock().now() + Duration::days(30));
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let everywhere = api.sign_in("super").await;
    let list = api.ask(Method::GET, "/v1/domains?deleted=true").by(&everywhere).send().await;
    list.is_problem(StatusCode::FORBIDDEN);
    for (by, status) in [(&admin, StatusCode::UNAUTHORIZED), (&everywhere, StatusCode::FORBIDDEN)] {
        for verb in ["restore", "purge"] {
            let ask = api.ask(Method::POST, format!("{PATH}/{verb}")).by(by);
            ask.send().await.is_problem(status);
        }
    }
    // Its other names are gone with it, and taken.
    let second = "/v1/domain_aliases/example.net";
    api.get(second).await.is_problem(StatusCode::NOT_FOUND);
    api.delete(second).await.is_problem(StatusCode::NOT_FOUND);
    let taken = json!({"name": "example.net"});
    let taken = api.post("/v1/domains/example.org/domain_aliases", taken).await;
    taken.is_problem(StatusCode::CONFLICT);
    // Of a domain that is deleted nothing is restored by itself.
    let alone = api.post("/v1/users/anna@example.com/restore", json!(null)).await;
    alone.is_problem(StatusCode::NOT_FOUND);
    let back = api.post(format!("{PATH}/restore"), json!(null)).await.is(StatusCode::OK);
    for field in ["id", "name", "status", "functions"] {
        assert_eq!(back.body[field], before[field]);
    }
    let again = api.post(format!("{PATH}/restore"), json!(null)).await.is(StatusCode::OK);
    assert_eq!(again.etag(), back.etag());
    assert_eq!(api.get(second).await.is(StatusCode::OK).body, also.body);
    api.sign_in("admin@example.com").await;
    assert_eq!(api.get(format!("{PATH}/users?deleted=true")).await.items("id").len(), 1);
    let purge = api.post(format!("{PATH}/purge"), json!(null)).await;
    purge.is_problem(StatusCode::CONFLICT);

    api.delete(PATH).await.is(StatusCode::NO_CONTENT);
    let root = pass(&api, Duration::days(30)).await;
    let late = api.ask(Method::POST, format!("{PATH}/restore")).by(&root).send().await;
    late.is_problem(StatusCode::CONFLICT);
    carry_on(&api).await;
    let gone = api.ask(Method::POST, format!("{PATH}/restore")).by(&root).send().await;
    gone.is_problem(StatusCode::NOT_FOUND);
}

async fn rows(api: &Api, of: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {of}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(api.state.pool()).await.unwrap()
}

/// Departments, three users, 120 aliases, one of which stands for a user, and 103 groups.
async fn fill(api: &Api) {
    let top = api.post(format!("{PATH}/departments"), json!({"name": "A"})).await.id();
    let below = json!({"name": "B", "parent_id": top});
    let below = api.post(format!("{PATH}/departments"), below).await.id();
    for name in ["anna", "bert", "carl"] {
        let body = json!({"local_part": name, "password": PASSWORD, "department_id": below});
        api.post(format!("{PATH}/users"), body).await.is(StatusCode::CREATED);
    }
    for number in 0..120 {
        let target = if number == 0 { "anna@example.com" } else { "x@elsewhere.example" };
        let body = json!({"local_part": format!("a{number}"), "targets": [target]});
        api.post(format!("{PATH}/aliases"), body).await.is(StatusCode::CREATED);
    }
    for number in 0..103 {
        let department = (number > 0).then_some(&below);
        let body = json!({"local_part": format!("g{number}"), "department_id": department});
        let group = api.post(format!("{PATH}/groups"), body).await.is(StatusCode::CREATED).id();
        for member in ["anna@example.com", "guest@example.org", "x@elsewhere.example"] {
            if number < 2 {
                let path = format!("/v1/groups/{group}/members/{member}");
                api.put(path, json!(null)).await.is(StatusCode::OK);
            }
        }
    }
    // One of somebody else's, which loses a member.
    let group = json!({"local_part": "friends"});
    api.post("/v1/domains/example.org/groups", group).await.is(StatusCode::CREATED);
    for member in ["anna@example.com", "guest@example.org"] {
        let path = format!("/v1/groups/friends@example.org/members/{member}");
        api.put(path, json!(null)).await.is(StatusCode::OK);
    }
}

#[tokio::test]
async fn a_domain_is_purged_with_all_in_it_once_every_node_has_answered() {
    let api = start().await;
    let limits = json!({"users": 100, "aliases": 1000, "groups": 1000, "departments": 100});
    api.patch("/v1/allowance", limits).await.is(StatusCode::OK);
    let first = api.storage_node("storage-1").await;
    let second = api.storage_node("storage-2").await;
    api.domain("example.org").await;
    let guest = api.user("guest@example.org").await;
    fill(&api).await;
    let id = api.get(PATH).await.id();
    let also = json!({"name": "example.net"});
    api.post(format!("{PATH}/domain_aliases"), also).await.is(StatusCode::CREATED);
    let body = json!({"role": "domain_admin", "domain_id": id});
    api.post(format!("/v1/users/{guest}/role_assignments"), body).await.is(StatusCode::CREATED);
    api.delete("/v1/users/carl@example.com").await.is(StatusCode::NO_CONTENT);
    api.delete(PATH).await.is(StatusCode::NO_CONTENT);
    api.post(format!("{PATH}/purge"), json!(null)).await.is(StatusCode::ACCEPTED);
    carry_on(&api).await;
    let open = asked(&api, &first).await.len() + asked(&api, &second).await.len();
    assert_eq!(open, 3);
    answer(&api, &first, ActionOutcome::Done).await;
    carry_on(&api).await;
    // One node is away: what it holds is there still, and the name is taken.
    let left = asked(&api, &second).await.len();
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM account JOIN domain ON domain.id = domain_id WHERE name = 'example.com'")
        .fetch_one(api.state.pool())
        .await
        .unwrap();
    assert_eq!(users, i64::try_from(left).unwrap());
    assert!(left > 0);
    let (new, also) = (json!({"name": "example.com"}), json!({"name": "example.net"}));
    for taken in [&new, &also] {
        api.post("/v1/domains", taken.clone()).await.is_problem(StatusCode::CONFLICT);
    }
    assert_eq!(drift(&api).await, Vec::<String>::new());

    answer(&api, &second, ActionOutcome::Done).await;
    carry_on(&api).await;
    for table in ["department", "alias", "domain_alias", "role_assignment", "mailbox_removal"] {
        assert_eq!(rows(&api, table).await, 0, "{table}");
    }
    let friends = api.get("/v1/groups/friends@example.org/members").await;
    assert_eq!(friends.items("address"), ["guest@example.org"]);
    assert_eq!((rows(&api, "mail_group").await, rows(&api, "group_member").await), (1, 1));
    api.post("/v1/domains/example.org/domain_aliases", also).await.is(StatusCode::CREATED);
    assert_ne!(api.post("/v1/domains", new).await.is(StatusCode::CREATED).id(), id);
    assert_eq!(drift(&api).await, Vec::<String>::new());
    assert_eq!(seat_drift(&api).await, Vec::<String>::new());
    let system = api.get("/v1/allowance").await.body;
    let allocated = &system["allocated"];
    for (kind, count) in [("users", 1), ("aliases", 0), ("groups", 1), ("departments", 0)] {
        assert_eq!(allocated[kind], count, "{system:#}");
    }
    // The nodes are told of every row that is gone.
    let told = "(SELECT DISTINCT key FROM change WHERE entity IN (1, 2, 3, 6, 7, 9)
        AND key NOT IN (SELECT id FROM domain UNION SELECT id FROM account
                        UNION SELECT id FROM mail_group
                        UNION SELECT id FROM domain_alias)) AS gone";
    assert_eq!(rows(&api, told).await, 1 + 1 + 3 + 120 + 103 + 2);
}
