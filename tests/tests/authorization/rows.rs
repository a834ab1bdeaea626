//! Row-level security, with the checks of the server left out: whatever is asked through the
//! connections of a signed-in user, rows of others are neither seen nor changed.

use std::{collections::BTreeSet, sync::Arc};

use reqwest::StatusCode;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row};
use umail_api::{
    authn::callers,
    context::Context,
    database::pool::Pool,
    model::{department::Among, page::Page},
    store,
};
use umail_proto::ids::{DomainId, SessionId};
use umail_tests::api::Api;

/// Tables whose rows are somebody's, each with the column that tells whose: of a user, of a
/// domain, or of a level.
const NARROWED: [(&str, &str); 27] = [
    ("account", "id"),
    ("address", "domain_id"),
    ("alias", "domain_id"),
    ("allowance", "coalesce(domain_id, id)"),
    ("api_key", "account_id"),
    ("audit_event", "domain_id"),
    ("autoreply", "account_id"),
    ("credential", "account_id"),
    ("department", "domain_id"),
    ("department_above", "domain_id"),
    ("domain", "id"),
    ("domain_alias", "domain_id"),
    ("group_member", "account_id"),
    ("idempotency_key", "caller_id"),
    ("login_link", "account_id"),
    ("mail_group", "domain_id"),
    ("import", "created_by"),
    ("import_block", "import_id"),
    ("import_error", "import_id"),
    ("mailbox_removal", "account_id"),
    ("mailbox_usage", "account_id"),
    ("operation", "created_by"),
    ("recovery_code", "owner_id"),
    ("role_assignment", "account_id"),
    ("seat", "level_id"),
    ("session", "account_id"),
    ("totp", "account_id"),
];
/// Tables that belong to no domain and that users' requests need.
const SHARED: [&str; 5] = ["audit_unsealed", "change", "control_plane", "node", "plan"];

/// Two domains alike, with a department and the same four people in each; sessions of `near`'s.
struct World {
    api: Api,
    near: Side,
    far: Side,
}

/// A domain with all that hangs on it.
struct Side {
    domain: String,
    department: String,
    group: String,
    admin: String,
    head: String,
    member: String,
    other: String,
}

impl Side {
    async fn of(api: &Api, name: &str) -> Self {
        api.domain(name).await;
        let domain = api.get(format!("/v1/domains/{name}")).await.id();
        let department = api.post(format!("/v1/domains/{name}/departments"), json!({"name": "x"}));
        let department = department.await.is(StatusCode::CREATED).id();
        let mut ids = Vec::new();
        for who in ["admin", "head", "member", "other"] {
            let address = format!("{who}@{name}");
            let id = api.user(&address).await;
            if who == "head" || who == "member" {
                let inside = json!({"department_id": department});
                api.patch(format!("/v1/users/{id}"), inside).await.is(StatusCode::OK);
            }
            let forwarding = json!({"targets": [format!("x@{name}")], "keep_copy": true});
            api.put(format!("/v1/users/{id}/forwarding"), forwarding).await.is(StatusCode::OK);
            let reply = json!({"enabled": true, "text": "Away."});
            api.put(format!("/v1/users/{id}/autoreply"), reply).await.is(StatusCode::OK);
            let link = api.post(format!("/v1/users/{id}/login_links"), json!({})).await;
            link.is(StatusCode::CREATED);
            ids.push(id);
        }
        let [admin, head, member, other] = ids.try_into().unwrap();
        let role = json!({"role": "domain_admin"});
        let path = |id: &str| format!("/v1/users/{id}/role_assignments");
        api.post(path(&admin), role).await.is(StatusCode::CREATED);
        let role = json!({"role": "department_admin", "department_id": department});
        api.post(path(&head), role).await.is(StatusCode::CREATED);
        let alias = json!({"local_part": "info", "targets": [format!("other@{name}")]});
        api.post(format!("/v1/domains/{name}/aliases"), alias).await.is(StatusCode::CREATED);
        // A group of the department, with one user of it.
        let group = json!({"local_part": "team", "department_id": department});
        let group = api.post(format!("/v1/domains/{name}/groups"), group).await.id();
        let inside = api.put(format!("/v1/groups/{group}/members/{member}"), json!(null)).await;
        inside.is(StatusCode::OK);
        for who in ["admin", "head", "member", "other"] {
            let token = api.sign_in(&format!("{who}@{name}")).await;
            if who == "admin" || who == "head" {
                let path = format!("/v1/domains/{name}/imports");
                let ask = api.ask(reqwest::Method::POST, path).by(&token).json(json!({}));
                ask.send().await.is(StatusCode::CREATED);
            }
        }
        Self { domain, department, group, admin, head, member, other }
    }

