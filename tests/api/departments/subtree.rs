//! What is in departments and below them, however many there are.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use umail_api::database::pool::Reach;
use umail_tests::{api::Api, plans, scale::scale};

use super::department;

async fn run(owner: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(owner).await.unwrap();
}

async fn column(owner: &mut PgConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(owner).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Adds departments below one, those of a level below those of the level before, ten below each.
fn tree(top: &str, count: usize) -> String {
    format!(
        "CREATE TABLE tree AS SELECT n, gen_random_uuid() AS id FROM generate_series(1, {count}) AS n;
         INSERT INTO department (id, domain_id, parent_id, name, functions, created_at, updated_at)
         SELECT tree.id, domain_id, coalesce(parent.id, top.id), 'd' || tree.n, 127, now(), now()
           FROM department AS top CROSS JOIN tree LEFT JOIN tree AS parent ON parent.n = tree.n / 10
          WHERE top.id = '{top}' ORDER BY tree.n;
         INSERT INTO allowance (id, domain_id)
         SELECT tree.id, domain_id FROM tree JOIN department USING (id)"
    )
}

/// Adds users of the domain, every other one in a department of the tree.
fn users(prefix: &str, count: usize) -> String {
    format!(
        "INSERT INTO account (id, domain_id, department_id, local_part, display_name, status, functions,
                              plan_id, created_at, updated_at)
         SELECT gen_random_uuid(), domain.id, tree.id, '{prefix}' || i, 'Some Name', 1 + (i % 3 = 0)::int,
                127, plan.id, now(), now()
           FROM domain CROSS JOIN plan CROSS JOIN generate_series(1, {count}) AS i
           LEFT JOIN tree ON i % 2 = 0 AND tree.n = 1 + (i / 2) % (SELECT count(*) FROM tree)
          WHERE plan.name = 'standard' AND domain.name = 'example.com';
         INSERT INTO mail_group (id, domain_id, department_id, local_part, display_name, posting,
                                 created_at, updated_at)
         SELECT gen_random_uuid(), domain_id, department_id, 'g' || local_part, '', 1, now(), now()
           FROM account WHERE local_part LIKE '{prefix}%7';
         UPDATE allowance SET users = again.users, groups = again.groups
           FROM allowance_recount AS again WHERE again.id = allowance.id"
    )
}

const DIFFERENCE: &str = "
    WITH RECURSIVE above AS (
        SELECT id AS department_id, id FROM department
         UNION
        SELECT department_id, parent_id FROM department JOIN above USING (id)
         WHERE parent_id IS NOT NULL)
    SELECT coalesce(above.department_id, department_above.department_id)::text FROM above
      FULL JOIN department_above ON above_id = id AND department_above.department_id = above.department_id
     WHERE above_id IS NULL OR id IS NULL";

#[tokio::test]
async fn what_is_above_a_department_is_known_whatever_is_moved() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let top = department(&api, "top", None).await;
    let other = department(&api, "other", Some(&top)).await;
    let mut owner = api.owner().await;
    run(&mut owner, &tree(&top, 80)).await;
    assert_eq!(column(&mut owner, DIFFERENCE).await, [""; 0]);
    let ids = column(&mut owner, "SELECT id::text FROM tree ORDER BY n LIMIT 8").await;
    // Down, to the top, up again, into another one of the same tree; into itself is refused.
    for (moved, parent, status) in [
        (0, Some(other.as_str()), StatusCode::OK),
        (1, None, StatusCode::OK),
        (1, Some(ids[0].as_str()), StatusCode::OK),
        (2, Some(ids[1].as_str()), StatusCode::OK),
        (0, Some(ids[2].as_str()), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let path = format!("/v1/departments/{}", ids[moved]);
        let answer = api.patch(path, json!({"parent_id": parent})).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(column(&mut owner, DIFFERENCE).await, [""; 0]);
    }
    // Many in one statement, those below before those above.
    run(
        &mut owner,
        "UPDATE department SET parent_id = (SELECT id FROM tree WHERE n = 7)
                      WHERE id IN (SELECT id FROM tree WHERE n BETWEEN 20 AND 60)",
    )
    .await;
    assert_eq!(column(&mut owner, DIFFERENCE).await, [""; 0]);
    let recount = "UPDATE allowance SET departments = again.departments
                     FROM allowance_recount AS again WHERE again.id = allowance.id";
    run(&mut owner, recount).await;
    let leaf = column(&mut owner, "SELECT id::text FROM tree WHERE n = 75").await.remove(0);
    api.delete(format!("/v1/departments/{leaf}")).await.is(StatusCode::NO_CONTENT);
    run(
        &mut owner,
        "WITH new AS (SELECT gen_random_uuid() AS up, gen_random_uuid() AS down)
         INSERT INTO department (id, domain_id, parent_id, name, functions, created_at, updated_at)
         SELECT pair.id, domain.id, pair.parent, 'x', 127, now(), now()
           FROM domain, new, LATERAL (VALUES (down, up), (up, NULL)) AS pair (id, parent)",
    )
    .await;
    assert_eq!(column(&mut owner, DIFFERENCE).await, [""; 0]);
    run(&mut owner, "DELETE FROM department").await;
    assert_eq!(column(&mut owner, "SELECT above_id::text FROM department_above").await, [""; 0]);
}

