//! `/v1/role_assignments`, and those of users and domains

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use umail_api::{context::State, http, model::operator::OperatorRole, sealer::Sealer};
use umail_tests::api::{Answer, Api, PASSWORD};

/// Two domains; in the first, departments A with B inside, and C beside.
struct Fleet {
    api: Api,
    com: String,
    org: String,
    a: String,
    b: String,
    c: String,
}

impl Fleet {
    async fn start() -> Self {
        let api = Api::start().await;
        api.domain("example.com").await;
        api.domain("example.org").await;
        let id = async |name: &str| api.get(format!("/v1/domains/{name}")).await.id();
        let (com, org) = (id("example.com").await, id("example.org").await);
        let add = async |name: &str, parent: Option<&str>| {
            let body = json!({"name": name, "parent_id": parent});
            api.post("/v1/domains/example.com/departments", body).await.id()
        };
        let a = add("A", None).await;
        let (b, c) = (add("B", Some(&a)).await, add("C", None).await);
        Self { api, com, org, a, b, c }
    }

    async fn appoint(&self, by: &str, user: &str, body: Value) -> Answer {
        let ask = self.api.ask(Method::POST, path(user)).by(by).json(body);
        ask.send().await
    }

    async fn remove(&self, by: &str, id: &str) -> Answer {
        let ask = self.api.ask(Method::DELETE, format!("/v1/role_assignments/{id}")).by(by);
        ask.send().await
    }

    /// A user in a department.
    async fn user(&self, address: &str, department: &str) {
        self.api.user(address).await;
        let body = json!({"department_id": department});
        self.api.patch(format!("/v1/users/{address}"), body).await.is(StatusCode::OK);
    }

    async fn reset(&self, by: &str, user: &str) -> Answer {
        let ask = self.api.ask(Method::PUT, format!("/v1/users/{user}/password")).by(by);
        ask.json(json!({"new_password": PASSWORD})).send().await
    }
}

fn path(user: &str) -> String {
    format!("/v1/users/{user}/role_assignments")
}

#[tokio::test]
async fn create_role_assignment_appoints_and_delete_removes() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    let anna = api.user("anna@example.com").await;
    let body = json!({"role": "department_admin", "department_id": fleet.a});
    let new = api.post(path("anna@example.com"), body.clone()).await.is(StatusCode::CREATED);
    assert_eq!(new.body["user_id"], anna);
    assert_eq!(new.body["user_address"], "anna@example.com");
    assert_eq!(new.body["role"], "department_admin");
    assert_eq!(new.body["domain_id"], fleet.com);
    assert_eq!(new.body["department_id"], fleet.a);
    let again = api.post(path("anna@example.com"), body).await;
    again.is_problem(StatusCode::CONFLICT);
    // Several scopes, also in a domain that is not the user's own.
    let body = json!({"role": "domain_admin", "domain_id": fleet.org});
    let other = api.post(path(&anna), body).await.is(StatusCode::CREATED);
    assert_eq!(other.body["role"], "domain_admin");
    assert!(other.body["department_id"].is_null());
    let of_user = api.get(path(&anna)).await.is(StatusCode::OK);
    assert_eq!(of_user.items("id"), [new.id(), other.id()]);
    for (domain, id) in [("example.com", new.id()), ("example.org", other.id())] {
        let list = api.get(format!("/v1/domains/{domain}/role_assignments")).await;
        assert_eq!(list.is(StatusCode::OK).items("id"), [id]);
    }
    let one = format!("/v1/role_assignments/{}", new.id());
    assert_eq!(api.get(&one).await.is(StatusCode::OK).body, new.body);
    let token = api.sign_in("anna@example.com").await;
    let me = api.ask(Method::GET, "/v1/me").by(&token).send().await.body;
    let roles: Vec<_> = me["roles"].as_array().unwrap().iter().map(|one| &one["role"]).collect();
    assert_eq!(roles, ["department_admin", "domain_admin"]);
    api.delete(&one).await.is(StatusCode::NO_CONTENT);
    api.delete(&one).await.is_problem(StatusCode::NOT_FOUND);
    api.get(&one).await.is_problem(StatusCode::NOT_FOUND);
    let events: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM audit_event WHERE resource = 'role assignment' ORDER BY id",
    )
    .fetch_all(api.state.pool())
    .await
    .unwrap();
    assert_eq!(events, ["create", "create", "delete"]);
}

