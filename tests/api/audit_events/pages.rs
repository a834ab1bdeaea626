//! Pages of events: what a scope and a filter leave of all events, and no dearer among many of them.

use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{AssertSqlSafe, Row};
use umail_api::{database::pool::Reach, model::operator::OperatorRole};
use umail_tests::{api::Api, plans, scale::scale};

use super::{PATH, Staff, events, staff};

/// Events of three years and of no time at all, of all kinds, in all places and about everybody.
const MIXED: &str = "
    CREATE TABLE people AS SELECT row_number() OVER (ORDER BY id) - 1 AS n, id FROM account;
    CREATE TABLE places AS SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, domain_id
                             FROM (SELECT id, domain_id FROM department
                                    UNION ALL SELECT NULL, id FROM domain
                                    UNION ALL SELECT NULL, NULL) AS place;
    SELECT audit_partition(now() - month * interval '1 month') FROM generate_series(0, 36) AS month;
    INSERT INTO audit_event (id, at, kind, actor_kind, actor_id, action, resource, resource_id,
                             domain_id, department_id, user_id, request_id)
    SELECT CASE WHEN random() < 0.05 THEN gen_random_uuid()
                ELSE encode(substr(uuid_send(audit_floor(at)), 1, 6)
                            || substr(uuid_send(gen_random_uuid()), 7), 'hex')::uuid END,
           at, what[1], 'user', actor.id, what[2], what[3], thing.id, places.domain_id, places.id,
           CASE WHEN random() < 0.5 THEN thing.id END, 'r'
      FROM (SELECT now() - random() * interval '1100 days' AS at,
                   floor(random() * (SELECT count(*) FROM people))::int AS actor_n,
                   floor(random() * (SELECT count(*) FROM people))::int AS thing_n,
                   floor(random() * (SELECT count(*) FROM places))::int AS place_n,
                   (ARRAY['{change,create,user}', '{change,update,user}', '{change,delete,user}',
                          '{change,update,group}', '{change,create,group}', '{change,operate,node}',
                          '{security,sign_in,session}', '{security,sign_in_failed,session}',
                          '{security,refuse,request}', '{security,hide,user}'])[1 + floor(random() * 10)::int]::text[] AS what
              FROM generate_series(1, 6000)) AS event
      JOIN people AS actor ON actor.n = actor_n JOIN people AS thing ON thing.n = thing_n
      JOIN places ON places.n = place_n";

/// All that pages show, from the first to the last.
async fn all(api: &Api, token: &str, query: &str) -> Vec<String> {
    let (mut seen, mut more) = (Vec::new(), String::new());
    loop {
        let path = format!("{PATH}?page_size=97{query}{more}");
        let page = api.ask(Method::GET, path).by(token).send().await.is(StatusCode::OK);
        seen.extend(page.items("id"));
        let Some(next) = page.body["next_page_token"].as_str() else { return seen };
        more = format!("&page_token={next}");
    }
}

