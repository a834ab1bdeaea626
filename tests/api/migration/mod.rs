//! Taking over what another panel has: what is said first is what then happens, by the same rules as
//! everything else, and nothing happens twice.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use umail_api::{
    app::migration::{self, Wish},
    context::Context,
    error::{Error, Result},
    model::{
        migration::{Count, Kind, Panel, Report, Steps},
        operator::OperatorRole,
    },
};
use umail_tests::api::{Api, PASSWORD};

use crate::imports::{count, no_drift};

const MYSQL: &str = include_str!("postfixadmin.mysql.sql");
const POSTGRES: &str = include_str!("postfixadmin.pgsql.sql");
const MAILCOW: &str = include_str!("mailcow.sql");

/// A server with a plan that has room for every mailbox.
async fn start() -> Api {
    let api = Api::start().await;
    api.storage_node("storage-1").await;
    let plan = json!({"name": "migrated", "quota_bytes": "unlimited"});
    api.post("/v1/plans", plan).await.is(StatusCode::CREATED);
    api
}

fn wish() -> Wish {
    Wish { plan: Some("migrated".parse().unwrap()), ..Wish::default() }
}

fn reset() -> Wish {
    Wish { reset_weak: true, ..wish() }
}

async fn steps(
    api: &Api,
    (panel, dump): (Panel, &str),
    wish: &Wish,
) -> Result<(Context, Steps, umail_api::model::migration::Options)> {
    let system = Context::system(api.state.clone());
    let cx = migration::on_behalf_of(&system, "root", panel).await?;
    let (source, _) = panel.read(dump.as_bytes(), String::new()).unwrap();
    let (steps, options) = migration::prepare(&cx, source, wish).await?;
    Ok((cx, steps, options))
}

/// What would be done.
async fn look(api: &Api, dump: (Panel, &str), wish: &Wish) -> Report {
    steps(api, dump, wish).await.unwrap().1.report
}

/// Does it.
async fn apply(api: &Api, dump: (Panel, &str), wish: &Wish) -> Report {
    let (cx, steps, options) = steps(api, dump, wish).await.unwrap();
    migration::apply(&cx, steps, &options, |_, _, _| {}).await.unwrap()
}

fn news(report: &Report) -> Vec<(Kind, u64)> {
    let counts = report.counts.iter().filter(|(_, count)| count.new + count.changed > 0);
    counts.map(|(kind, count)| (*kind, count.new + count.changed)).collect()
}

async fn events(api: &Api) -> i64 {
    count(api, "SELECT count(*) FROM audit_event").await
}

async fn user(api: &Api, address: &str) -> Value {
    api.get(format!("/v1/users/{address}")).await.is(StatusCode::OK).body
}

/// The targets of the aliases of a domain, by their addresses.
async fn aliases(api: &Api, domain: &str) -> Value {
    let page = api.get(format!("/v1/domains/{domain}/aliases")).await.is(StatusCode::OK).body;
    let items = page["items"].as_array().unwrap().iter();
    items.map(|one| (one["address"].as_str().unwrap().to_owned(), one["targets"].clone())).collect()
}

#[tokio::test]
async fn what_is_said_first_is_what_then_happens_and_only_once() {
    for dump in [(Panel::PostfixAdmin, MYSQL), (Panel::PostfixAdmin, POSTGRES)] {
        let api = start().await;
        let before = events(&api).await;
        let said = look(&api, dump, &wish()).await;
        assert_eq!(events(&api).await, before, "nothing is changed");
        let done = apply(&api, dump, &wish()).await;
        assert_eq!((&done.counts, &done.refused), (&said.counts, &said.refused));
        assert_eq!(done.counts[&Kind::User], Count { new: 6, refused: 7, ..Count::default() });
        no_drift(&api).await;

        let after = events(&api).await;
        let again = look(&api, dump, &wish()).await;
        assert_eq!((news(&again), &again.refused), (Vec::new(), &said.refused));
        apply(&api, dump, &wish()).await;
        assert_eq!(events(&api).await, after, "nothing is done twice");
        assert_eq!(count(&api, "SELECT count(*) FROM import").await, 1);

        // Who had no password that is taken, and what leads there, is added later.
        let reset = apply(&api, dump, &reset()).await;
        assert_eq!(news(&reset), [(Kind::User, 1), (Kind::Alias, 1)]);
        no_drift(&api).await;
    }
}

