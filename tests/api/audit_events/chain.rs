//! The chain that seals audit events: whole, unless somebody who may touch the rows has.

use reqwest::StatusCode;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use time::OffsetDateTime;
use umail_api::{
    app::audit_seals::{self, Finding},
    context::Context,
    model::audit::Head,
    store,
};
use umail_tests::api::Api;

async fn sealed(api: &Api) -> u64 {
    audit_seals::seal(&Context::system(api.state.clone())).await.unwrap()
}

async fn verify(api: &Api, head: Option<Head>) -> Finding {
    audit_seals::verify(&Context::system(api.state.clone()), head).await.unwrap()
}

#[track_caller]
fn intact(finding: Finding) -> (Head, i64, i64) {
    match finding {
        Finding::Intact { head, sealed, unsealed } => (head, sealed, unsealed),
        Finding::Broken { sequence, reason } => unreachable!("broken at {sequence:?}: {reason}"),
    }
}

async fn run(db: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.unwrap();
}

async fn some_events(api: &Api) {
    api.domain("example.com").await;
    for who in ["anna", "bert", "carl"] {
        api.user(&format!("{who}@example.com")).await;
    }
}

#[tokio::test]
async fn every_event_is_sealed_once_in_one_chain() {
    let api = Api::start().await;
    assert_eq!(intact(verify(&api, None).await).0, Head::START);
    some_events(&api).await;
    let (_, before, waiting) = intact(verify(&api, None).await);
    assert!(before == 0 && waiting > 4, "{waiting}");
    assert_eq!(i64::try_from(sealed(&api).await), Ok(waiting));
    assert_eq!(sealed(&api).await, 0);
    let (first, count, left) = intact(verify(&api, None).await);
    assert_eq!((first.sequence, count, left), (waiting, waiting, 0));
    api.user("dora@example.com").await;
    sealed(&api).await;
    let (second, ..) = intact(verify(&api, Some(first)).await);
    assert!(second.sequence > first.sequence);
    intact(verify(&api, Some(second)).await);
}

#[tokio::test]
async fn an_event_that_commits_late_is_sealed_all_the_same() {
    let api = Api::start().await;
    some_events(&api).await;
    let late = "WITH event AS (INSERT INTO audit_event
            (id, at, kind, actor_kind, action, resource, request_id) VALUES
            ('00000000-0000-7000-8000-000000000001', now(), 'change', 'system', 'x', 'x', 'x'))
        INSERT INTO audit_unsealed VALUES ('00000000-0000-7000-8000-000000000001')";
    let mut open = api.state.pool().begin().await.unwrap();
    sqlx::raw_sql(late).execute(&mut *open).await.unwrap();
    assert!(sealed(&api).await > 0, "nobody waits for it");
    api.user("dora@example.com").await;
    sealed(&api).await;
    open.commit().await.unwrap();
    assert_eq!(sealed(&api).await, 1);
    let (_, _, unsealed) = intact(verify(&api, None).await);
    assert_eq!(unsealed, 0);
}

#[tokio::test]
async fn two_who_seal_at_the_same_time_make_one_chain() {
    let api = Api::start().await;
    some_events(&api).await;
    let cx = Context::system(api.state.clone());
    let (one, other) = tokio::join!(audit_seals::seal(&cx), audit_seals::seal(&cx));
    assert!(one.unwrap() + other.unwrap() > 4);
    let (head, count, unsealed) = intact(verify(&api, None).await);
    assert_eq!((head.sequence, unsealed), (count, 0));
}

