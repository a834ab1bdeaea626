//! The golden matrix: every route × every role × where the thing is, as the server answers.
//!
//! The home domain has departments `top` > `own` > `below`, and `beside` below `top`. The
//! domain administrator is one of the home domain, the department administrator of `own`, and
//! both are so of a domain that is suspended, and of one that was deleted. Marks: `+` allowed (whatever else is wrong with the
//! request), `-` refused, `.` does not exist for the caller, `!` nobody is signed in.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fmt::Write};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::{authz::Role, model::operator::OperatorRole};
use umail_tests::api::{Api, PASSWORD};

use crate::contract::{OWN, Operation, PUBLIC, operations};

const HOME: &str = "home.example";
const AWAY: &str = "away.example";
/// An id that nothing has.
const NOTHING: &str = "01936d5e-0000-7000-8000-000000000000";
/// What may end the session of whoever asks.
const ENDS_SESSIONS: [&str; 2] = ["delete_my_sessions", "delete_user_sessions"];
const RESTING: &str = "resting.example";
const GONE: &str = "gone.example";
/// Where a thing is, as seen by the administrators: the last three are users of `own` who are
/// administrators themselves: of the home domain, and of a department of another domain.
const RELATIONS: [&str; 10] = [
    "self",
    "own",
    "child",
    "sibling",
    "parent",
    "foreign",
    "suspended",
    "deleted",
    "peer",
    "elsewhere",
];
const CALLERS: [&str; 6] =
    ["system_admin", "super_domain_admin", "domain_admin", "department_admin", "user", "nobody"];

/// Everything there is, by relation: `self` aside.
struct World {
    api: Api,
    tokens: BTreeMap<&'static str, String>,
    departments: BTreeMap<&'static str, String>,
    aliases: BTreeMap<&'static str, String>,
    groups: BTreeMap<&'static str, String>,
    roles: BTreeMap<&'static str, String>,
    made: std::cell::Cell<u32>,
}

/// The domain of a relation.
fn domain(relation: &str) -> &'static str {
    match relation {
        "foreign" => AWAY,
        "suspended" => RESTING,
        "deleted" => GONE,
        _ => HOME,
    }
}

impl World {
    async fn start() -> Self {
        let api = Api::start().await;
        for name in [HOME, AWAY, RESTING, GONE] {
            api.domain(name).await;
            let body = json!({"name": format!("also-{name}")});
            let path = format!("/v1/domains/{name}/domain_aliases");
            api.post(path, body).await.is(StatusCode::CREATED);
        }
        let mut world = Self {
            api,
            tokens: BTreeMap::new(),
            departments: BTreeMap::new(),
            aliases: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: BTreeMap::new(),
            made: std::cell::Cell::new(0),
        };
        for (relation, parent) in [
            ("parent", None),
            ("own", Some("parent")),
            ("child", Some("own")),
            ("sibling", Some("parent")),
            ("foreign", None),
            ("suspended", None),
            ("deleted", None),
        ] {
            let parent = parent.map(|parent| world.departments[parent].clone());
            let body = json!({"name": relation, "parent_id": parent});
            let path = format!("/v1/domains/{}/departments", domain(relation));
            let id = world.api.post(path, body).await.is(StatusCode::CREATED).id();
            world.departments.insert(relation, id);
        }
        world.people().await;
        world.callers().await;
        world.api.storage_node("node-1").await;
        let status = json!({"status": "suspended"});
        world.api.patch(format!("/v1/domains/{RESTING}"), status).await.is(StatusCode::OK);
        world.api.delete(format!("/v1/domains/{GONE}")).await.is(StatusCode::NO_CONTENT);
        world
    }