    /// The people whom this one of them reaches.
    fn people(&self, who: &str) -> BTreeSet<String> {
        let all = [&self.admin, &self.head, &self.member, &self.other];
        match who {
            "admin" => all.into_iter().cloned().collect(),
            "head" => BTreeSet::from([self.head.clone(), self.member.clone()]),
            "member" => BTreeSet::from([self.member.clone()]),
            _ => BTreeSet::from([self.other.clone()]),
        }
    }
}

async fn world() -> World {
    let api = Api::start().await;
    let near = Side::of(&api, "near.example").await;
    let far = Side::of(&api, "far.example").await;
    World { api, near, far }
}

/// A request of this user, as the server makes it.
async fn request_of(w: &World, who: &str) -> Context {
    let id: SessionId = {
        let sql = format!(
            "SELECT session.id FROM session JOIN account ON account.id = account_id
               JOIN domain ON domain.id = domain_id
              WHERE local_part = '{who}' AND domain.name = 'near.example' LIMIT 1"
        );
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(w.api.state.pool()).await.unwrap();
        row.get::<uuid::Uuid, _>(0).into()
    };
    let caller = callers::of_session(&w.api.state, id).await.unwrap();
    Context::new(w.api.state.clone(), caller.caller, Arc::from("test"))
}

async fn column(pool: &Pool, sql: String) -> BTreeSet<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
    rows.into_iter().map(|row| row.get::<String, _>(0)).collect()
}

#[tokio::test]
async fn a_user_sees_no_foreign_row_whatever_is_asked() {
    let w = world().await;
    for who in ["admin", "head", "member", "other"] {
        let cx = request_of(&w, who).await;
        let people = w.near.people(who);
        let accounts = "SELECT id::text FROM account".to_owned();
        assert_eq!(column(cx.pool(), accounts).await, people, "{who}");
        let domains = "SELECT id::text FROM domain".to_owned();
        assert_eq!(column(cx.pool(), domains).await, BTreeSet::from([w.near.domain.clone()]));
        let mut own = people.clone();
        own.extend([
            w.near.domain.clone(),
            w.near.department.clone(),
            uuid::Uuid::nil().to_string(),
        ]);
        let mut seen = 0;
        for (table, owner) in NARROWED {
            let sql = format!("SELECT ({owner})::text FROM {table} WHERE ({owner}) IS NOT NULL");
            let owners = column(cx.pool(), sql).await;
            let foreign: Vec<_> = owners.difference(&own).collect();
            assert!(foreign.is_empty(), "{who} sees rows of {foreign:?} in {table}");
            seen += owners.len();
        }
        assert!(seen > 7, "{who} sees next to nothing: {seen}");
        let far: DomainId = w.far.domain.parse().unwrap();
        let page = Page { after: None, limit: 100 };
        let users = store::accounts::list(cx.pool(), far, &Among::All, page).await.unwrap();
        assert!(users.is_empty(), "{who}");
    }
}

