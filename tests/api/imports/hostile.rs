//! Imports by administrators who want more than is theirs: passwords of others, and the time of
//! everybody.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use umail_api::{app, context::Context, store};
use umail_proto::ids::DomainId;
use umail_tests::api::{Api, PASSWORD};

use super::{
    DOMAIN, HASH, begin, count, counts, errors, import, send, send_by, skip, start, users, work,
    work_to_the_end,
};

/// Whoever waits longer waits for a lock.
const PATIENCE: Duration = Duration::from_secs(30);

/// Changes the user `second`, and takes its time.
async fn lock_second(owner: &mut PgConnection) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut held = owner.begin().await.unwrap();
    let lock = "SELECT id FROM account WHERE local_part = 'second' FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut *held).await.unwrap();
    held
}

/// Waits until the first block of an import is dealt with.
async fn first_block_is_done(api: &Api, import: &str) {
    while api.get(import).await.body["done_lines"].as_i64().unwrap() < 2_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Departments Own and Other, and who administers Own.
async fn head(api: &Api) -> String {
    let path = "/v1/domains/example.com/departments";
    let own = api.post(path, json!({"name": "Own"})).await.is(StatusCode::CREATED).id();
    for (user, department) in [
        ("within", own.clone()),
        ("beside", api.post(path, json!({"name": "Other"})).await.is(StatusCode::CREATED).id()),
    ] {
        api.user(&format!("{user}@example.com")).await;
        let body = json!({"department_id": department});
        api.patch(format!("/v1/users/{user}@example.com"), body).await.is(StatusCode::OK);
    }
    api.department_admin("head@example.com", &own).await
}

#[tokio::test]
async fn passwords_of_lines_that_are_refused_are_not_even_looked_at() {
    let api = start().await;
    api.domain("other.example").await;
    api.user("root@other.example").await;
    let head = head(&api).await;
    // So that it can be seen afterwards what was hashed.
    let rule = "CREATE RULE kept AS ON DELETE TO import_hash DO INSTEAD NOTHING";
    sqlx::raw_sql(rule).execute(&mut api.owner().await).await.unwrap();
    let lines = [
        ("root@other.example", "", PASSWORD),
        ("root@other.example", "", "another horse battery"),
        ("beside@example.com", "", PASSWORD),
        ("head@example.com", "", PASSWORD),
        ("within@example.com", "", PASSWORD),
        ("within@example.com", "", "another horse battery"),
        ("new@example.com", "Own", PASSWORD),
        ("new2@example.com", "", PASSWORD),
        ("new3@example.com", "Own", "short"),
        ("new4@nowhere.example", "Own", PASSWORD),
    ];
    let content: Vec<_> = lines
        .iter()
        .map(|(address, department, password)| {
            // An empty department would move who is in one.
            json!({"address": address, "password": password, "department": department})
        })
        .map(|mut line| {
            line.as_object_mut().unwrap().retain(|_, value| value != "");
            line.to_string()
        })
        .collect();
    let content = content.join("\n");
    let all = "/v1/imports";
    let id = api.ask(Method::POST, all).by(&head).json(skip()).send().await.id();
    let ask = api.ask(Method::PUT, format!("{all}/{id}/content")).by(&head);
    let put = ask.content("application/x-ndjson", content).send().await;
    put.is(StatusCode::ACCEPTED);
    let done = work(&api, &id).await;
    assert_eq!(counts(&done), [1, 0, 1, 8]);
    let hashed: Vec<i64> = sqlx::query_scalar("SELECT line FROM import_hash ORDER BY line")
        .fetch_all(api.state.pool())
        .await
        .unwrap();
    assert_eq!(hashed, [5, 7]);
    api.sign_in("new@example.com").await;
}

#[tokio::test]
async fn names_that_speak_for_the_domain_are_given_by_its_administrators() {
    let api = start().await;
    let head = head(&api).await;
    let file = format!(
        "address,external_id,department,password_hash\npostmaster,E-1,Own,{HASH}\n\
         Admin,E-2,Own,{HASH}\nadam,E-3,Own,{HASH}\n"
    );
    let reason = "speaks for the whole domain: its administrators give it".to_owned();
    for (key, others) in [("address", [1, 0, 0, 2]), ("external_id", [0, 0, 1, 2])] {
        let new = json!({"mode": "skip_errors", "key": key});
        let id = send_by(&api, &head, DOMAIN, (new, file.clone())).await;
        let done = work(&api, &id).await;
        assert_eq!(counts(&done), others);
        let expected = [2, 3].map(|line| (line, "address".to_owned(), reason.clone()));
        assert_eq!(errors(&api, &done).await, expected);
    }
    let admin = api.domain_admin("boss@example.com").await;
    let id = send_by(&api, &admin, DOMAIN, (skip(), file.clone())).await;
    assert_eq!(counts(&work(&api, &id).await), [2, 0, 1, 0]);
    // Who is there may be changed as ever.
    let id = send_by(&api, &head, DOMAIN, (skip(), file.replace("E-", "F-"))).await;
    assert_eq!(counts(&work(&api, &id).await), [0, 3, 0, 0]);
}

#[tokio::test]
async fn of_imports_begun_at_once_no_more_than_ten_are_open() {
    let api = start().await;
    let admin = api.domain_admin("admin@example.com").await;
    let begin = || api.ask(Method::POST, DOMAIN).by(&admin).json(skip()).send();
    let answers = join_all((0..30).map(|_| begin())).await;
    let begun = answers.iter().filter(|one| one.status == StatusCode::CREATED).count();
    let refused = answers.iter().filter(|one| one.status == StatusCode::CONFLICT).count();
    assert_eq!((begun, refused), (10, 20));
}

#[tokio::test]
async fn whoever_is_refused_in_a_file_is_not_locked_by_it() {
    let api = start().await;
    let admin = api.domain_admin("admin@example.com").await;
    let mut owner = api.owner().await;
    let mut held = owner.begin().await.unwrap();
    let lock = "SELECT id FROM account WHERE local_part = 'admin' FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut *held).await.unwrap();
    for new in [json!({}), skip(), json!({"dry_run": true})] {
        let id =
            send_by(&api, &admin, DOMAIN, (new, format!("address,password_hash\nadmin,{HASH}\n")))
                .await;
        let done = tokio::time::timeout(PATIENCE, work(&api, &id)).await.unwrap();
        assert_eq!(counts(&done), [0, 0, 0, 1]);
    }
}

#[tokio::test]
async fn all_or_nothing_holds_nobody_once_it_will_be_nothing() {
    let api = start().await;
    for user in ["first", "second"] {
        api.user(&format!("{user}@example.com")).await;
    }
    let admin = api.domain_admin("admin@example.com").await;
    let bad = "a b,x\n".repeat(2_000);
    let content = format!("address,title\nadmin,x\nfirst,x\n{bad}second,x\n{bad}{bad}");
    let id = send_by(&api, &admin, DOMAIN, (json!({}), content)).await;
    // It waits in its second block.
    let mut owner = api.owner().await;
    let held = lock_second(&mut owner).await;
    let cx = Context::system(api.state.clone());
    let run = app::imports::carry_on(&cx, id.parse().unwrap());
    let watch = async {
        let import = format!("/v1/imports/{id}");
        first_block_is_done(&api, &import).await;
        // The block before is given up at once, but by another task.
        let mut other = api.owner().await;
        let lock = "SELECT id FROM account WHERE local_part = 'first' FOR UPDATE NOWAIT";
        while sqlx::raw_sql(lock).execute(&mut other).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let operation = api.get(&import).await.body["operation_id"].as_str().unwrap().to_owned();
        let cancel = format!("/v1/operations/{operation}/cancel");
        api.post(cancel, json!(null)).await.is(StatusCode::ACCEPTED);
        held.rollback().await.unwrap();
    };
    let watch = async { tokio::time::timeout(PATIENCE, watch).await.unwrap() };
    let (run, ()) = tokio::join!(run, watch);
    run.unwrap();
    let done = api.get(format!("/v1/imports/{id}")).await.body;
    assert_eq!(done["state"], "cancelled");
    assert_eq!(api.get("/v1/users/first@example.com").await.etag(), "\"1\"");
}

#[tokio::test]
async fn passwords_are_hashed_while_it_is_the_turn_of_others() {
    let api = start().await;
    api.domain("other.example").await;
    let admin = api.domain_admin("admin@example.com").await;
    let content = format!("address,password\nanna@example.com,{PASSWORD}\n");
    let id = api.ask(Method::POST, "/v1/imports").by(&admin).json(skip()).send().await.id();
    let ask = api.ask(Method::PUT, format!("/v1/imports/{id}/content")).by(&admin);
    ask.content("text/csv", content).send().await.is(StatusCode::ACCEPTED);
    let domain = async |name: &str| -> BTreeSet<DomainId> {
        let domain = api.get(format!("/v1/domains/{name}")).await.id();
        BTreeSet::from([domain.parse().unwrap()])
    };
    let (own, other) = (domain("example.com").await, domain("other.example").await);
    for domains in [None, Some(&own)] {
        let mut turn = api.state.pool().begin().await.unwrap();
        assert!(store::imports::try_turn(&mut turn, domains).await.unwrap());
        assert_eq!(work(&api, &id).await["state"], "running");
        let hashed = "SELECT count(*) FROM import_hash WHERE line = 2";
        assert_eq!(count(&api, hashed).await, 1);
        turn.commit().await.unwrap();
    }
    // It keeps out nobody but its own domains, though it names none.
    let mut turn = api.state.pool().begin().await.unwrap();
    assert!(store::imports::try_turn(&mut turn, Some(&other)).await.unwrap());
    let done = work(&api, &id).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("succeeded"), [1, 0, 0, 0]));
    turn.commit().await.unwrap();
}