    /// A user in each place, with an alias and a role there, and a group where there is a department.
    async fn people(&mut self) {
        for relation in &RELATIONS[1..] {
            let (domain, address) = (domain(relation), address(relation));
            let department =
                self.departments.get(relation).unwrap_or_else(|| &self.departments["own"]);
            let body = json!({
                "local_part": relation, "password": PASSWORD, "department_id": department,
            });
            let path = format!("/v1/domains/{domain}/users");
            self.api.post(path, body).await.is(StatusCode::CREATED);
            let body = json!({"local_part": format!("a-{relation}"), "targets": [address]});
            let path = format!("/v1/domains/{domain}/aliases");
            let id = self.api.post(path, body).await.is(StatusCode::CREATED).id();
            self.aliases.insert(relation, id);
            if let Some(department) = self.departments.get(relation) {
                let body =
                    json!({"local_part": format!("g-{relation}"), "department_id": department});
                let path = format!("/v1/domains/{domain}/groups");
                let id = self.api.post(path, body).await.is(StatusCode::CREATED).id();
                self.groups.insert(relation, id);
            }
        }
        self.api.assign(&address("peer"), "domain_admin", None).await;
        let away = self.api.get(format!("/v1/domains/{AWAY}")).await.id();
        let body = json!({
            "role": "department_admin",
            "domain_id": away,
            "department_id": self.departments["foreign"],
        });
        let path = format!("/v1/users/{}/role_assignments", address("elsewhere"));
        self.api.post(path, body).await.is(StatusCode::CREATED);
        for relation in &RELATIONS[1..8] {
            self.appoint(relation).await;
        }
    }

    /// Makes a new user administrator of the department; the users above stay without a role.
    async fn appoint(&mut self, relation: &'static str) {
        let user = format!("head-{}@{}", self.next(), domain(relation));
        self.api.user(&user).await;
        let department = self.departments[relation].clone();
        let id = self.api.assign(&user, "department_admin", Some(&department)).await;
        self.roles.insert(relation, id);
    }

    async fn callers(&mut self) {
        self.api.operator("admin", OperatorRole::SystemAdmin).await;
        self.api.operator("super", OperatorRole::SuperDomainAdmin).await;
        let own = self.departments["own"].clone();
        for caller in ["domain_admin", "department_admin", "user"] {
            let address = format!("{caller}@{HOME}");
            let user = self.api.user(&address).await;
            let body = json!({"department_id": own});
            self.api.patch(format!("/v1/users/{user}"), body).await.is(StatusCode::OK);
            let department = (caller == "department_admin").then_some(own.as_str());
            if caller != "user" {
                self.api.assign(&address, caller, department).await;
                for relation in ["suspended", "deleted"] {
                    let id = self.api.get(format!("/v1/domains/{}", domain(relation))).await.id();
                    let department = department.map(|_| &self.departments[relation]);
                    let body =
                        json!({"role": caller, "domain_id": id, "department_id": department});
                    let path = format!("/v1/users/{user}/role_assignments");
                    self.api.post(path, body).await.is(StatusCode::CREATED);
                }
            }
        }
        for caller in &CALLERS[..5] {
            self.sign_in(caller).await;
        }
    }

    async fn sign_in(&mut self, caller: &'static str) {
        let name = match caller {
            "system_admin" => "admin".to_owned(),
            "super_domain_admin" => "super".to_owned(),
            _ => format!("{caller}@{HOME}"),
        };
        let token = self.api.sign_in(&name).await;
        self.tokens.insert(caller, token);
    }