#[tokio::test]
async fn a_user_changes_no_foreign_row_whatever_is_asked() {
    let w = world().await;
    for who in ["admin", "head", "member", "other"] {
        let cx = request_of(&w, who).await;
        let far = &w.far;
        for sql in [
            format!("UPDATE account SET status = 5 WHERE domain_id = '{}'", far.domain),
            format!("UPDATE domain SET status = 5 WHERE id = '{}'", far.domain),
            format!("UPDATE department SET name = 'y' WHERE id = '{}'", far.department),
            format!("DELETE FROM alias WHERE domain_id = '{}'", far.domain),
            format!("UPDATE mail_group SET posting = 1 WHERE id = '{}'", far.group),
            format!("DELETE FROM group_member WHERE group_id = '{}'", far.group),
            format!("UPDATE credential SET hash = '' WHERE account_id = '{}'", far.member),
            format!("UPDATE session SET revoked_at = now() WHERE account_id = '{}'", far.other),
            format!("UPDATE allowance SET users = 0 WHERE id = '{}'", far.domain),
            format!("DELETE FROM department WHERE id = '{}'", far.department),
            format!("DELETE FROM login_link WHERE account_id = '{}'", far.other),
        ] {
            let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(cx.pool()).await.unwrap();
            assert_eq!(done.rows_affected(), 0, "{who}: {sql}");
        }
        let grant = format!(
            "INSERT INTO role_assignment (account_id, role, domain_id, id, created_at)
             VALUES ('{}', 'domain_admin', '{}', gen_random_uuid(), now())",
            far.member, far.domain
        );
        // Neither anybody into a foreign group, nor somebody foreign into one's own.
        let into = |group: &str, user: &str| {
            format!(
                "INSERT INTO group_member (id, group_id, account_id, created_at)
                 VALUES (gen_random_uuid(), '{group}', '{user}', now())"
            )
        };
        let (theirs, ours) = (into(&far.group, &w.near.other), into(&w.near.group, &far.other));
        let name = "UPDATE plan SET name = 'mine'".to_owned();
        let audit = "INSERT INTO audit_event (id, at, kind, actor_kind, actor_id, action,
                resource, request_id)
            VALUES (gen_random_uuid(), now(), 'change', 'user', gen_random_uuid(), 'x', 'x', 'x')";
        for sql in [grant, theirs, ours, name, audit.to_owned(), "SELECT FROM operator".to_owned()]
        {
            refused(&cx, who, &sql).await;
        }
    }
}

/// What is asked is refused by the database.
async fn refused(cx: &Context, who: &str, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(cx.pool()).await;
    let cause = done.map(|done| done.rows_affected()).unwrap_err().to_string();
    let is_refused = cause.contains("row-level security") || cause.contains("denied");
    assert!(is_refused, "{who}: {sql}: {cause}");
}

#[tokio::test]
async fn a_user_makes_no_own_row_a_foreign_one() {
    let w = world().await;
    for who in ["admin", "head", "member", "other"] {
        let cx = request_of(&w, who).await;
        let (own, peer) = match who {
            "admin" => (&w.near.admin, &w.near.other),
            "head" => (&w.near.head, &w.near.admin),
            "member" => (&w.near.member, &w.near.admin),
            _ => (&w.near.other, &w.near.admin),
        };
        let people = foreign_people(&w, own);
        for sql in
            people.into_iter().chain(foreign_secrets(&w, own, peer)).chain(foreign_places(&w, own))
        {
            refused(&cx, who, &sql).await;
        }
        if who == "admin" || who == "head" {
            let import = format!("UPDATE import SET by_operator = true WHERE created_by = '{own}'");
            refused(&cx, who, &import).await;
        }
    }
}

/// Roles that are not the user's to give, and people who would go elsewhere.
fn foreign_people(w: &World, own: &str) -> Vec<String> {
    let (near, far) = (&w.near, &w.far);
    let role = |role: &str, domain: &str, department: &str| {
        format!(
            "INSERT INTO role_assignment (account_id, role, domain_id, department_id, id, created_at)
             VALUES ('{own}', '{role}', '{domain}', {department}, gen_random_uuid(), now())"
        )
    };
    let away = format!(
        "UPDATE account SET domain_id = '{}', department_id = NULL WHERE id = '{own}'",
        far.domain
    );
    vec![
        role("domain_admin", &far.domain, "NULL"),
        role("domain_admin", &near.domain, "NULL"),
        role("department_admin", &far.domain, &format!("'{}'", far.department)),
        "UPDATE role_assignment SET role = 'domain_admin', department_id = NULL".to_owned(),
        "DELETE FROM role_assignment".to_owned(),
        away,
        "DELETE FROM account".to_owned(),
    ]
}

