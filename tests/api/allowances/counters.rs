//! The counters of allowances under concurrency: no limit is passed, and every counter is what a
//! recount says.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use umail_api::{app::purges, context::Context, model::allowance::Amounts};
use umail_tests::{
    api::{Api, PASSWORD},
    scale::scale,
};

use super::{DOMAIN, create, department, limit};

/// Counters that differ from a recount.
pub(crate) async fn drift(api: &Api) -> Vec<String> {
    // Every kind that is counted: a new one belongs into the recount and into the comparison.
    let Amounts {
        users: _,
        aliases: _,
        groups: _,
        departments: _,
        storage_bytes: _,
        unlimited_users: _,
    } = Amounts::default();
    sqlx::query_scalar(
        "SELECT format('%s: %s, counted %s', id,
                    row(one.users, one.aliases, one.groups, one.departments, one.storage_bytes,
                        one.unlimited_users),
                    row(two.users, two.aliases, two.groups, two.departments, two.storage_bytes,
                        two.unlimited_users))
           FROM allowance AS one FULL JOIN allowance_recount AS two USING (id)
          WHERE id <> '00000000-0000-0000-0000-000000000000'
            AND (one.users, one.aliases, one.groups, one.departments, one.storage_bytes, one.unlimited_users)
                IS DISTINCT FROM
                (two.users, two.aliases, two.groups, two.departments, two.storage_bytes, two.unlimited_users)",
    )
    .fetch_all(api.state.pool())
    .await
    .unwrap()
}

/// Seats that differ from a recount.
pub(crate) async fn seat_drift(api: &Api) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('%s %s: %s, counted %s', level_id, plan_id, row(one.users, one.inheriting),
                       row(two.users, two.inheriting))
           FROM seat AS one FULL JOIN seat_recount AS two USING (level_id, plan_id)
          WHERE (coalesce(one.users, 0), coalesce(one.inheriting, 0))
                <> (coalesce(two.users, 0), coalesce(two.inheriting, 0))",
    )
    .fetch_all(api.state.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_creates_exactly_as_many_succeed_as_the_limit_leaves() {
    let api = Arc::new(Api::start().await);
    api.domain("example.com").await;
    let sales = department(&api, "Sales", None).await;
    create(&api, "first", Some(&sales), json!(1)).await.is(StatusCode::CREATED);
    limit(&api, DOMAIN, json!({"users": 2})).await.is(StatusCode::OK);
    let mut racers = JoinSet::new();
    for number in 0..scale(50) {
        let (api, sales) = (Arc::clone(&api), sales.clone());
        racers.spawn(async move {
            let department = (number % 2 == 0).then_some(sales.as_str());
            loop {
                let answer = create(&api, &format!("u{number}"), department, json!(1)).await;
                // The pool for passwords is bounded, and says so.
                if answer.status != StatusCode::TOO_MANY_REQUESTS {
                    return answer.status;
                }
            }
        });
    }
    let answers = racers.join_all().await;
    let of = |status| answers.iter().filter(|one| **one == status).count();
    assert_eq!(of(StatusCode::CREATED), 1, "{answers:?}");
    assert_eq!(of(StatusCode::CONFLICT), answers.len() - 1, "{answers:?}");
    assert_eq!(drift(&api).await, Vec::<String>::new());
}

/// A small generator of random numbers: the same steps for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, among: &'a [String]) -> Option<&'a str> {
        let place = self.roll(among.len() as u64 + 1);
        among.get(usize::try_from(place).unwrap()).map(String::as_str)
    }
}