#[tokio::test]
async fn create_role_assignment_refuses_fields_that_break_their_rules() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    api.user("anna@example.com").await;
    let nowhere = "01936d5e-0000-7000-8000-000000000000";
    for (body, field) in [
        (json!({"role": "department_admin"}), "/department_id"),
        (json!({"role": "domain_admin", "department_id": fleet.a}), "/department_id"),
        (json!({"role": "department_admin", "department_id": nowhere}), "/department_id"),
        (json!({"role": "department_admin", "department_id": "A"}), "/department_id"),
        // A department of another domain.
        (
            json!({"role": "department_admin", "domain_id": fleet.org, "department_id": fleet.a}),
            "/department_id",
        ),
        (json!({"role": "domain_admin", "domain_id": nowhere}), "/domain_id"),
        (json!({"role": "domain_admin", "domain_id": null}), "/domain_id"),
        (json!({"role": "system_admin"}), "/role"),
        (json!({"role": "user"}), "/role"),
    ] {
        let answer = api.post(path("anna@example.com"), body.clone()).await;
        let pointers: Vec<_> = answer.body["errors"].as_array().unwrap().iter().collect();
        assert_eq!(pointers[0]["pointer"], field, "{body}");
    }
    let more = json!({"role": "domain_admin", "user_id": nowhere});
    api.post(path("anna@example.com"), more).await.is_problem(StatusCode::UNPROCESSABLE_ENTITY);
    let nobody = api.post(path("none@example.com"), json!({"role": "domain_admin"})).await;
    nobody.is_problem(StatusCode::NOT_FOUND);
    assert!(api.get(path("anna@example.com")).await.items("id").is_empty());
}

#[tokio::test]
async fn who_appoints_outranks_what_is_granted() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let everywhere = api.sign_in("super").await;
    let domain = api.domain_admin("admin@example.com").await;
    fleet.user("head@example.com", &fleet.a).await;
    api.assign("head@example.com", "department_admin", Some(&fleet.a)).await;
    let head = api.sign_in("head@example.com").await;
    let foreign = api.domain_admin("admin@example.org").await;
    fleet.user("anna@example.com", &fleet.b).await;
    let anna = api.sign_in("anna@example.com").await;
    let of_domain = json!({"role": "domain_admin"});
    let of_a = json!({"role": "department_admin", "department_id": fleet.a});
    let of_b = json!({"role": "department_admin", "department_id": fleet.b});
    let of_org = json!({"role": "domain_admin", "domain_id": fleet.org});
    let nowhere = "01936d5e-0000-7000-8000-000000000000";
    let of_none = json!({"role": "domain_admin", "domain_id": nowhere});
    let (created, refused, hidden) =
        (StatusCode::CREATED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND);
    for (case, by, body, status) in [
        ("a user", &anna, &of_domain, refused),
        ("a user", &anna, &of_b, refused),
        ("a department admin", &head, &of_b, refused),
        ("a department admin", &head, &of_domain, refused),
        ("a stranger", &foreign, &of_domain, hidden),
        ("a stranger", &foreign, &of_org, hidden),
        ("a domain admin", &domain, &of_domain, refused),
        // A domain that is foreign and one that is not there look alike.
        ("a domain admin", &domain, &of_org, refused),
        ("a domain admin", &domain, &of_none, refused),
        ("a domain admin", &domain, &of_a, created),
        ("a super domain admin", &everywhere, &of_org, created),
        // Now she administers a domain elsewhere: her own domain's admin no longer reaches her.
        ("a domain admin", &domain, &of_b, refused),
        ("a super domain admin", &everywhere, &of_domain, created),
    ] {
        let answer = fleet.appoint(by, "anna@example.com", body.clone()).await;
        assert_eq!(answer.status, status, "{case} {body} {:#}", answer.body);
    }
    // Nobody appoints an equal, nor oneself.
    for who in ["admin@example.com", "anna@example.com"] {
        fleet.appoint(&domain, who, of_b.clone()).await.is_problem(refused);
    }
    let mut texts = Vec::new();
    for body in [of_org, of_none] {
        texts.push(fleet.appoint(&domain, "head@example.com", body).await.body["detail"].clone());
    }
    assert_eq!(texts[0], texts[1]);
}