/// What one signs in with, as somebody else, and what is said and done in the name of others.
fn foreign_secrets(w: &World, own: &str, peer: &str) -> Vec<String> {
    let totp = |of: &str| {
        format!(
            "INSERT INTO totp (owner_id, account_id, sealed, created_at)
             VALUES ('{of}', '{of}', '', now())"
        )
    };
    let session = format!(
        "INSERT INTO session (id, account_id, refresh_hash, created_at, expires_at, last_used_at)
         VALUES (gen_random_uuid(), '{own}', 'x', now(), now(), now())"
    );
    let operation = format!(
        "INSERT INTO operation (id, kind, state, input, created_by, created_at, updated_at)
         VALUES (gen_random_uuid(), 'move_mailbox', 'running', '{{}}', '{own}', now(), now())"
    );
    let key = format!(
        "INSERT INTO api_key (id, account_id, name, prefix, secret_hash, role, read_only, networks,
                              created_at, expires_at)
         VALUES (gen_random_uuid(), '{own}', 'x', 'x', sha256(random()::text::bytea),
                 'system_admin', false, '{{}}', now(), now())"
    );
    let event = format!(
        "INSERT INTO audit_event (id, at, kind, actor_kind, actor_id, action, resource,
                                  request_id, domain_id)
         VALUES (gen_random_uuid(), now(), 'change', 'user', '{own}', 'x', 'x', 'x', '{}')",
        w.far.domain
    );
    // By whose session for whom: nobody for oneself, for somebody elsewhere, or as somebody else.
    let link = |of: &str, by: &str| {
        format!(
            "INSERT INTO login_link (id, account_id, secret_hash, session_id, created_at, expires_at)
             VALUES (gen_random_uuid(), '{of}', 'x', (SELECT id FROM session
                     WHERE account_id = '{by}' LIMIT 1), now(), now())"
        )
    };
    vec![
        session,
        link(own, own),
        link(&w.far.other, own),
        link(&w.near.member, peer),
        "UPDATE login_link SET redeemed_at = NULL".to_owned(),
        format!("UPDATE session SET account_id = '{own}'"),
        "DELETE FROM session".to_owned(),
        totp(&w.far.other),
        totp(peer),
        "DELETE FROM mailbox_removal".to_owned(),
        operation,
        key,
        event,
    ]
}

/// Addresses and counters of other domains.
fn foreign_places(w: &World, own: &str) -> Vec<String> {
    let (near, far) = (&w.near, &w.far);
    let alias = |domain: &str, holder: &str| {
        format!(
            "INSERT INTO alias (id, domain_id, local_part, targets, account_id, created_at, updated_at)
             VALUES (gen_random_uuid(), '{domain}', gen_random_uuid()::text, '{{x@y}}', '{holder}',
                     now(), now())"
        )
    };
    let address = format!(
        "INSERT INTO address (domain_id, local_part, owner_id) VALUES ('{}', 'z', '{own}')",
        far.domain
    );
    vec![
        alias(&far.domain, own),
        alias(&near.domain, &far.other),
        format!("UPDATE alias SET domain_id = '{}' WHERE account_id = '{own}'", far.domain),
        address,
        "UPDATE address SET owner_id = gen_random_uuid()".to_owned(),
        "UPDATE allowance SET id = gen_random_uuid(), domain_id = NULL".to_owned(),
        format!("UPDATE seat SET level_id = '{}'", far.domain),
        "DELETE FROM seat".to_owned(),
    ]
}