/// The ids of events for which a condition holds, the newest first.
async fn matching(api: &Api, condition: &str) -> Vec<String> {
    let sql = format!("SELECT id::text FROM audit_event WHERE {condition} ORDER BY id DESC");
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(api.state.pool()).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Filters by people, things and domains, each as a condition too.
fn filters(
    near: &Staff,
    far: &Staff,
    [inside, admin, stranger]: [&str; 3],
) -> Vec<(String, String)> {
    vec![
        (String::new(), "true".to_owned()),
        (format!("&actor={inside}"), format!("actor_id = '{inside}'")),
        (format!("&actor={admin}"), format!("actor_id = '{admin}'")),
        (format!("&actor={stranger}"), format!("actor_id = '{stranger}'")),
        (format!("&user={inside}"), format!("user_id = '{inside}'")),
        (format!("&resource_id={stranger}"), format!("resource_id = '{stranger}'")),
        (format!("&domain={}", near.domain), format!("domain_id = '{}'", near.domain)),
        (format!("&domain={}", far.domain), format!("domain_id = '{}'", far.domain)),
    ]
}

/// Filters by words, likewise.
const WORDS: [(&str, &str); 6] = [
    ("", "true"),
    ("&action=create", "action = 'create'"),
    ("&resource=group", "resource = 'group'"),
    ("&resource=user&action=delete", "resource = 'user' AND action = 'delete'"),
    ("&kind=security", "kind = 'security'"),
    ("&kind=change&resource=session", "false"),
];

#[tokio::test]
async fn pages_show_what_scope_and_filter_leave_of_all_events() {
    let api = Api::start().await;
    let (near, far) = (staff(&api, "near.example").await, staff(&api, "far.example").await);
    api.operator("super", OperatorRole::SuperDomainAdmin).await;
    let sue = api.sign_in("super").await;
    let id = async |who: &str| api.get(format!("/v1/users/{who}@near.example")).await.id();
    let [admin, head, inside] = [id("admin").await, id("head").await, id("inside").await];
    let stranger = api.get("/v1/users/inside@far.example").await.id();
    let body = json!({"name": "faculty"});
    let top = api.post("/v1/domains/near.example/departments", body).await.id();
    let dean = api.department_admin("dean@near.example", &top).await;
    let dean_id = id("dean").await;
    let below = format!(
        "INSERT INTO department (id, domain_id, parent_id, name, functions, created_at, updated_at)
         SELECT gen_random_uuid(), domain_id, id, 'd' || n, 127, now(), now()
           FROM department, generate_series(1, 40) AS n WHERE id = '{top}'"
    );
    sqlx::raw_sql(AssertSqlSafe(below)).execute(&mut api.owner().await).await.unwrap();
    let super_id = api.ask(Method::GET, "/v1/me").by(&sue).send().await.id();
    sqlx::raw_sql(MIXED).execute(&mut api.owner().await).await.unwrap();

    let own = |id: &str| format!("(actor_id = '{id}' OR user_id = '{id}') AND action <> 'hide'");
    let scopes = [
        (&near.admin, format!("domain_id = '{}' OR {}", near.domain, own(&admin))),
        (&near.head, format!("department_id = '{}' OR {}", near.department, own(&head))),
        (&near.inside, own(&inside)),
        (
            &dean,
            format!(
                "department_id IN (SELECT id FROM department WHERE '{top}' IN (id, parent_id))
                 OR {}",
                own(&dean_id)
            ),
        ),
        (&sue, format!("domain_id IS NOT NULL OR {}", own(&super_id))),
    ];
    let filters = filters(&near, &far, [&inside, &admin, &stranger]);
    for (token, scope) in &scopes {
        for (query, condition) in &filters {
            for (more, word) in WORDS {
                let expected =
                    matching(&api, &format!("({scope}) AND {condition} AND {word}")).await;
                let seen = all(&api, token, &format!("{query}{more}")).await;
                assert_eq!(seen, expected, "{scope} {query}{more}");
            }
        }
        // The server says of sessions that they are used, which is no event: nothing comes meanwhile.
        let from = "&from=2026-01-01T00:00:00Z&kind=change";
        let expected = format!("({scope}) AND at >= '2026-01-01T00:00:00Z' AND kind = 'change'");
        let mut seen = all(&api, token, from).await;
        // Only ids that are of another time than their event are left out.
        let mut expected = matching(&api, &expected).await;
        seen.sort();
        expected.retain(|id| seen.binary_search(id).is_ok() || id.as_str() >= "019b7");
        expected.sort();
        assert_eq!(seen, expected);
    }
    let newest = events(&api, &near.admin, "?page_size=1").await;
    let read = api.ask(Method::GET, format!("{PATH}/{}", newest[0]["id"].as_str().unwrap()));
    assert_eq!(read.by(&near.admin).send().await.is(StatusCode::OK).body, newest[0]);
}

/// So many events of the last year, nearly all by few people of one domain.
fn uniform(count: usize) -> String {
    format!(
        "INSERT INTO audit_event (id, at, kind, actor_kind, actor_id, action, resource, resource_id,
                                  domain_id, department_id, user_id, request_id)
         SELECT encode(substr(uuid_send(audit_floor(at)), 1, 6)
                       || substr(uuid_send(gen_random_uuid()), 7), 'hex')::uuid,
                at, 'change', 'user', id(10 + n % 3),
                CASE WHEN n % 900 = 3 THEN 'delete' ELSE 'update' END,
                CASE WHEN n % 900 = 5 THEN 'group' ELSE 'user' END, gen_random_uuid(),
                id(n % 2), id(100 + n % 4), gen_random_uuid(), 'r'
           FROM (SELECT n, now() - random() * interval '360 days' AS at
                   FROM generate_series(1, {count}) AS n) AS event"
    )
}

/// From where pages begin.
const END: &str = "'ffffffff-ffff-ffff-ffff-ffffffffffff'";
const DEEP: &str = "audit_floor(now() - interval '200 days')";