    fn next(&self) -> u32 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    /// How the server answers this caller, in one mark; nothing where there is no such thing.
    async fn mark(&mut self, case: &Case, caller: &'static str, relation: &'static str) -> char {
        let Some(path) = self.path(&case.operation, caller, relation).await else { return ' ' };
        let ask = self.api.ask(case.operation.method.clone(), path).anonymous();
        // A revision that nothing has: what is allowed is not done.
        let ask = ask.header("if-match", "\"999\"");
        let ask = match self.tokens.get(caller) {
            Some(token) => ask.by(token),
            None => ask,
        };
        let ask = match &case.body {
            Some(body) => ask.json(self.filled(body, relation)),
            None => ask,
        };
        let answer = ask.send().await;
        assert!(!answer.status.is_server_error(), "{}: {:#}", case.operation.id(), answer.body);
        // Roles are what the next answers depend on.
        if answer.status.is_success() && case.operation.id() == "delete_role_assignment" {
            self.appoint(relation).await;
        }
        if answer.status.is_success() && case.operation.id() == "create_role_assignment" {
            let path = format!("/v1/role_assignments/{}", answer.id());
            self.api.delete(path).await.is(StatusCode::NO_CONTENT);
        }
        if answer.status.is_success() && case.operation.id() == "delete_domain_alias" {
            let home = domain(relation);
            let body = json!({"name": format!("also-{home}")});
            let path = format!("/v1/domains/{home}/domain_aliases");
            self.api.post(path, body).await.is(StatusCode::CREATED);
        }
        // So are sessions.
        if answer.status.is_success() && ENDS_SESSIONS.contains(&case.operation.id()) {
            for caller in &CALLERS[..5] {
                self.sign_in(caller).await;
            }
        }
        match answer.status {
            StatusCode::UNAUTHORIZED => '!',
            StatusCode::FORBIDDEN => '-',
            // What belongs to the system is no secret: it is a thing that is not there.
            StatusCode::NOT_FOUND if !case.is_of_the_system() => '.',
            _ => '+',
        }
    }

    /// The path to the thing that stands in this relation.
    async fn path(&self, operation: &Operation, caller: &str, relation: &str) -> Option<String> {
        let path = &operation.path;
        let user = match relation {
            "self" if ["domain_admin", "department_admin", "user"].contains(&caller) => {
                format!("{caller}@{HOME}")
            }
            "self" => return None,
            _ => address(relation),
        };
        let id = if path.starts_with("/v1/departments/") {
            self.departments.get(relation)?.clone()
        } else if path.starts_with("/v1/aliases/") {
            self.aliases.get(relation)?.clone()
        } else if path.starts_with("/v1/role_assignments/") {
            self.roles.get(relation)?.clone()
        } else if path.ends_with("/app_passwords/{id}") && relation != "deleted" {
            let body = json!({"label": "x"});
            self.api.post(format!("/v1/users/{user}/app_passwords"), body).await.id()
        } else if path == "/v1/users/{user}/sessions/{id}" && relation != "deleted" {
            self.session(&user).await
        } else {
            NOTHING.to_owned()
        };
        let group = if path.starts_with("/v1/groups/") { self.groups.get(relation)? } else { &id };
        let filled = path
            .replace("{group}", group)
            .replace("{member}", &user)
            .replace("{domain}", domain(relation))
            .replace("{domain_alias}", &format!("also-{}", domain(relation)))
            .replace("{user}", &user)
            .replace("{node}", "node-1")
            .replace("{kind}", "postfix")
            .replace("{plan}", "standard")
            .replace("{id}", &id)
            .replace("{session}", NOTHING);
        assert!(!filled.contains('{'), "{filled}: fill in the new parameter here");
        Some(filled)
    }

    /// A session of the user, who may have been locked meanwhile.
    async fn session(&self, user: &str) -> String {
        let user: uuid::Uuid =
            self.api.get(format!("/v1/users/{user}")).await.id().parse().unwrap();
        let id: uuid::Uuid = sqlx::query_scalar(
            "INSERT INTO session (id, account_id, refresh_hash, created_at, expires_at, last_used_at)
             VALUES (gen_random_uuid(), $1, uuid_send(gen_random_uuid()), now(),
                     now() + interval '1 day', now()) RETURNING id",
        )
        .bind(user)
        .fetch_one(self.api.state.pool())
        .await
        .unwrap();
        id.to_string()
    }