#[tokio::test]
async fn limits_are_set_from_above() {
    let w = world().await;
    let path = "/v1/domains/near.example/departments";
    let below = json!({"name": "below", "parent_id": w.near.department});
    let below = w.api.post(path, below).await.is(StatusCode::CREATED).id();
    let (domain, own) = (w.near.domain.clone(), w.near.department.clone());
    let system = uuid::Uuid::nil().to_string();
    let plan = "00000000-0000-7000-8000-000000000001";
    for (who, limited) in [
        ("admin", vec![&own, &below]),
        ("head", vec![&below]),
        ("member", Vec::new()),
        ("other", Vec::new()),
    ] {
        let cx = request_of(&w, who).await;
        let changed = async |sql: String| {
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(cx.pool())
                .await
                .map_or(0, |done| done.rows_affected())
        };
        for level in [&system, &domain, &own, &below] {
            let wanted = u64::from(limited.contains(&level));
            let limit = format!("UPDATE allowance SET users_limit = 7 WHERE id = '{level}'");
            assert_eq!(changed(limit).await, wanted, "{who} {level}");
            let seats = format!(
                "INSERT INTO seat (level_id, plan_id, users_limit) VALUES ('{level}', '{plan}', 7)
                 ON CONFLICT (level_id, plan_id) DO UPDATE SET users_limit = 7"
            );
            assert_eq!(changed(seats).await, wanted, "{who} {level}");
            // What is given away is counted above, by those who give anything away.
            let count = format!("UPDATE allowance SET users = users + 1 WHERE id = '{level}'");
            let wanted = u64::from(!["member", "other"].contains(&who));
            assert_eq!(changed(count).await, wanted, "{who} {level}");
            // An allowance goes with its department.
            let delete = format!("DELETE FROM allowance WHERE id = '{level}'");
            assert_eq!(changed(delete).await, 0, "{who} {level}");
        }
        let free = format!("DELETE FROM address WHERE domain_id = '{domain}' AND local_part = 'x'");
        let take = format!(
            "INSERT INTO address (domain_id, local_part, owner_id)
             VALUES ('{domain}', 'x', gen_random_uuid())"
        );
        let wanted = u64::from(!["member", "other"].contains(&who));
        assert_eq!((changed(take).await, changed(free).await), (wanted, wanted), "{who}");
    }
}

#[tokio::test]
async fn who_administers_a_department_changes_those_below_it_only() {
    let w = world().await;
    let path = "/v1/domains/near.example/departments";
    let own = &w.near.department;
    let mut ids = Vec::new();
    for body in [json!({"name": "below", "parent_id": own}), json!({"name": "beside"})] {
        ids.push(w.api.post(path, body).await.is(StatusCode::CREATED).id());
    }
    let [below, beside] = &ids[..] else { unreachable!() };
    for (who, reaches) in [("head", true), ("member", false)] {
        let cx = request_of(&w, who).await;
        let changed = async |sql: String| {
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(cx.pool())
                .await
                .map(|done| done.rows_affected())
        };
        let insert = |parent: &str| {
            format!(
                "INSERT INTO department (id, domain_id, parent_id, name, functions, created_at, updated_at)
                 VALUES (gen_random_uuid(), '{}', {parent}, gen_random_uuid()::text, 1, now(), now())",
                w.near.domain
            )
        };
        for (id, is_below) in [(below, true), (beside, false), (own, false)] {
            let rename = format!("UPDATE department SET name = '{who}' WHERE id = '{id}'");
            let lock = format!("SELECT FROM department WHERE id = '{id}' FOR UPDATE");
            let wanted = u64::from(is_below && reaches);
            assert_eq!(changed(rename).await.unwrap(), wanted, "{who} {id}");
            assert_eq!(changed(lock).await.unwrap(), wanted, "{who} {id}");
            let parent = insert(&format!("'{id}'"));
            let is_inside = reaches && id != beside;
            assert_eq!(changed(parent).await.is_ok(), is_inside, "{who} {id}");
        }
        assert!(changed(insert("NULL")).await.is_err(), "{who}");
        if reaches {
            let out = format!("UPDATE department SET parent_id = NULL WHERE id = '{below}'");
            assert!(changed(out).await.is_err(), "{who}");
        }
        for id in [beside, own] {
            let delete = format!("DELETE FROM department WHERE id = '{id}'");
            assert_eq!(changed(delete).await.unwrap(), 0, "{who} {id}");
        }
    }
}