#[tokio::test]
async fn the_server_can_neither_change_nor_remove_events_and_seals() {
    let api = Api::start().await;
    some_events(&api).await;
    sealed(&api).await;
    let tenants = api.state.pool().of_tenants();
    for table in ["audit_event", "audit_seal", "audit_anchor", "audit_event_other"] {
        let column =
            if table.starts_with("audit_event") { "request_id = ''" } else { "digest = ''" };
        for sql in [
            format!("UPDATE {table} SET {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("DROP TABLE {table}"),
        ] {
            for pool in [api.state.pool(), &tenants] {
                let refused = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(pool).await;
                let cause = refused.expect_err(&sql).to_string();
                let is_refused = cause.contains("denied") || cause.contains("must be owner");
                assert!(is_refused, "{sql}: {cause}");
            }
        }
    }
    for sql in [
        "SELECT audit_prune(now())",
        "SELECT audit_partition(now())",
        "INSERT INTO audit_anchor VALUES (1, '', now())",
        "ALTER TABLE audit_event DISABLE ROW LEVEL SECURITY",
    ] {
        let refused = sqlx::raw_sql(AssertSqlSafe(sql)).execute(api.state.pool()).await;
        let cause = refused.expect_err(sql).to_string();
        assert!(cause.contains("denied") || cause.contains("must be owner"), "{sql}: {cause}");
    }
    intact(verify(&api, None).await);
}

/// What could be done to the third event or the last one, and the number at which it is found.
fn tampering(last: i64) -> Vec<(&'static str, String, Option<i64>)> {
    let third = "(SELECT event_id FROM audit_seal WHERE sequence = 3)";
    let event = |sql: &str| sql.replace("THIRD", third);
    vec![
        ("changed", event("UPDATE audit_event SET action = 'x' WHERE id = THIRD"), Some(3)),
        ("changed time", event("UPDATE audit_event SET at = at + '1us' WHERE id = THIRD"), Some(3)),
        ("removed", event("DELETE FROM audit_event WHERE id = THIRD"), Some(3)),
        (
            "removed with its seal",
            event(
                "DELETE FROM audit_event WHERE id = THIRD;
                   DELETE FROM audit_seal WHERE sequence = 3",
            ),
            Some(3),
        ),
        (
            "removed, and the rest moved up",
            event(
                "DELETE FROM audit_event WHERE id = THIRD;
                   DELETE FROM audit_seal WHERE sequence = 3;
                   ALTER TABLE audit_seal DROP CONSTRAINT audit_seal_pkey;
                   UPDATE audit_seal SET sequence = sequence - 1 WHERE sequence > 3",
            ),
            Some(3),
        ),
        (
            "reordered",
            "ALTER TABLE audit_seal DROP CONSTRAINT audit_seal_pkey;
             UPDATE audit_seal SET sequence = 7 - sequence WHERE sequence IN (3, 4)"
                .to_owned(),
            Some(3),
        ),
        (
            "inserted",
            "INSERT INTO audit_event (id, at, kind, actor_kind, action, resource, request_id)
             VALUES (gen_random_uuid(), now(), 'change', 'system', 'x', 'x', 'x')"
                .to_owned(),
            None,
        ),
        (
            "inserted with a seal",
            "INSERT INTO audit_event (id, at, kind, actor_kind, action, resource, request_id)
             VALUES (gen_random_uuid(), now(), 'change', 'system', 'x', 'made up', 'x');
             ALTER TABLE audit_seal DROP CONSTRAINT audit_seal_pkey;
             UPDATE audit_seal SET sequence = sequence + 1 WHERE sequence >= 3;
             INSERT INTO audit_seal SELECT 3, id, now(), sha256('x') FROM audit_event
              WHERE resource = 'made up'"
                .to_owned(),
            Some(3),
        ),
        (
            "cut off",
            format!(
                "DELETE FROM audit_event
                      WHERE id = (SELECT event_id FROM audit_seal WHERE sequence = {last});
                     DELETE FROM audit_seal WHERE sequence = {last}"
            ),
            Some(last),
        ),
        ("seals cut off", format!("DELETE FROM audit_seal WHERE sequence = {last}"), Some(last)),
    ]
}

#[tokio::test]
async fn whatever_the_owner_does_to_the_rows_is_found() {
    let api = Api::start().await;
    some_events(&api).await;
    sealed(&api).await;
    let (head, count, _) = intact(verify(&api, None).await);
    let mut owner = api.owner().await;
    run(
        &mut owner,
        "CREATE TABLE events AS TABLE audit_event; CREATE TABLE seals AS TABLE audit_seal",
    )
    .await;
    let undo = "ALTER TABLE audit_seal DROP CONSTRAINT IF EXISTS audit_seal_pkey;
                TRUNCATE audit_event, audit_seal;
                INSERT INTO audit_event TABLE events;
                INSERT INTO audit_seal TABLE seals;
                ALTER TABLE audit_seal ADD CONSTRAINT audit_seal_pkey PRIMARY KEY (sequence)";
    for (what, sql, found) in tampering(count) {
        run(&mut owner, &sql).await;
        let finding = verify(&api, Some(head)).await;
        assert!(
            matches!(&finding, Finding::Broken { sequence, .. } if *sequence == found),
            "{what}: {finding:?}"
        );
        run(&mut owner, undo).await;
        intact(verify(&api, Some(head)).await);
    }
}

#[tokio::test]
async fn what_was_pruned_leaves_a_chain_that_can_be_verified() {
    let api = Api::start().await;
    some_events(&api).await;
    // As if the months had passed: events and seals of early 2026, one of them sealed late.
    let mut owner = api.owner().await;
    run(&mut owner, "SELECT audit_partition('2026-01-15'), audit_partition('2026-02-15')").await;
    let old = |month: &str, number: u32| {
        format!(
            "INSERT INTO audit_event (id, at, kind, actor_kind, action, resource, request_id)
             SELECT overlay(audit_floor('{month}-10')::text PLACING '{number:012}' FROM 25)::uuid,
                    '{month}-10', 'change', 'system', 'x', 'x', 'x';
             INSERT INTO audit_unsealed
             SELECT overlay(audit_floor('{month}-10')::text PLACING '{number:012}' FROM 25)::uuid"
        )
    };
    for number in 1..=3 {
        run(&mut owner, &old("2026-01", number)).await;
    }
    sealed(&api).await;
    run(&mut owner, &old("2026-02", 1)).await;
    sealed(&api).await;
    run(&mut owner, &old("2026-01", 4)).await;
    sealed(&api).await;
    let (head, count, _) = intact(verify(&api, None).await);
    let rows = async |table: &str| -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(api.state.pool()).await.unwrap()
    };
    let before = rows("audit_event").await;
    assert_eq!(before, count);

    let time = |text: &str| {
        OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap()
    };
    let done = store::audit_seals::prune(&mut owner, time("2026-01-31T00:00:00Z")).await.unwrap();
    assert_eq!(done.1, 0, "the month is not over");
    // The events of the test's own making were sealed with the first of January.
    let done = store::audit_seals::prune(&mut owner, time("2026-02-20T00:00:00Z")).await.unwrap();
    assert_eq!(done, (3, 3));
    assert_eq!(rows("audit_event").await, before - 3);
    let (after, ..) = intact(verify(&api, Some(head)).await);
    assert_eq!(after, head);
    // A head from before does not say anything any more, and the verification says so.
    let early = Head { sequence: 1, ..head };
    assert!(matches!(verify(&api, Some(early)).await, Finding::Broken { sequence: Some(3), .. }));
    api.post("/v1/domains", json!({"name": "example.net"})).await.is(StatusCode::CREATED);
    sealed(&api).await;
    intact(verify(&api, Some(head)).await);
    // Later everything goes that was sealed, the late one as well.
    let later = api.state.clock().now() + time::Duration::days(40);
    assert!(store::audit_seals::prune(&mut owner, later).await.unwrap().1 > 0);
    assert_eq!((rows("audit_event").await, rows("audit_seal").await), (0, 0));
    intact(verify(&api, None).await);
}