#[tokio::test]
async fn who_removes_outranks_the_user_in_that_domain() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    let domain = api.domain_admin("admin@example.com").await;
    let foreign = api.domain_admin("admin@example.org").await;
    fleet.user("head@example.com", &fleet.a).await;
    let of_head = api.assign("head@example.com", "department_admin", Some(&fleet.a)).await;
    let head = api.sign_in("head@example.com").await;
    // A user of the other domain, and administrator there, who administers a department here.
    let body =
        json!({"role": "department_admin", "domain_id": fleet.com, "department_id": fleet.c});
    let guest = api.post(path("admin@example.org"), body).await.is(StatusCode::CREATED).id();
    let peer = api.user("peer@example.com").await;
    let of_peer = api.assign("peer@example.com", "domain_admin", None).await;
    let both = api.assign("peer@example.com", "department_admin", Some(&fleet.a)).await;
    let (done, refused, hidden) =
        (StatusCode::NO_CONTENT, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND);
    for (case, by, id, status) in [
        ("oneself", &head, &of_head, refused),
        ("a department admin, a superior", &head, &of_peer, hidden),
        ("a stranger", &foreign, &of_head, hidden),
        ("a stranger, oneself", &foreign, &guest, refused),
        ("a peer", &domain, &of_peer, refused),
        ("a peer's lesser role", &domain, &both, refused),
        ("a guest", &domain, &guest, done),
        ("a guest, again", &domain, &guest, hidden),
        ("a lower one", &domain, &of_head, done),
    ] {
        let answer = fleet.remove(by, id).await;
        assert_eq!(answer.status, status, "{case} {:#}", answer.body);
    }
    assert_eq!(api.get(path(&peer)).await.items("id"), [of_peer, both]);
}

#[tokio::test]
async fn a_role_anywhere_counts_against_who_does_not_outrank_it_there() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    let domain = api.domain_admin("admin@example.com").await;
    fleet.user("head@example.com", &fleet.a).await;
    api.assign("head@example.com", "department_admin", Some(&fleet.a)).await;
    let head = api.sign_in("head@example.com").await;
    fleet.user("anna@example.com", &fleet.a).await;
    let ok = StatusCode::NO_CONTENT;
    for by in [&domain, &head] {
        fleet.reset(by, "anna@example.com").await.is(ok);
    }
    let org = api.post("/v1/domains/example.org/departments", json!({"name": "X"})).await.id();
    let body = json!({"role": "department_admin", "domain_id": fleet.org, "department_id": org});
    let of_org = api.post(path("anna@example.com"), body).await.is(StatusCode::CREATED).id();
    let forbidden = StatusCode::FORBIDDEN;
    for by in [&domain, &head] {
        fleet.reset(by, "anna@example.com").await.is_problem(forbidden);
        let ask = api.ask(Method::POST, "/v1/users/anna@example.com/app_passwords").by(by);
        ask.json(json!({"label": "x"})).send().await.is_problem(forbidden);
        let ask = api.ask(Method::DELETE, "/v1/users/anna@example.com").by(by);
        ask.header("if-match", "*").send().await.is_problem(forbidden);
    }
    // What the own domain's administrators see of it: nothing.
    let list = api.ask(Method::GET, path("anna@example.com")).by(&domain).send().await;
    assert!(list.is(StatusCode::OK).items("id").is_empty());
    let one = api.ask(Method::GET, format!("/v1/role_assignments/{of_org}")).by(&domain);
    one.send().await.is_problem(StatusCode::NOT_FOUND);
    // Who administers both domains outranks her again.
    let body = json!({"role": "domain_admin", "domain_id": fleet.org});
    api.post(path("admin@example.com"), body).await.is(StatusCode::CREATED);
    fleet.reset(&domain, "anna@example.com").await.is(ok);
    fleet.reset(&head, "anna@example.com").await.is_problem(forbidden);
}