#[tokio::test]
async fn whoever_waits_for_a_turn_can_be_cancelled() {
    let api = start().await;
    let admin = api.domain_admin("admin@example.com").await;
    let id =
        send_by(&api, &admin, DOMAIN, (skip(), format!("address,password_hash\nanna,{HASH}\n")))
            .await;
    let mut turn = api.state.pool().begin().await.unwrap();
    assert!(store::imports::try_turn(&mut turn, None).await.unwrap());
    let operation = work(&api, &id).await["operation_id"].as_str().unwrap().to_owned();
    let cancel = format!("/v1/operations/{operation}/cancel");
    api.post(cancel, json!(null)).await.is(StatusCode::ACCEPTED);
    assert_eq!(work(&api, &id).await["state"], "cancelled");
    turn.commit().await.unwrap();
}

#[tokio::test]
async fn many_passwords_are_hashed_in_turn_with_other_imports() {
    let api = start().await;
    let weak = json!({"password_min_strength": 0});
    api.patch("/v1/settings", weak).await.is(StatusCode::OK);
    let id = begin(&api, DOMAIN, skip()).await;
    let line = |number| format!("u{number},{PASSWORD}\n");
    let lines: Vec<_> = (0..300).map(line).collect();
    send(&api, &id, format!("address,password\n{}", lines.concat())).await.is(StatusCode::ACCEPTED);
    assert_eq!(work(&api, &id).await["state"], "running");
    assert_eq!(count(&api, "SELECT count(*) FROM import_hash").await, 256);
    assert_eq!(counts(&work(&api, &id).await), [300, 0, 0, 0]);
}

