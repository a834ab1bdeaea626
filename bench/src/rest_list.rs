//! `rest-list`: pages, searches and counts of the users of a domain that has a million of them, among
//! 100,000 domains and a million audit events, against the same on another server with a thousand of
//! each; and what an administrator of 5,000 departments sees of them, against one of a single department.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use crate::{
    Failure,
    outcome::{Gate, Outcome, median},
    pgbench,
    server::Server,
};

/// Users of the large domain, unless `UMAIL_BENCH_USERS` says another number, and of the small one.
const MANY: usize = 1_000_000;
const FEW: usize = 1_000;
const MANY_DOMAINS: usize = 100_000;
const FEW_DOMAINS: usize = 1_000;
/// Departments below the one that is administered on the large side; it has none on the other.
const DEPARTMENTS: usize = 5_000;
/// Requests to each side in a round, in turn.
const REQUESTS: usize = 30;
const PASSWORD: &str = "a long enough passphrase";

/// Fills a server: `{users}` users of the domain, fifty of them in one department, a quarter in another
/// one or the `{departments}` below it, one in twenty locked, one in a hundred and twenty of all with
/// names of their own; as many audit events of half a year; and `{domains}` domains.
const FILL: &str = include_str!("rest_list.sql");

/// The name of a list and its path.
type List = (&'static str, &'static str);

/// What is asked of both sides: pages with as many items on either. `{deep}` is the token of a page nine tenths inside.
const LISTS: [List; 12] = [
    ("first", "/v1/domains/bench.example/users"),
    ("deep", "/v1/domains/bench.example/users?page_token={deep}"),
    ("prefix", "/v1/domains/bench.example/users?search=an"),
    ("long_prefix", "/v1/domains/bench.example/users?search=user99&page_size=10"),
    ("rare", "/v1/domains/bench.example/users?search=quist"),
    ("medium", "/v1/domains/bench.example/users?search=strand&page_size=10"),
    ("common", "/v1/domains/bench.example/users?search=ube"),
    ("address", "/v1/domains/bench.example/users?search={last}@bench"),
    ("none", "/v1/domains/bench.example/users?search=xyzzy"),
    ("status", "/v1/domains/bench.example/users?status=locked"),
    ("department", "/v1/domains/bench.example/users?department_id={department}"),
    ("count", "/v1/domains/bench.example/users?count=true"),
];
/// What a domain administrator and an operator are told of what happened.
const EVENTS: [List; 5] = [
    ("events", "/v1/audit_events"),
    ("events_deep", "/v1/audit_events?page_token={deep_event}"),
    ("events_action", "/v1/audit_events?action=delete"),
    ("events_resource", "/v1/audit_events?resource=group&page_size=10"),
    ("events_actor", "/v1/audit_events?actor={actor}"),
];
/// What an administrator of many departments sees, or of one.
const INSIDE: [List; 5] = [
    ("first", "/v1/domains/bench.example/users"),
    ("deep", "/v1/domains/bench.example/users?page_token={deep}&page_size=10"),
    ("common", "/v1/domains/bench.example/users?search=ube&page_size=20"),
    ("count", "/v1/domains/bench.example/users?count=true"),
    ("events", "/v1/audit_events"),
];
/// What only an operator has many of.
const DOMAINS: [List; 4] = [
    ("domains", "/v1/domains"),
    ("domains_deep", "/v1/domains?page_token={deep_domain}"),
    ("domains_search", "/v1/domains?search=n99&page_size=10"),
    ("domains_count", "/v1/domains?count=true"),
];