#[tokio::test]
async fn lists_show_what_is_in_scope_page_by_page() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    let mut of_domain = Vec::new();
    for index in 0..3 {
        let name = format!("u{index}@example.com");
        api.user(&name).await;
        of_domain.push(api.assign(&name, "department_admin", Some(&fleet.b)).await);
    }
    let domain = api.domain_admin("admin@example.com").await;
    let top = api.get("/v1/domains/example.com/role_assignments").await.items("id");
    assert_eq!(top[..3], of_domain);
    assert_eq!(top.len(), 4);
    let head = api.department_admin("head@example.com", &fleet.a).await;
    let stranger = api.domain_admin("admin@example.org").await;
    let list = |by: &str, query: &str| {
        let path = format!("/v1/domains/example.com/role_assignments{query}");
        api.ask(Method::GET, path).by(by).send()
    };
    assert_eq!(list(&domain, "").await.items("id").len(), 5);
    // Who administers a department sees those of its subtree: not the domain's.
    assert_eq!(list(&head, "").await.items("id").len(), 4);
    let of_b = format!("?department_id={}", fleet.b);
    assert_eq!(list(&head, &of_b).await.items("id"), of_domain);
    assert_eq!(list(&domain, &of_b).await.items("id"), of_domain);
    let of_c = format!("?department_id={}", fleet.c);
    assert!(list(&head, &of_c).await.items("id").is_empty());
    list(&stranger, "").await.is_problem(StatusCode::NOT_FOUND);
    let first = list(&domain, "?page_size=2").await.is(StatusCode::OK);
    assert_eq!(first.items("id"), of_domain[..2]);
    let token = first.body["next_page_token"].as_str().unwrap();
    let second = list(&domain, &format!("?page_size=2&page_token={token}")).await;
    assert_eq!(second.items("id")[0], of_domain[2]);
}

#[tokio::test]
async fn roles_go_with_their_department_and_rest_with_their_domain() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    api.user("anna@example.com").await;
    let of_c = api.assign("anna@example.com", "department_admin", Some(&fleet.c)).await;
    let body = json!({"role": "domain_admin", "domain_id": fleet.org});
    let of_org = api.post(path("anna@example.com"), body).await.is(StatusCode::CREATED).id();
    let anna = api.sign_in("anna@example.com").await;
    api.delete(format!("/v1/departments/{}", fleet.c)).await.is(StatusCode::NO_CONTENT);
    api.get(format!("/v1/role_assignments/{of_c}")).await.is_problem(StatusCode::NOT_FOUND);
    let event: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit_event
          WHERE resource = 'role assignment' AND action = 'delete' AND resource_id = $1",
    )
    .bind(of_c.parse::<uuid::Uuid>().unwrap())
    .fetch_one(api.state.pool())
    .await
    .unwrap();
    assert_eq!(event, 1);
    let look = || api.ask(Method::GET, "/v1/domains/example.org/users").by(&anna).send();
    look().await.is(StatusCode::OK);
    let status = |status: &str| api.patch("/v1/domains/example.org", json!({"status": status}));
    for (word, changed) in
        [("maintenance", true), ("suspended", false), ("active", true), ("closed", false)]
    {
        status(word).await.is(StatusCode::OK);
        look().await.is(StatusCode::OK);
        let body = json!({"local_part": word, "password": PASSWORD});
        let new = api.ask(Method::POST, "/v1/domains/example.org/users").by(&anna).json(body);
        let new = new.send().await;
        assert_eq!(new.status == StatusCode::CREATED, changed, "{word} {}", new.body);
    }
    api.delete("/v1/domains/example.org").await.is(StatusCode::NO_CONTENT);
    look().await.is_problem(StatusCode::NOT_FOUND);
    api.get(format!("/v1/role_assignments/{of_org}")).await.is_problem(StatusCode::NOT_FOUND);
    assert!(api.get(path("anna@example.com")).await.items("id").is_empty());
    let me = api.ask(Method::GET, "/v1/me").by(&anna).send().await.is(StatusCode::OK);
    assert_eq!(me.body["roles"], json!([]));
}