#[tokio::test]
async fn a_database_of_postfixadmin_is_here_as_it_was_there() {
    let api = start().await;
    apply(&api, (Panel::PostfixAdmin, MYSQL), &reset()).await;
    for address in ["alice@example.com", "bob@example.com", "erin@xn--bro-hoa.example"] {
        api.sign_in(address).await;
    }
    let alice = user(&api, "alice@example.com").await;
    assert_eq!(alice["display_name"], "Alice O'Hara \"Al\" \\ Büro");
    assert_eq!(alice["quota_bytes"], 1_048_576_000);
    let bob = user(&api, "bob@example.com").await;
    assert_eq!(bob["display_name"], "=HYPERLINK(\"http://x\")");
    assert!(!bob["functions"].as_array().unwrap().contains(&json!("submission")));
    assert_eq!(user(&api, "dave@example.com").await["status"], "closed");
    assert_eq!(user(&api, "erin@xn--bro-hoa.example").await["display_name"], "");
    let forwarding = api.get("/v1/users/alice@example.com/forwarding").await.body;
    assert_eq!(forwarding, json!({"targets": ["partner@elsewhere.example"], "keep_copy": true}));
    let forwarding = api.get("/v1/users/dave@example.com/forwarding").await.body;
    assert_eq!(forwarding, json!({"targets": ["alice@example.com"], "keep_copy": false}));
    let expected = json!({
        "sales@example.com": ["alice@example.com", "bob@example.com"],
        "info@example.com": ["alice@example.com"],
        "chain@example.com": ["sales@example.com"],
        "to-carol@example.com": ["carol@example.com"],
        "abuse@example.com": ["abuse@provider.example"],
        "stale@example.com": ["gone@example.com"],
    });
    assert_eq!(aliases(&api, "example.com").await, expected);
    let group = api.get("/v1/groups/all@example.com").await.is(StatusCode::OK).body;
    assert_eq!(group["posting"], "anyone");
    assert_eq!(count(&api, "SELECT count(*) FROM group_member").await, 101);
    let domain = api.get("/v1/domains/example.com").await.body;
    assert_eq!(
        (&domain["catch_all"], &domain["status"]),
        (&json!("alice@example.com"), &json!("active"))
    );
    assert_eq!(api.get("/v1/domains/old.example").await.body["status"], "closed");
    let names = api.get("/v1/domains/example.com/domain_aliases").await.items("name");
    assert_eq!(names, ["example.net"]);

    // Nobody knows the password of who has none; somebody sets one.
    let carol = |password: &str| {
        let body = json!({"name": "carol@example.com", "password": password});
        api.ask(Method::POST, "/v1/sessions").anonymous().json(body).send()
    };
    let _ = carol(PASSWORD).await.is_problem(StatusCode::UNAUTHORIZED);
    let new = json!({"new_password": "many small blue whales"});
    let path = "/v1/users/carol@example.com/password";
    api.put(path, new).await.is(StatusCode::NO_CONTENT);
    let _ = carol("many small blue whales").await.is(StatusCode::CREATED);

    let strangers = count(
        &api,
        "SELECT count(*) FROM audit_event
          WHERE request_id LIKE 'migration-postfixadmin-%' AND actor_kind <> 'operator'
            AND resource <> 'import'",
    );
    assert_eq!(strangers.await, 0, "root has done it all");
}