/// One server, with what its paths name and whose tokens it takes.
struct Side {
    server: Server,
    names: [(&'static str, String); 6],
    tokens: [String; 3],
}

/// Measures both sides in turn, after a turn of each that does not count.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let many = std::env::var("UMAIL_BENCH_USERS").ok().map(|users| users.parse()).transpose()?;
    let many = many.unwrap_or(MANY);
    let started = Instant::now();
    let large = Side::start(many, MANY_DOMAINS, DEPARTMENTS).await?;
    let filled = started.elapsed();
    let small = Side::start(FEW, FEW_DOMAINS, 0).await?;
    let (mut worst, mut details) = (0.0_f64, Vec::new());
    let asked: [(&str, Vec<List>); 3] = [
        ("operator", [&LISTS[..], &DOMAINS, &EVENTS].concat()),
        ("admin", [&LISTS[..], &EVENTS].concat()),
        ("head", INSIDE.to_vec()),
    ];
    for (role, (who, lists)) in asked.into_iter().enumerate() {
        for (name, path) in lists {
            let mut figures = (vec![], vec![], vec![]);
            for round in 0..=rounds {
                let [mut ours, mut theirs] = [vec![], vec![]];
                for _request in 0..REQUESTS {
                    theirs.push(small.ask(path, role).await?);
                    ours.push(large.ask(path, role).await?);
                }
                let (ours, theirs) = (median(&ours), median(&theirs));
                if round > 0 {
                    figures.0.push(ours / theirs);
                    figures.1.push(ours);
                    figures.2.push(theirs);
                }
            }
            let ratio = median(&figures.0);
            worst = worst.max(ratio);
            let (ours, theirs) = (median(&figures.1), median(&figures.2));
            details.push(format!("{who}.{name}={ratio:.2} ({ours:.1}ms/{theirs:.1}ms)"));
        }
    }
    Ok(Outcome {
        name: "rest-list",
        ratio: worst,
        gate: Gate::AtMost(2.0),
        goal: Gate::AtMost(1.2),
        details: format!(
            "users={many}/{FEW} domains={MANY_DOMAINS}/{FEW_DOMAINS} filled={:.0}s rounds={rounds} {}",
            filled.as_secs_f64(),
            details.join(" ")
        ),
    })
}

impl Side {
    async fn start(users: usize, domains: usize, departments: usize) -> Result<Self, Failure> {
        let server = Server::start().await?;
        let domain = json!({ "name": "bench.example" });
        server.send(Method::POST, "/v1/domains", Some(domain)).await?;
        let path = "/v1/domains/bench.example/departments";
        let top = server.send(Method::POST, path, Some(json!({ "name": "top" }))).await?;
        let top = top.get("id").cloned().unwrap_or_default();
        let admin = appoint(&server, "admin", json!({ "role": "domain_admin" })).await?;
        let head = json!({ "role": "department_admin", "department_id": top });
        let head = appoint(&server, "head", head).await?;
        let tokens = [server.token.clone(), admin, head];
        let fill = FILL.replace("{users}", &users.to_string());
        let fill = fill.replace("{domains}", &domains.to_string());
        let fill = fill.replace("{departments}", &departments.to_string());
        let statements: Vec<_> =
            fill.split(";\n").map(str::trim).filter(|one| !one.is_empty()).collect();
        pgbench::sql(&server, &statements)?;
        let token = |table: &str| {
            let sql = format!(
                "SELECT rtrim(translate(encode(uuid_send(id), 'base64'), '+/', '-_'), '=')
                   FROM {table} ORDER BY id OFFSET (SELECT count(*) * 9 / 10 FROM {table}) LIMIT 1"
            );
            pgbench::sql(&server, &[&sql])
        };
        let names = [
            ("{deep}", token("account")?),
            ("{deep_domain}", token("domain")?),
            ("{last}", format!("user{users}")),
            ("{deep_event}", token("audit_event")?),
            (
                "{department}",
                pgbench::sql(&server, &["SELECT id FROM department WHERE name = 'bench'"])?,
            ),
            (
                "{actor}",
                pgbench::sql(&server, &["SELECT id FROM account WHERE local_part = 'admin'"])?,
            ),
        ];
        let names = names.map(|(name, value)| (name, value.trim().to_owned()));
        Ok(Self { server, names, tokens })
    }

    /// Milliseconds that a request takes, by the token of this role.
    async fn ask(&self, path: &str, role: usize) -> Result<f64, Failure> {
        let mut path = path.to_owned();
        for (name, value) in &self.names {
            path = path.replace(name, value);
        }
        let token = self.tokens.get(role).ok_or("no such role")?;
        let started = Instant::now();
        self.server.get_as(token, &path).await?;
        Ok(started.elapsed().as_secs_f64() * 1_000.0)
    }
}

/// Adds a user with a role, and signs in.
async fn appoint(server: &Server, name: &str, role: serde_json::Value) -> Result<String, Failure> {
    let user = json!({ "local_part": name, "password": PASSWORD });
    server.send(Method::POST, "/v1/domains/bench.example/users", Some(user)).await?;
    let path = format!("/v1/users/{name}@bench.example/role_assignments");
    server.send(Method::POST, &path, Some(role)).await?;
    let body = json!({ "name": format!("{name}@bench.example"), "password": PASSWORD });
    let session = server.send(Method::POST, "/v1/sessions", Some(body)).await?;
    let token = session.get("access_token").and_then(serde_json::Value::as_str);
    Ok(token.ok_or("no access token")?.to_owned())
}