#[tokio::test]
async fn deleted_users_administer_nothing() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    let anna = api.domain_admin("anna@example.com").await;
    let of_anna = api.get(path("anna@example.com")).await.items("id");
    api.delete("/v1/users/anna@example.com").await.is(StatusCode::NO_CONTENT);
    let list = api.get("/v1/domains/example.com/role_assignments").await;
    assert!(list.is(StatusCode::OK).items("id").is_empty());
    api.get(format!("/v1/role_assignments/{}", of_anna[0])).await.is_problem(StatusCode::NOT_FOUND);
    let gone = api.ask(Method::GET, "/v1/domains/example.com/users").by(&anna).send().await;
    gone.is_problem(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_alias_is_out_of_reach_of_who_does_not_outrank_its_user() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    let domain = api.domain_admin("admin@example.com").await;
    api.domain_admin("peer@example.com").await;
    api.user("anna@example.com").await;
    let add = |local_part: &str, target: &str| {
        let body = json!({"local_part": local_part, "targets": [target]});
        api.ask(Method::POST, "/v1/domains/example.com/aliases").by(&domain).json(body).send()
    };
    let change = |id: &str, target: &str| {
        let ask = api.ask(Method::PATCH, format!("/v1/aliases/{id}")).by(&domain);
        ask.header("if-match", "*").json(json!({"targets": [target]})).send()
    };
    let refused = StatusCode::FORBIDDEN;
    let own = add("own", "admin@example.com").await.is(StatusCode::CREATED).id();
    let annas = add("annas", "anna@example.com").await.is(StatusCode::CREATED).id();
    add("peers", "peer@example.com").await.is_problem(refused);
    let body = json!({"local_part": "peers", "targets": ["peer@example.com"]});
    let peers = api.post("/v1/domains/example.com/aliases", body).await.id();
    // Neither end: not away from the peer, not to the peer.
    change(&peers, "admin@example.com").await.is_problem(refused);
    change(&annas, "peer@example.com").await.is_problem(refused);
    let gone = api.ask(Method::DELETE, format!("/v1/aliases/{peers}")).by(&domain);
    gone.header("if-match", "*").send().await.is_problem(refused);
    change(&annas, "admin@example.com").await.is(StatusCode::OK);
    change(&own, "anna@example.com").await.is(StatusCode::OK);
    let peers = api.get(format!("/v1/aliases/{peers}")).await;
    assert_eq!(peers.body["targets"], json!(["peer@example.com"]));
}

#[tokio::test]
async fn a_demotion_is_effective_within_a_second_on_every_instance() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    let anna = api.domain_admin("anna@example.com").await;
    let id = api.get(path("anna@example.com")).await.items("id").remove(0);
    // Another instance on the same database, with a connection that stays open.
    let sealer = Sealer::new(&[7; 32]).unwrap();
    let clock = api.state.clock().clone();
    let state = State::new(api.state.pool().clone(), clock, sealer).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/domains/example.com/users", listener.local_addr().unwrap());
    let tasks = TaskTracker::new();
    let other = tasks.spawn(async move { axum::serve(listener, http::router(state)).await });
    let client = reqwest::Client::new();
    let elsewhere = || async { client.get(&url).bearer_auth(&anna).send().await.unwrap().status() };
    let here = || api.ask(Method::GET, "/v1/domains/example.com/users").by(&anna).send();
    assert_eq!(elsewhere().await, StatusCode::OK);
    here().await.is(StatusCode::OK);
    api.delete(format!("/v1/role_assignments/{id}")).await.is(StatusCode::NO_CONTENT);
    let removed = Instant::now();
    here().await.is_problem(StatusCode::NOT_FOUND);
    while elsewhere().await != StatusCode::NOT_FOUND {
        assert!(removed.elapsed() < Duration::from_secs(1), "the other instance still knows");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // And so is an appointment.
    api.assign("anna@example.com", "domain_admin", None).await;
    here().await.is(StatusCode::OK);
    other.abort();
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_roles() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    api.user("anna@example.com").await;
    let mut owner = api.owner().await;
    sqlx::raw_sql(
        "INSERT INTO department (id, domain_id, name, functions, created_at, updated_at)
         SELECT gen_random_uuid(), domain.id, 'd' || n, 0, now(), now()
           FROM domain, generate_series(1, 100) AS n WHERE domain.name = 'example.com';
         INSERT INTO role_assignment (id, account_id, role, domain_id, department_id, created_at)
         SELECT gen_random_uuid(), account.id, 'department_admin', department.domain_id,
                department.id, now()
           FROM account, department WHERE department.name LIKE 'd%'",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    let one_more = api.post(path("anna@example.com"), json!({"role": "domain_admin"})).await;
    one_more.is_problem(StatusCode::CONFLICT);
}

#[tokio::test]
async fn racing_appointments_make_one_role_and_leave_none_behind() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    api.user("anna@example.com").await;
    let body = json!({"role": "department_admin", "department_id": fleet.c});
    let appoint = || api.post(path("anna@example.com"), body.clone());
    let (one, two, three) = tokio::join!(appoint(), appoint(), appoint());
    let mut statuses = [one.status.as_u16(), two.status.as_u16(), three.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409]);
    let id = api.get(path("anna@example.com")).await.items("id").remove(0);
    api.delete(format!("/v1/role_assignments/{id}")).await.is(StatusCode::NO_CONTENT);
    // A department that goes at the same time takes the role with it, or the role is refused.
    let (new, gone) = tokio::join!(appoint(), api.delete(format!("/v1/departments/{}", fleet.c)));
    gone.is(StatusCode::NO_CONTENT);
    assert!([201, 422].contains(&new.status.as_u16()), "{:#}", new.body);
    assert!(api.get(path("anna@example.com")).await.items("id").is_empty());
    // The same request again is the same answer.
    let body = json!({"role": "department_admin", "department_id": fleet.b});
    let keyed = || {
        let ask = api.ask(Method::POST, path("anna@example.com")).header("idempotency-key", "k");
        ask.json(body.clone()).send()
    };
    let (first, second) = (keyed().await, keyed().await);
    assert_eq!(first.is(StatusCode::CREATED).body, second.is(StatusCode::CREATED).body);
}