#[tokio::test]
async fn a_database_of_mailcow_is_here_as_it_was_there() {
    let api = start().await;
    let dump = (Panel::Mailcow, MAILCOW);
    let said = look(&api, dump, &reset()).await;
    let done = apply(&api, dump, &reset()).await;
    assert_eq!((&done.counts, &done.refused), (&said.counts, &said.refused));
    api.sign_in("alice@example.com").await;
    let bob = user(&api, "bob@example.com").await;
    assert_eq!(bob["status"], "locked");
    let functions = bob["functions"].as_array().unwrap();
    assert!(!functions.contains(&json!("pop3")) && functions.contains(&json!("imap")));
    assert_eq!(user(&api, "off@example.com").await["status"], "closed");
    let group = api.get("/v1/groups/team@example.com").await.is(StatusCode::OK).body;
    assert_eq!(group["posting"], "domain");
    assert_eq!(api.get("/v1/domains/example.com").await.body["catch_all"], "bob@example.com");
    let must_change: Vec<String> = sqlx::query_scalar(
        "SELECT local_part FROM account JOIN credential ON credential.account_id = account.id
          WHERE must_change ORDER BY local_part",
    )
    .fetch_all(api.state.pool())
    .await
    .unwrap();
    assert_eq!(must_change, ["bob", "carol", "dave"]);
    no_drift(&api).await;
}

#[tokio::test]
async fn a_run_that_was_cut_off_is_made_up_for_by_the_next_one() {
    let api = start().await;
    let dump = (Panel::PostfixAdmin, MYSQL);
    let (cx, mut cut, options) = steps(&api, dump, &reset()).await.unwrap();
    let whole = cut.report.counts.clone();
    // As if it ended in the middle of the users, and once more in the middle of a group.
    cut.users.truncate(3);
    (cut.forwardings, cut.aliases, cut.groups) = Default::default();
    cut.catch_alls.clear();
    let import = umail_api_types::imports::NewImport::default();
    let sent = umail_api::app::imports::create(&cx, None, import).await.unwrap();
    migration::apply(&cx, cut, &options, |_, _, _| {}).await.unwrap();
    let (cx, mut cut, options) = steps(&api, dump, &reset()).await.unwrap();
    cut.groups[0].members.truncate(7);
    (cut.users, cut.forwardings, cut.aliases) = Default::default();
    migration::resume(&cx).await.unwrap();
    let path = format!("/v1/imports/{}", sent.id);
    let _ = api.get(path).await.is_problem(StatusCode::NOT_FOUND);
    migration::apply(&cx, cut, &options, |_, _, _| {}).await.unwrap();

    let rest = apply(&api, dump, &reset()).await;
    assert_eq!(rest.counts[&Kind::User].new, whole[&Kind::User].new - 3);
    assert_eq!(rest.counts[&Kind::Group].changed, 1);
    assert_eq!(count(&api, "SELECT count(*) FROM group_member").await, 101);
    assert_eq!(news(&look(&api, dump, &reset()).await), []);
    no_drift(&api).await;
}

#[tokio::test]
async fn what_is_there_stays_unless_it_is_to_be_changed() {
    let api = start().await;
    let dump = (Panel::PostfixAdmin, MYSQL);
    apply(&api, dump, &wish()).await;
    let path = "/v1/users/alice@example.com";
    let _ =
        api.patch(path, json!({"display_name": "A", "quota_bytes": 5})).await.is(StatusCode::OK);
    // A sign-in replaces the hash by one of ours.
    api.sign_in("bob@example.com").await;
    let seen = look(&api, dump, &wish()).await;
    let reasons: Vec<_> = seen.refused.iter().map(|one| one.reason.as_str()).collect();
    let reason = "is there already with another name, quota: --update changes it";
    assert!(reasons.contains(&reason), "{reasons:?}");
    apply(&api, dump, &wish()).await;
    assert_eq!(user(&api, "alice@example.com").await["display_name"], "A");

    let update = Wish { update: true, ..wish() };
    let said = look(&api, dump, &update).await;
    assert_eq!(said.counts[&Kind::User].changed, 2, "the password of bob, too");
    let done = apply(&api, dump, &update).await;
    assert_eq!(done.counts, said.counts);
    let alice = user(&api, "alice@example.com").await;
    assert_eq!(alice["display_name"], "Alice O'Hara \"Al\" \\ Büro");
    assert_eq!(alice["quota_bytes"], 1_048_576_000);
    assert_eq!(news(&look(&api, dump, &update).await), []);
    api.sign_in("bob@example.com").await;
    no_drift(&api).await;
}