    /// A body with the department of the relation, and a name that is new.
    fn filled(&self, body: &Value, relation: &str) -> Value {
        let text = body.to_string().replace("NEW", &format!("new-{}", self.next()));
        let department = self.departments.get(relation).unwrap_or_else(|| &self.departments["own"]);
        serde_json::from_str(&text.replace("DEPARTMENT", department)).unwrap()
    }
}

fn address(relation: &str) -> String {
    format!("{relation}@{}", domain(relation))
}

/// An operation with one of its bodies.
struct Case {
    operation: Operation,
    name: String,
    body: Option<Value>,
}

impl Case {
    fn is_of_the_system(&self) -> bool {
        let path = &self.operation.path;
        let inside = [
            "/v1/domains/{",
            "/v1/domain_aliases/",
            "/v1/users/",
            "/v1/departments/",
            "/v1/aliases/",
            "/v1/groups/",
            "/v1/role_assign",
        ];
        path == "/v1/users/export" || !inside.iter().any(|start| path.starts_with(start))
    }

    /// Where things of this kind can be.
    fn relations(&self) -> Vec<&'static str> {
        let path = &self.operation.path;
        let wanted: &[&str] = if self.is_of_the_system() {
            &["own"]
        } else if path.starts_with("/v1/users/") {
            &RELATIONS
        } else if path.starts_with("/v1/aliases/") {
            &["own", "foreign", "suspended", "deleted", "peer", "elsewhere"]
        } else if path.starts_with("/v1/domain") && !self.names_department() {
            &["own", "foreign", "suspended", "deleted"]
        } else {
            &RELATIONS[1..8]
        };
        RELATIONS.into_iter().filter(|one| wanted.contains(one)).collect()
    }

    fn names_department(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.to_string().contains("DEPARTMENT"))
    }
}