/// All that the pages of a list show, and the total that the first one tells.
async fn all(api: &Api, token: &str, path: &str) -> (Vec<String>, i64) {
    let (mut seen, mut more, mut total) = (Vec::new(), String::new(), 0);
    loop {
        let ask = api.ask(Method::GET, format!("{path}&page_size=47&count=true{more}"));
        let page = ask.by(token).send().await.is(StatusCode::OK);
        if seen.is_empty() {
            total = page.body.pointer("/total/count").and_then(Value::as_i64).unwrap();
        }
        seen.extend(page.items("id"));
        let Some(next) = page.body.get("next_page_token").and_then(Value::as_str) else {
            return (seen, total);
        };
        more = format!("&page_token={next}");
    }
}

/// Lists, and the rows that belong to each.
const LISTS: [(&str, &str, &str); 8] = [
    ("account", "users?", "deleted_at IS NULL"),
    ("account", "users?status=active", "status = 1 AND deleted_at IS NULL"),
    ("account", "users?search=some", "display_name = 'Some Name' AND deleted_at IS NULL"),
    ("account", "users?search=u12", "local_part LIKE 'u12%' AND deleted_at IS NULL"),
    (
        "account",
        "users?search=u12&status=locked",
        "local_part LIKE 'u12%' AND status = 2 AND deleted_at IS NULL",
    ),
    ("account", "users?deleted=true", "deleted_at IS NOT NULL"),
    ("mail_group", "groups?", "true"),
    ("mail_group", "groups?search=gu1", "local_part LIKE 'gu1%'"),
];

/// What is in these departments or below them.
fn inside(tops: &[&str]) -> String {
    let tops: Vec<_> = tops.iter().map(|top| format!("'{top}'")).collect();
    format!(
        "department_id IN (WITH RECURSIVE below AS (
             SELECT id FROM department WHERE id IN ({}) UNION
             SELECT department.id FROM department JOIN below ON parent_id = below.id)
         SELECT id FROM below)",
        tops.join(",")
    )
}