#[tokio::test]
async fn what_somebody_else_has_and_what_limits_leave_no_room_for_is_refused() {
    let api = start().await;
    for domain in ["example.com", "gone.example"] {
        api.domain(domain).await;
    }
    api.user("info@example.com").await;
    api.user("late@example.com").await;
    let alias = json!({"local_part": "bob", "targets": ["info@example.com"]});
    api.post("/v1/domains/example.com/aliases", alias).await.is(StatusCode::CREATED);
    let name = json!({"name": "old.example"});
    let path = "/v1/domains/gone.example/domain_aliases";
    api.post(path, name).await.is(StatusCode::CREATED);
    let limits = json!({"users": 3});
    api.patch("/v1/domains/example.com/allowance", limits).await.is(StatusCode::OK);
    let dump = (Panel::PostfixAdmin, MYSQL);
    let said = look(&api, dump, &wish()).await;
    let done = apply(&api, dump, &wish()).await;
    let texts: Vec<_> = done.refused.iter().map(ToString::to_string).collect();
    for part in [
        "alias info@example.com: address: the address is that of a user already",
        "alias sales@example.com: goto: bob@example.com is not taken over",
        "alias dave@example.com: address: its mailbox is not taken over",
        "mailbox Bob@Example.COM: username: the address is that of an alias already",
        "domain old.example: domain: is another name of gone.example already",
        "mailbox frank@old.example: username: domain old.example is not taken over",
        "domain example.com may have 3 users",
    ] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part}: {texts:#?}");
    }
    assert!(said.refused.len() < done.refused.len(), "limits are known when it is done");
    assert_eq!(done.counts[&Kind::User].new + 2, 3 + 1, "one of example.com, and erin");
    no_drift(&api).await;
}

/// The dump, with these limits of example.com: aliases, mailboxes, quota of a mailbox and of the domain.
fn limited(limits: &str) -> String {
    let dump = MYSQL.replace("end',0,0,0,0,", &format!("end',{limits},"));
    assert_ne!(dump, MYSQL);
    dump
}

async fn limits(api: &Api) -> [Value; 3] {
    let allowance = api.get("/v1/domains/example.com/allowance").await.is(StatusCode::OK).body;
    ["users", "aliases", "storage_bytes"].map(|name| allowance[name].clone())
}

#[tokio::test]
async fn domains_are_limited_as_they_were_when_all_are_here() {
    let api = start().await;
    let dump = limited("6,4,0,2000000");
    let dump = (Panel::PostfixAdmin, dump.as_str());
    let said = look(&api, dump, &wish()).await;
    assert_eq!(said.counts[&Kind::Limits], Count { new: 1, ..Count::default() });
    let done = apply(&api, dump, &wish()).await;
    assert_eq!((&done.counts, &done.refused), (&said.counts, &said.refused));
    assert_eq!(limits(&api).await, [json!(4), json!(6), json!(2_097_152_000_000_i64)]);
    let body = json!({"local_part": "more", "password": PASSWORD});
    let more = api.post("/v1/domains/example.com/users", body).await;
    let _ = more.is_problem(StatusCode::CONFLICT);
    let again = look(&api, dump, &wish()).await;
    assert_eq!((news(&again), again.counts[&Kind::Limits].there), (Vec::new(), 1));

    // One more mailbox, and room for it, which comes first; fewer aliases than there are.
    let larger = limited("3,5,0,0");
    let update = Wish { update: true, ..reset() };
    let done = apply(&api, (Panel::PostfixAdmin, &larger), &update).await;
    assert_eq!(user(&api, "carol@example.com").await["status"], "active");
    assert_eq!(limits(&api).await, [json!(5), json!(6), json!("unlimited")]);
    let below = "is a limit of 3 aliases, and there will be 6: ";
    let refused = done.refused.iter().filter(|one| one.origin.table == "domain");
    assert!(refused.into_iter().any(|one| one.reason.starts_with(below)), "{:?}", done.refused);
    let below = Wish { below_allocated: true, ..update };
    let done = apply(&api, (Panel::PostfixAdmin, &larger), &below).await;
    assert_eq!((done.counts[&Kind::Limits].changed, done.below), (1, 1));
    assert_eq!(limits(&api).await[1], 3);
    no_drift(&api).await;
}