/// The bodies of an operation, each with what it is about.
pub(crate) fn bodies(operation: &str) -> Vec<(&'static str, Value)> {
    let user = json!({"local_part": "NEW", "password": PASSWORD});
    let in_department =
        json!({"local_part": "NEW", "password": PASSWORD, "department_id": "DEPARTMENT"});
    let placed = json!({"local_part": "NEW", "password": PASSWORD, "storage_node": "node-1"});
    match operation {
        "create_session" => vec![("", json!({"name": "x", "password": "x"}))],
        "redeem_login_link" => vec![("", json!({"login_link": "x"}))],
        "refresh_session" => vec![("", json!({"refresh_token": "x"}))],
        "update_my_password" => vec![("", json!({"current_password": "x", "new_password": "x"}))],
        "enrol_my_totp" => vec![("", json!({"current_password": "x"}))],
        "confirm_my_totp" => vec![("", json!({"code": "x"}))],
        "remove_my_totp" => vec![("", json!({"current_password": "x", "code": "x"}))],
        "create_operator" => {
            vec![("", json!({"name": "NEW", "role": "system_admin", "password": PASSWORD}))]
        }
        "create_plan" => vec![("", json!({"name": "NEW", "quota_bytes": 1}))],
        "create_domain" | "create_domain_alias" => vec![("", json!({"name": "NEW.example"}))],
        "update_domain" => {
            let name = json!({"name": "NEW.example"});
            vec![("", json!({})), (" status", json!({"status": "locked"})), (" name", name)]
        }
        "create_department" => vec![
            (" at the top", json!({"name": "NEW"})),
            (" below", json!({"name": "NEW", "parent_id": "DEPARTMENT"})),
        ],
        "create_user" => {
            vec![("", user), (" in a department", in_department), (" placed", placed)]
        }
        "update_user" => {
            vec![(" name", json!({"display_name": "NEW"})), (" quota", json!({"quota_bytes": 5}))]
        }
        "update_user_password" => vec![("", json!({"new_password": PASSWORD}))],
        "create_role_assignment" => vec![
            (" of the domain", json!({"role": "domain_admin"})),
            (
                " of a department",
                json!({"role": "department_admin", "department_id": "DEPARTMENT"}),
            ),
        ],
        "create_api_key" => vec![("", json!({"name": "x"}))],
        "create_app_password" => vec![("", json!({"label": "x"}))],
        "update_forwarding" => vec![("", json!({"targets": [], "keep_copy": true}))],
        "update_autoreply" => vec![("", json!({"enabled": false}))],
        "create_alias" => vec![("", json!({"local_part": "NEW", "targets": ["x@example.org"]}))],
        "create_group" => {
            let inside = json!({"local_part": "NEW", "department_id": "DEPARTMENT"});
            vec![("", json!({"local_part": "NEW"})), (" in a department", inside)]
        }
        "move_mailbox" => vec![("", json!({"storage_node": "node-1"}))],
        "create_join_token" => vec![("", json!({"node_name": "NEW", "roles": ["smtp"]}))],
        "create_import" | "create_domain_import" | "create_login_link" | "rotate_api_key" => {
            vec![("", json!({}))]
        }
        "create_bulk_change" => {
            vec![("", json!({"filter": {"status": "closed"}, "change": {"status": "active"}}))]
        }
        other if other.starts_with("update_") => vec![("", json!({}))],
        _ => Vec::new(),
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for operation in operations() {
        // Its session would be gone.
        if operation.id() == "delete_current_session" {
            continue;
        }
        let bodies = bodies(operation.id());
        let has_body = operation.body["requestBody"].is_object();
        assert_eq!(has_body, !bodies.is_empty(), "{} needs a body here", operation.id());
        let name = operation.id().to_owned();
        if !has_body {
            cases.push(Case { operation, name, body: None });
            continue;
        }
        for (about, body) in bodies {
            let name = format!("{name}{about}");
            cases.push(Case { operation: operation.clone(), name, body: Some(body) });
        }
    }
    cases
}

#[test]
fn every_role_is_asked() {
    let roles = Role::ALL.map(Role::name).into_iter().filter(|name| *name != "stranger");
    assert_eq!(roles.chain(["nobody"]).collect::<Vec<_>>(), CALLERS);
}

#[tokio::test]
async fn every_route_answers_every_role_as_was_agreed() {
    let mut world = World::start().await;
    let mut text = String::new();
    for case in cases() {
        let relations = case.relations();
        let heading = if case.is_of_the_system() { vec!["system"] } else { relations.clone() };
        let heading = heading.iter().fold(String::new(), |line, one| format!("{line}{one:<10}"));
        writeln!(text, "{:<40}{}", case.name, heading.trim_end()).unwrap();
        for caller in CALLERS {
            let mut marks = String::new();
            for relation in &relations {
                let mark = world.mark(&case, caller, relation).await;
                check(&case, caller, relation, mark);
                write!(marks, "{mark:<10}").unwrap();
            }
            writeln!(text, "  {caller:<38}{}", marks.trim_end()).unwrap();
        }
    }
    assert!(text == include_str!("matrix.txt"), "matrix.txt should be:\n{text}");
}

/// What holds whatever the file says.
fn check(case: &Case, caller: &str, relation: &str, mark: char) {
    let is_operator = caller == "system_admin" || caller == "super_domain_admin";
    let name = &case.name;
    if mark != '+' || PUBLIC.contains(&case.operation.id()) {
        return;
    }
    assert_ne!(caller, "nobody", "{name}");
    // Who may bring it back sees it.
    let brings_back = ["restore_domain", "purge_domain"].contains(&case.operation.id());
    let is_theirs = caller == "system_admin" && brings_back;
    assert!(relation != "deleted" || is_theirs, "{name} by {caller}");
    if relation == "suspended" && !is_operator {
        assert_eq!(case.operation.method, Method::GET, "{name} by {caller}");
    }
    assert!(relation != "foreign" || is_operator, "{name} by {caller}");
    if case.is_of_the_system() && caller == "user" {
        assert!(OWN.contains(&case.operation.id()), "{name} by {caller}");
    }
}