#[tokio::test]
async fn appointments_count_as_changes_of_the_user() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    api.user("anna@example.com").await;
    let user = "/v1/users/anna@example.com";
    let body = json!({"role": "department_admin", "department_id": fleet.a});
    let role = api.post(path("anna@example.com"), body.clone()).await.is(StatusCode::CREATED).id();
    assert_eq!(api.get(user).await.etag(), "\"2\"");
    let stale = api.ask(Method::PATCH, user).header("if-match", "\"1\"");
    let stale = stale.json(json!({"display_name": "Anna"})).send().await;
    stale.is_problem(StatusCode::PRECONDITION_FAILED);
    api.delete(format!("/v1/role_assignments/{role}")).await.is(StatusCode::NO_CONTENT);
    assert_eq!(api.get(user).await.etag(), "\"3\"");
    // By whoever administers the domain, and with the department that goes.
    let admin = api.domain_admin("admin@example.com").await;
    fleet.appoint(&admin, "anna@example.com", body).await.is(StatusCode::CREATED);
    assert_eq!(api.get(user).await.etag(), "\"4\"");
    for id in [&fleet.b, &fleet.a] {
        let ask = api.ask(Method::DELETE, format!("/v1/departments/{id}")).by(&admin);
        ask.header("if-match", "*").send().await.is(StatusCode::NO_CONTENT);
    }
    assert_eq!(api.get(user).await.etag(), "\"5\"");
}

#[tokio::test]
async fn who_is_appointed_meanwhile_is_no_longer_changed_from_below() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    let head = api.department_admin("head@example.com", &fleet.a).await;
    fleet.user("anna@example.com", &fleet.a).await;
    // The appointment has locked the user, and waits; the change has seen the user before.
    let mut gate = api.owner().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE role_assignment IN SHARE MODE")
        .execute(&mut gate)
        .await
        .unwrap();
    let appoint =
        async { fleet.api.post(path("anna@example.com"), json!({"role": "domain_admin"})).await };
    let change = async {
        until_waiting(api, 1).await;
        let ask = api.ask(Method::PATCH, "/v1/users/anna@example.com").by(&head);
        ask.header("if-match", "*").json(json!({"status": "locked"})).send().await
    };
    let open = async {
        until_waiting(api, 2).await;
        sqlx::raw_sql("COMMIT").execute(&mut gate).await.unwrap();
    };
    let (appointed, changed, ()) = tokio::join!(appoint, change, open);
    appointed.is(StatusCode::CREATED);
    changed.is_problem(StatusCode::FORBIDDEN);
    let user = api.get("/v1/users/anna@example.com").await.body;
    assert_eq!(user["status"], "active");
}

/// Waits until so many connections to the database of the test wait for a lock.
async fn until_waiting(api: &Api, wanted: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        // The statistics of others are shown to the owner only.
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut api.owner().await).await.unwrap();
        if waiting >= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