#[tokio::test]
async fn a_user_finds_and_counts_no_foreign_row_whatever_is_asked() {
    let w = world().await;
    let (near, far) = (&w.near, &w.far);
    for who in ["admin", "head", "member", "other"] {
        let cx = request_of(&w, who).await;
        let asked = async |sql: String| column(cx.pool(), sql).await;
        let kinds =
            [("account", "member"), ("account", "@"), ("mail_group", "team"), ("alias", "info")];
        for (table, term) in kinds {
            for departments in ["NULL".to_owned(), format!("ARRAY['{}'::uuid]", far.department)] {
                let (nil, place) = ("'00000000-0000-0000-0000-000000000000'", &far.domain);
                let all = format!("'{place}', {departments}, NULL, NULL");
                let ids = [
                    format!("{table}_of_departments({all}, {nil}, 100)"),
                    format!("(SELECT ids FROM {table}_search({all}, '{term}', {nil}, 100, 1000))"),
                ];
                for ids in ids {
                    let found = asked(format!("SELECT unnest({ids})::text")).await;
                    assert!(found.is_empty(), "{who}: {ids}: {found:?}");
                }
                for term in ["NULL".to_owned(), format!("'{term}'")] {
                    let count = format!("SELECT {table}_count({all}, {term}, 100)::text");
                    assert_eq!(
                        asked(count.clone()).await,
                        BTreeSet::from(["0".to_owned()]),
                        "{who}: {count}"
                    );
                }
            }
        }
        // What is within reach is there, so that the above says something.
        let own = format!(
            "SELECT unnest(ids)::text FROM account_search('{}', NULL, NULL, NULL, '@',
                '00000000-0000-0000-0000-000000000000', 100, 1000)",
            near.domain
        );
        let reached = match who {
            "admin" => w.near.people("admin"),
            "head" => w.near.people("head"),
            _ => BTreeSet::new(),
        };
        assert_eq!(asked(own).await, reached, "{who}");
        let mut closed = vec![
            "domain_search(NULL, NULL, NULL, NULL, 'exa', NULL, 1, 1)",
            "domain_count(NULL, NULL, NULL, NULL, NULL, 1)",
        ];
        closed.extend([
            "account_walk(NULL, NULL, NULL, NULL, '%', NULL, 1)",
            "account_indexed(NULL, NULL, NULL, NULL, 'e', 'e', NULL, 1)",
        ]);
        for function in closed {
            let refused =
                sqlx::raw_sql(AssertSqlSafe(format!("SELECT {function}"))).execute(cx.pool()).await;
            assert!(refused.unwrap_err().to_string().contains("denied"), "{who}: {function}");
        }
    }
}

#[tokio::test]
async fn every_table_is_narrowed_shared_or_closed_to_users() {
    let w = world().await;
    let open = "SELECT DISTINCT table_name::text FROM information_schema.table_privileges
                 WHERE grantee = 'umail_tenant' AND table_schema = 'public'";
    let expected: BTreeSet<_> =
        NARROWED.iter().map(|(table, _)| *table).chain(SHARED).map(str::to_owned).collect();
    // The catalog shows the rights of whoever one is: only the owner sees those of others.
    let rows = sqlx::raw_sql(open).fetch_all(&mut w.api.owner().await).await.unwrap();
    let open: BTreeSet<String> = rows.into_iter().map(|row| row.get(0)).collect();
    assert_eq!(open, expected, "a new table is narrowed by a policy, shared, or closed");
    let all = w.api.state.pool();
    let unprotected = "SELECT relname::text FROM pg_class
                        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
                          AND NOT relrowsecurity";
    let unprotected = column(all, unprotected.to_owned()).await;
    for (table, _) in NARROWED {
        assert!(!unprotected.contains(table), "{table} has no row-level security");
    }
    // A connection that works for nobody sees nothing.
    let nobody = all.of_tenants();
    assert!(column(&nobody, "SELECT id::text FROM account".to_owned()).await.is_empty());
}