#[tokio::test]
async fn lists_of_many_departments_show_what_is_in_them() {
    let api = Api::start().await;
    api.domain("example.com").await;
    let top = department(&api, "top", None).await;
    let side = department(&api, "side", None).await;
    let mut owner = api.owner().await;
    run(&mut owner, &tree(&top, 300)).await;
    run(&mut owner, &users("u", 3_000)).await;
    let mid = column(&mut owner, "SELECT id::text FROM tree WHERE n = 2").await.remove(0);
    let few = column(&mut owner, "SELECT id::text FROM tree WHERE n = 29").await.remove(0);
    run(
        &mut owner,
        "UPDATE account SET deleted_at = now(), purge_at = now() WHERE local_part LIKE 'u%4'",
    )
    .await;
    // Few of all users are in these departments.
    let thin = column(&mut owner, "SELECT id::text FROM tree WHERE n = 1").await.remove(0);
    let most = format!(
        "UPDATE account SET department_id = NULL WHERE {} AND hashtext(local_part) % 8 <> 0",
        inside(&[&thin])
    );
    run(&mut owner, &most).await;
    let again = "UPDATE allowance SET users = again.users
                   FROM allowance_recount AS again WHERE again.id = allowance.id";
    run(&mut owner, again).await;
    let all_of_it = api.department_admin("a1@example.com", &top).await;
    let some = api.department_admin("a2@example.com", &mid).await;
    let leaf = api.department_admin("a3@example.com", &few).await;
    let twice = api.department_admin("a4@example.com", &mid).await;
    api.assign("a4@example.com", "department_admin", Some(&top)).await;
    let none = api.department_admin("a5@example.com", &side).await;
    let sparse = api.department_admin("a6@example.com", &thin).await;

    for (token, tops) in [
        (&all_of_it, vec![top.as_str()]),
        (&some, vec![&mid]),
        (&leaf, vec![&few]),
        (&twice, vec![&mid, &top]),
        (&none, vec![&side]),
        (&sparse, vec![&thin]),
    ] {
        let inside = inside(&tops);
        for (table, query, condition) in LISTS {
            let sql =
                format!("SELECT id::text FROM {table} WHERE {inside} AND {condition} ORDER BY id");
            let expected = column(&mut owner, &sql).await;
            let (seen, total) = all(&api, token, &format!("/v1/domains/example.com/{query}")).await;
            assert_eq!(seen, expected, "{tops:?} {query}");
            assert_eq!(usize::try_from(total).unwrap(), expected.len(), "{tops:?} {query}");
        }
        let one = format!("/v1/domains/example.com/users?department_id={few}");
        let sql = format!(
            "SELECT id::text FROM account WHERE {inside} AND deleted_at IS NULL
                              AND department_id = '{few}' ORDER BY id"
        );
        assert_eq!(all(&api, token, &one).await.0, column(&mut owner, &sql).await);
    }
}

/// A page, a search and a count by an administrator of many departments look at no more blocks when there
/// are thirty times as many, each with users or not.
#[tokio::test]
async fn lists_cost_the_same_with_many_departments() {
    let mut seen = Vec::new();
    for count in [100, scale(3_000)] {
        let api = Api::start().await;
        api.domain("example.com").await;
        let top = department(&api, "top", None).await;
        let domain = api.get("/v1/domains/example.com").await.id();
        let mut owner = api.owner().await;
        run(&mut owner, &tree(&top, count)).await;
        run(&mut owner, &users("u", 20_000)).await;
        run(&mut owner, "VACUUM ANALYZE").await;
        let list = |ids: &str| format!("{{{ids}}}");
        let reach = Reach {
            user: top.clone(),
            domains: list(""),
            departments: list(&top),
            homes: list(&domain),
        };
        let mut tenant = plans::tenant(api.state.pool(), &reach).await;
        let mut blocks = Vec::new();
        let nil = "00000000-0000-0000-0000-000000000000";
        for (name, sql) in [
            (
                "list",
                format!("account_of_departments('{domain}', NULL, NULL, NULL, NULL, '{nil}', 51)"),
            ),
            (
                "deep",
                format!(
                    "account_of_departments('{domain}', NULL, NULL, NULL, NULL, '90{}', 51)",
                    &nil[2..]
                ),
            ),
            (
                "search",
                format!(
                    "account_search('{domain}', NULL, NULL, NULL, NULL, 'some', '{nil}', 51, 1000000)"
                ),
            ),
            (
                "rare",
                format!(
                    "account_search('{domain}', NULL, NULL, NULL, NULL, 'u1998', '{nil}', 51, 1000000)"
                ),
            ),
            ("count", format!("account_count('{domain}', NULL, NULL, NULL, NULL, NULL, 10000)")),
        ] {
            blocks.push((name, plans::blocks(&mut tenant, &format!("SELECT {sql}")).await));
        }
        let rows = format!(
            "SELECT id FROM account WHERE id IN (SELECT id FROM account WHERE domain_id = '{domain}' LIMIT 50)"
        );
        blocks.push(("rows", plans::blocks(&mut tenant, &rows).await));
        seen.push(blocks);
    }
    let both = seen[0].iter().zip(&seen[1]);
    let dearer: Vec<_> = both.filter(|((_, few), (_, many))| *many > few * 2 + 10).collect();
    assert!(dearer.is_empty(), "{dearer:#?} {seen:?}");
}