#[expect(
    clippy::too_many_lines,
    clippy::indexing_slicing,
    reason = "a table of changes; a test fails by panicking"
)]
/// One random change, whatever comes of it but a failure of the server.
async fn step(api: &Api, dice: &mut Dice, departments: &[String], who: u64) {
    let user = format!("/v1/users/u{who}-{}@example.com", dice.roll(4));
    let one = dice.pick(departments);
    let quota = if dice.roll(4) == 0 { json!(null) } else { json!(1 + dice.roll(100)) };
    let small = if dice.roll(3) == 0 { json!("unlimited") } else { json!(dice.roll(12)) };
    let ask = |method, path: String, body: Value| {
        api.ask(method, path).header("if-match", "*").json(body).send()
    };
    let answer = match dice.roll(14) {
        0..3 => {
            let local_part = user.trim_start_matches("/v1/users/").split('@').next().unwrap();
            create(api, local_part, one, quota).await
        }
        3 => ask(Method::PATCH, user, json!({"department_id": one})).await,
        4 => ask(Method::PATCH, user, json!({"quota_bytes": quota})).await,
        5 => {
            let gone = api.ask(Method::DELETE, &user).header("if-match", "*").send().await;
            if gone.status != StatusCode::NO_CONTENT || dice.roll(3) == 0 {
                gone
            } else if dice.roll(2) == 0 {
                api.post(format!("{user}/restore"), json!(null)).await
            } else {
                let purge = api.post(format!("{user}/purge"), json!(null)).await;
                purges::carry_on(&Context::system(api.state.clone())).await.unwrap();
                purge
            }
        }
        6 => {
            let path = one
                .map_or_else(|| DOMAIN.to_owned(), |id| format!("/v1/departments/{id}/allowance"));
            let kinds = ["users", "storage_bytes", "groups"];
            let kind = kinds[usize::try_from(dice.roll(3)).unwrap()];
            ask(Method::PATCH, format!("{path}?below_allocated=true"), json!({kind: small})).await
        }
        7 => {
            let Some(moved) = dice.pick(departments) else { return };
            ask(Method::PATCH, format!("/v1/departments/{moved}"), json!({"parent_id": one})).await
        }
        8 => {
            let plan = ["standard", "small"][usize::try_from(dice.roll(2)).unwrap()];
            let quota =
                if dice.roll(3) == 0 { json!("unlimited") } else { json!(200 + dice.roll(9)) };
            let path = format!("/v1/plans/{plan}?force=true");
            ask(Method::PATCH, path, json!({"quota_bytes": quota})).await
        }
        9 => {
            let plans = api.get("/v1/plans").await.body;
            let place = usize::try_from(dice.roll(2)).unwrap();
            ask(Method::PATCH, user, json!({"plan_id": plans["items"][place]["id"]})).await
        }
        10 => {
            let name = format!("d{who}-{}", dice.roll(3));
            let body = json!({"name": name, "parent_id": one});
            let made = api.post("/v1/domains/example.com/departments", body).await;
            if made.status != StatusCode::CREATED || dice.roll(2) == 0 {
                made
            } else {
                let path = format!("/v1/departments/{}", made.id());
                api.ask(Method::DELETE, path).header("if-match", "*").send().await
            }
        }
        11 => {
            let group = json!({"local_part": format!("g{who}-{}", dice.roll(3)),
                "department_id": one});
            let made = api.post("/v1/domains/example.com/groups", group).await;
            if made.status == StatusCode::CREATED && dice.roll(3) == 0 {
                let path = format!("/v1/groups/{}", made.id());
                api.ask(Method::DELETE, path).header("if-match", "*").send().await
            } else {
                made
            }
        }
        12 => {
            let group = format!("/v1/groups/g{who}-{}@example.com", dice.roll(3));
            let member = user.trim_start_matches("/v1/users/");
            api.ask(Method::PUT, format!("{group}/members/{member}")).send().await;
            ask(Method::PATCH, group, json!({"department_id": one})).await
        }
        _ => {
            let alias = json!({"local_part": format!("a{who}-{}", dice.roll(3)),
                "targets": ["x@elsewhere.example"]});
            let made = api.post("/v1/domains/example.com/aliases", alias).await;
            if made.status == StatusCode::CREATED && dice.roll(2) == 0 {
                let path = format!("/v1/aliases/{}", made.id());
                api.ask(Method::DELETE, path).header("if-match", "*").send().await
            } else {
                made
            }
        }
    };
    assert!(answer.status.as_u16() < 500, "{} {:#}", answer.status, answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_counter_is_what_a_recount_says_after_random_changes_by_many() {
    let api = Arc::new(Api::start().await);
    api.domain("example.com").await;
    let small = json!({"name": "small", "quota_bytes": 200});
    api.post("/v1/plans", small).await.is(StatusCode::CREATED);
    let mut departments = Vec::new();
    for name in ["A", "B", "C", "D"] {
        let parent = departments.last().map(String::as_str);
        let made = department(&api, name, parent).await;
        departments.push(made);
    }
    for seed in 0..2 {
        let mut walkers = JoinSet::new();
        for who in 0..4 {
            let (api, departments) = (Arc::clone(&api), departments.clone());
            walkers.spawn(async move {
                let mut dice = Dice(seed * 100 + who);
                for _ in 0..scale(25) {
                    step(&api, &mut dice, &departments, who).await;
                }
            });
        }
        walkers.join_all().await;
        assert_eq!(drift(&api).await, Vec::<String>::new(), "seed {seed}");
        assert_eq!(seat_drift(&api).await, Vec::<String>::new(), "seed {seed}");
    }
    // The system begins to count in the middle of it all.
    let counted = limit(&api, "/v1/allowance", json!({"users": 1_000_000})).await.body;
    let domain = api.get(DOMAIN).await.body;
    assert_eq!(counted["allocated"], domain["allocated"]);
}

/// What the system counts of a plan, and what its users are.
async fn seats_of_the_system(api: &Api) -> (i64, i64) {
    sqlx::query_as(
        "SELECT (SELECT users FROM seat WHERE level_id = '00000000-0000-0000-0000-000000000000'),
                (SELECT count(*) FROM account)",
    )
    .fetch_one(api.state.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_creates_in_many_domains_as_many_succeed_as_the_system_has_seats() {
    let api = Arc::new(Api::start().await);
    for domain in ["example.com", "example.org", "example.net"] {
        api.domain(domain).await;
    }
    api.user("first@example.com").await;
    let seats = json!({"seats": {"standard": 4}});
    api.patch("/v1/allowance", seats).await.is(StatusCode::OK);
    let mut racers = JoinSet::new();
    for number in 0..scale(24) {
        let api = Arc::clone(&api);
        racers.spawn(async move {
            let domain = ["example.com", "example.org", "example.net"][number % 3];
            let body = json!({"local_part": format!("u{number}"), "password": PASSWORD});
            loop {
                let path = format!("/v1/domains/{domain}/users");
                let answer = api.post(path, body.clone()).await;
                if answer.status != StatusCode::TOO_MANY_REQUESTS {
                    return answer.status;
                }
            }
        });
    }
    let answers = racers.join_all().await;
    let of = |status| answers.iter().filter(|one| **one == status).count();
    assert_eq!(of(StatusCode::CREATED), 3, "{answers:?}");
    assert_eq!(of(StatusCode::CONFLICT), answers.len() - 3, "{answers:?}");
    assert_eq!(seats_of_the_system(&api).await, (4, 4));
    assert_eq!(drift(&api).await, Vec::<String>::new());
}