/// Filters by what many events have, few, or none; and where each page begins.
fn asked() -> Vec<(String, &'static str)> {
    // Domain, actor, user, thing, resource, action, kind.
    let none = "NULL,NULL,NULL,NULL,NULL,NULL,NULL";
    vec![
        (none.to_owned(), END),
        (none.to_owned(), DEEP),
        (format!("'{}',NULL,NULL,NULL,NULL,NULL,NULL", id(0)), DEEP),
        (format!("'{}',NULL,NULL,NULL,NULL,NULL,NULL", id(1)), END),
        (format!("NULL,'{}',NULL,NULL,NULL,NULL,NULL", id(10)), END),
        (format!("NULL,'{}',NULL,NULL,NULL,NULL,NULL", id(11)), DEEP),
        (format!("NULL,'{}',NULL,NULL,NULL,NULL,NULL", id(99)), END),
        (format!("NULL,'{}',NULL,NULL,NULL,NULL,NULL", id(9)), DEEP),
        (format!("NULL,NULL,'{}',NULL,NULL,NULL,NULL", id(99)), END),
        (format!("NULL,NULL,NULL,'{}',NULL,NULL,NULL", id(99)), END),
        ("NULL,NULL,NULL,NULL,'user',NULL,NULL".to_owned(), DEEP),
        ("NULL,NULL,NULL,NULL,'group',NULL,NULL".to_owned(), END),
        ("NULL,NULL,NULL,NULL,'group',NULL,NULL".to_owned(), DEEP),
        ("NULL,NULL,NULL,NULL,NULL,'delete',NULL".to_owned(), END),
        ("NULL,NULL,NULL,NULL,'group','delete',NULL".to_owned(), END),
        ("NULL,NULL,NULL,NULL,NULL,NULL,'security'".to_owned(), END),
        ("NULL,NULL,NULL,NULL,NULL,NULL,'change'".to_owned(), DEEP),
    ]
}

fn id(n: u32) -> String {
    format!("018cc447-e030-7000-8000-{n:012x}")
}

/// Pages of an administrator of a domain, of a department, and an operator, of which each looks at as
/// many blocks among 100,000 events as among 1,000, though the database has never counted more than those.
#[tokio::test]
async fn pages_cost_the_same_among_many_events() {
    let api = Api::start().await;
    let mut owner = api.owner().await;
    let prepare = "
        CREATE FUNCTION id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
            RETURN ('018cc447-e030-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid;
        SELECT audit_partition(now() - month * interval '1 month') FROM generate_series(0, 12) AS month";
    sqlx::raw_sql(prepare).execute(&mut owner).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(uniform(1_000))).execute(&mut owner).await.unwrap();
    sqlx::raw_sql("ANALYZE audit_event").execute(&mut owner).await.unwrap();
    sqlx::raw_sql("SET ROLE umail_app").execute(&mut owner).await.unwrap();

    let reach = |domains: String, departments: String, user: u32| Reach {
        user: id(user),
        domains: format!("{{{domains}}}"),
        departments: format!("{{{departments}}}"),
        homes: format!("{{{}}}", id(0)),
    };
    let mut callers = [
        ("admin", plans::tenant(api.state.pool(), &reach(id(0), String::new(), 10)).await),
        ("head", plans::tenant(api.state.pool(), &reach(String::new(), id(100), 20)).await),
        ("operator", owner),
    ];

    let mut seen = Vec::new();
    for count in [0, scale(100_000)] {
        if count > 0 {
            let mut owner = api.owner().await;
            sqlx::raw_sql(AssertSqlSafe(uniform(count))).execute(&mut owner).await.unwrap();
        }
        let mut blocks = Vec::new();
        for (who, caller) in &mut callers {
            for (filter, behind) in asked() {
                // From the middle of a month on.
                let begin = format!(
                    "audit_floor(now() - interval '{} days')",
                    if behind == END { 5_000 } else { 250 }
                );
                let everything = *who == "operator";
                let sql = format!(
                    "SELECT * FROM audit_page(ROW({everything},false,NULL,NULL,NULL,{filter},NULL,NULL,NULL,NULL),
                         {begin}, {behind}, 21, 50000)"
                );
                blocks.push((format!("{who} {filter}"), plans::blocks(caller, &sql).await));
            }
        }
        seen.push(blocks);
    }
    let both = seen[0].iter().zip(&seen[1]);
    let dearer: Vec<_> = both.filter(|((_, few), (_, many))| *many > few * 2 + 50).collect();
    assert!(dearer.is_empty(), "{dearer:#?}");
}