#[tokio::test]
async fn an_import_has_twenty_thousand_passwords_in_clear() {
    let api = start().await;
    let weak = json!({"password_min_strength": 0});
    api.patch("/v1/settings", weak).await.is(StatusCode::OK);
    let line = |number| format!("u{number},{PASSWORD},\n");
    let lines = (0..20_001).map(line).collect::<Vec<_>>().concat();
    let content = format!("address,password,password_hash\nx,,{HASH}\n{lines}y,,{HASH}\n");
    let done = import(&api, json!({"mode": "skip_errors", "dry_run": true}), content).await;
    assert_eq!(counts(&done), [20_002, 0, 0, 1]);
    let reason =
        "an import has at most 20000 passwords in clear: give hashes, or import the rest apart";
    assert_eq!(errors(&api, &done).await, [(20_003, "password".to_owned(), reason.to_owned())]);
}

#[tokio::test]
async fn whoever_is_demoted_meanwhile_has_written_nothing() {
    let api = start().await;
    api.user("second@example.com").await;
    let admin = api.domain_admin("admin@example.com").await;
    let content = format!("{}second,Second,{HASH}\n", users(2_000));
    let id = send_by(&api, &admin, DOMAIN, (json!({}), content)).await;
    // It waits in its second block, with the first one in its transaction.
    let mut owner = api.owner().await;
    let held = lock_second(&mut owner).await;
    let cx = Context::system(api.state.clone());
    let run = app::imports::carry_on(&cx, id.parse().unwrap());
    let demote = async {
        let import = format!("/v1/imports/{id}");
        first_block_is_done(&api, &import).await;
        let roles = api.get("/v1/users/admin@example.com/role_assignments").await;
        let role = roles.items("id").pop().unwrap();
        api.delete(format!("/v1/role_assignments/{role}")).await.is(StatusCode::NO_CONTENT);
        held.rollback().await.unwrap();
    };
    let demote = async { tokio::time::timeout(PATIENCE, demote).await.unwrap() };
    let (run, ()) = tokio::join!(run, demote);
    run.unwrap_err();
    let done = work_to_the_end(PATIENCE, async || work(&api, &id).await).await;
    assert_eq!((&done["state"], counts(&done)), (&json!("failed"), [0, 0, 0, 2_001]));
    assert_eq!(count(&api, "SELECT count(*) FROM account").await, 2);
}