#[tokio::test]
async fn administrators_are_appointed_on_request_and_once() {
    let api = start().await;
    let dump = MYSQL.replace(
        "(2,'alice@example.com','example.com','2000-01-01 00:00:00',1);",
        "(2,'alice@example.com','example.com','2000-01-01 00:00:00',1),
         (3,'alice@example.com','büro.example','2000-01-01 00:00:00',1),
         (4,'carol@example.com','example.com','2000-01-01 00:00:00',1),
         (5,'nobody@example.com','example.com','2000-01-01 00:00:00',1);",
    );
    assert_ne!(dump, MYSQL);
    let dump = (Panel::PostfixAdmin, dump.as_str());
    apply(&api, dump, &wish()).await;
    assert_eq!(count(&api, "SELECT count(*) FROM role_assignment").await, 0);
    let wish = Wish { administrators: true, ..wish() };
    let said = look(&api, dump, &wish).await;
    assert_eq!(said.counts[&Kind::Administrator], Count { new: 2, refused: 1, ..Count::default() });
    let done = apply(&api, dump, &wish).await;
    assert_eq!((&done.counts, &done.refused), (&said.counts, &said.refused));
    let roles = api.get("/v1/users/alice@example.com/role_assignments").await;
    assert_eq!(roles.is(StatusCode::OK).items("role"), ["domain_admin", "domain_admin"]);
    let alice = api.sign_in("alice@example.com").await;
    for domain in ["example.com", "xn--bro-hoa.example"] {
        let path = format!("/v1/domains/{domain}/users");
        let _ = api.ask(Method::GET, path).by(&alice).send().await.is(StatusCode::OK);
    }
    let again = look(&api, dump, &wish).await;
    assert_eq!((news(&again), again.counts[&Kind::Administrator].there), (Vec::new(), 2));
    let events = "SELECT count(*) FROM audit_event WHERE resource = 'role assignment'
                   AND actor_kind = 'operator' AND request_id LIKE 'migration-postfixadmin-%'";
    assert_eq!(count(&api, events).await, 2);
}

#[tokio::test]
async fn who_may_not_add_domains_takes_nothing_over() {
    let api = start().await;
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let system = Context::system(api.state.clone());
    let cx = migration::on_behalf_of(&system, "super", Panel::Mailcow).await.unwrap();
    let (source, _) = Panel::Mailcow.read(MAILCOW.as_bytes(), String::new()).unwrap();
    let refused = migration::prepare(&cx, source, &wish()).await.unwrap_err();
    assert!(matches!(refused, Error::Forbidden(_)), "{refused}");
    let refused = migration::on_behalf_of(&system, "nobody", Panel::Mailcow).await.unwrap_err();
    assert!(matches!(refused, Error::NotFound { .. }), "{refused}");
    let super_admin = api.get("/v1/operators").await.body["items"][1]["id"].clone();
    let path = format!("/v1/operators/{}", super_admin.as_str().unwrap());
    let _ = api.patch(path, json!({"active": false})).await.is(StatusCode::OK);
    let refused = migration::on_behalf_of(&system, "super", Panel::Mailcow).await.unwrap_err();
    assert_eq!(refused.to_string(), "operator super is not active");
}
